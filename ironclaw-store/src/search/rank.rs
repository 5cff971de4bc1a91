//! The best of what was scored, in an order that is the same every time.

/// Keeps the best of what it is offered: the `limit` best scores, and with them all that equal the last of these. What
/// equals is in no order yet: the caller knows by what.
pub(crate) struct Best<T> {
    limit: usize,
    kept: Vec<(f64, T)>,
    /// What scores less is not among the best.
    least: f64,
    /// Grows with what is kept, so that many equal scores are not gone through again and again.
    prune_at: usize,
}

impl<T> Best<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new(), least: f64::NEG_INFINITY, prune_at: limit.saturating_mul(2).max(64) }
    }

    #[inline]
    pub(crate) fn offer(&mut self, score: f64, item: T) {
        if score >= self.least {
            self.kept.push((score, item));
            if self.kept.len() >= self.prune_at {
                self.prune();
            }
        }
    }

    pub(crate) fn into_kept(mut self) -> Vec<(f64, T)> {
        self.prune();
        self.kept
    }

    fn prune(&mut self) {
        if self.limit == 0 {
            self.kept.clear();
        } else if self.kept.len() > self.limit {
            let (_, &mut (least, _), _) = self.kept.select_nth_unstable_by(self.limit - 1, |a, b| b.0.total_cmp(&a.0));
            self.kept.retain(|(score, _)| *score >= least);
            self.least = least;
        }
        self.prune_at = self.kept.len().saturating_mul(2).max(self.prune_at);
    }
}

/// Hits in the order of scores, best first, equal ones in the order of their ids; at most `limit`.
pub(crate) fn ordered(mut hits: Vec<(f64, [u8; 16])>, limit: usize) -> Vec<(f64, [u8; 16])> {
    hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    hits.truncate(limit);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(scores: &[f64], limit: usize) -> Vec<f64> {
        let mut best = Best::new(limit);
        scores.iter().for_each(|&score| best.offer(score, ()));
        let mut kept: Vec<f64> = best.into_kept().into_iter().map(|(score, ())| score).collect();
        kept.sort_unstable_by(|a, b| b.total_cmp(a));
        kept
    }

    #[test]
    fn equal_scores_at_the_end_are_kept_until_ids_decide() {
        assert_eq!(best(&[1.0, 3.0, 1.0, 2.0, 0.5], 3), [3.0, 2.0, 1.0, 1.0]);
        assert!(best(&[1.0, 3.0], 0).is_empty());
        assert_eq!(best(&[1.0, 3.0], 9), [3.0, 1.0]);
        assert_eq!(best(&[0.0; 1_000], 2).len(), 1_000);
    }

    #[test]
    fn what_is_pruned_early_is_never_among_the_best() {
        let scores: Vec<f64> = (0..5_000_u32).map(|n| f64::from(n.wrapping_mul(2_654_435_761) >> 20)).collect();
        let mut sorted = scores.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        for limit in [1, 10, 33, 700] {
            let kept = best(&scores, limit);
            assert_eq!(kept[..limit], sorted[..limit]);
            assert!(kept[limit..].iter().all(|score| *score == sorted[limit - 1]));
        }
    }

    #[test]
    fn ids_decide_between_equal_scores() {
        let hits = vec![(1.0, [9; 16]), (1.0, [2; 16]), (5.0, [7; 16]), (1.0, [4; 16])];
        assert_eq!(ordered(hits, 3), [(5.0, [7; 16]), (1.0, [2; 16]), (1.0, [4; 16])]);
    }
}

//! The best of what was scored, in an order that is the same every time.

/// The `limit` best scores, and with them all that equal the last of these, best first. What equals is in no order
/// yet: the caller knows by what.
pub(super) fn best<T>(mut scored: Vec<(f64, T)>, limit: usize) -> Vec<(f64, T)> {
    if limit == 0 {
        return Vec::new();
    }
    if scored.len() > limit {
        let (_, &mut (last, _), _) = scored.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0));
        scored.retain(|(score, _)| *score >= last);
    }
    scored
}

/// Hits in the order of scores, best first, equal ones in the order of their ids; at most `limit`.
pub(super) fn ordered(mut hits: Vec<(f64, [u8; 16])>, limit: usize) -> Vec<(f64, [u8; 16])> {
    hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    hits.truncate(limit);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_at_the_end_are_kept_until_ids_decide() {
        let scored = vec![(1.0, 'a'), (3.0, 'b'), (1.0, 'c'), (2.0, 'd'), (0.5, 'e')];
        let mut kept: Vec<char> = best(scored.clone(), 3).into_iter().map(|(_, x)| x).collect();
        kept.sort_unstable();
        assert_eq!(kept, ['a', 'b', 'c', 'd']);
        assert_eq!(best(scored.clone(), 0), []);
        assert_eq!(best(scored, 9).len(), 5);
    }

    #[test]
    fn ids_decide_between_equal_scores() {
        let hits = vec![(1.0, [9; 16]), (1.0, [2; 16]), (5.0, [7; 16]), (1.0, [4; 16])];
        assert_eq!(ordered(hits, 3), [(5.0, [7; 16]), (1.0, [2; 16]), (1.0, [4; 16])]);
    }
}

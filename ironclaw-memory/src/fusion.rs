//! One ranking out of two: full text and vectors.

use std::collections::HashMap;

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::ChunkHit;

/// What each arm found, best first, at most `depth` chunks each.
pub(crate) struct Arms<'a> {
    pub(crate) text: &'a [ChunkHit],
    pub(crate) vectors: &'a [ChunkHit],
    /// The most that each arm was asked for.
    pub(crate) depth: usize,
    /// Whether the vectors compare words only.
    pub(crate) lexical: bool,
}

/// How much full text counts when the vectors compare meaning: as much as they do.
const TEXT_WEIGHT_SEMANTIC: f64 = 0.5;
/// How much it counts when the vectors compare words too, and less well.
const TEXT_WEIGHT_LEXICAL: f64 = 0.9;

/// The convex combination of both arms' scores, each scaled to 0..1 (Bruch et al. 2023, "An Analysis of Fusion
/// Functions for Hybrid Retrieval"). `docs/decisions/0005-score-fusion.md` has the measurements.
///
/// In each arm its best chunk has 1 and its floor 0. The floor is the score of the last candidate if the arm gave as
/// many as it was asked for, as what it left out is no better, and otherwise 0, as what it left out does not match at
/// all. A chunk that only one arm found has 0 in the other. An arm that found nothing counts for nothing, so that the
/// other decides alone.
///
/// Every chunk appears once, in no order.
pub(crate) fn fuse(arms: &Arms<'_>) -> Vec<(ChunkId, f64)> {
    // A vector that is at a right angle or more to the query's says nothing for its chunk.
    let vectors: Vec<ChunkHit> = arms.vectors.iter().copied().filter(|hit| hit.score > 0.0).collect();
    let weight = match (arms.text.is_empty(), vectors.is_empty()) {
        (_, true) => 1.0,
        (true, false) => 0.0,
        (false, false) if arms.lexical => TEXT_WEIGHT_LEXICAL,
        (false, false) => TEXT_WEIGHT_SEMANTIC,
    };
    let mut fused: HashMap<ChunkId, f64> = HashMap::with_capacity(arms.text.len() + vectors.len());
    for (hits, weight) in [(arms.text, weight), (vectors.as_slice(), 1.0 - weight)] {
        for (chunk, score) in scaled(hits, arms.depth) {
            *fused.entry(chunk).or_default() += weight * score;
        }
    }
    fused.into_iter().collect()
}

fn scaled(hits: &[ChunkHit], depth: usize) -> impl Iterator<Item = (ChunkId, f64)> + '_ {
    let best = hits.iter().map(|hit| hit.score).fold(0.0, f64::max);
    let last = hits.iter().map(|hit| hit.score).fold(f64::INFINITY, f64::min);
    let floor = if hits.len() < depth { 0.0 } else { last };
    let scale = move |score: f64| if best > floor { ((score - floor) / (best - floor)).clamp(0.0, 1.0) } else { 1.0 };
    hits.iter().map(move |hit| (hit.chunk, scale(hit.score)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hit(id: u8, score: f64) -> ChunkHit {
        ChunkHit::new(ChunkId::from_bytes([id; 16]), score)
    }

    fn fused(text: &[ChunkHit], vectors: &[ChunkHit], depth: usize, lexical: bool) -> BTreeMap<u8, f64> {
        let found = fuse(&Arms { text, vectors, depth, lexical });
        found.into_iter().map(|(chunk, score)| (chunk.as_bytes()[0], (score * 1e6).round() / 1e6)).collect()
    }

    #[test]
    fn scores_are_scaled_and_weighted() {
        let (text, vectors) = ([hit(1, 8.0), hit(2, 4.0)], [hit(2, 0.8), hit(3, 0.2)]);
        assert_eq!(fused(&text, &vectors, 10, false), [(1, 0.5), (2, 0.75), (3, 0.125)].into());
        assert_eq!(fused(&text, &vectors, 10, true), [(1, 0.9), (2, 0.55), (3, 0.025)].into());
    }

    #[test]
    fn a_full_list_ends_at_the_floor() {
        assert_eq!(
            fused(&[hit(1, 8.0), hit(2, 6.0), hit(3, 4.0)], &[], 3, false),
            [(1, 1.0), (2, 0.5), (3, 0.0)].into()
        );
    }

    #[test]
    fn close_seconds_stay_close_in_short_lists() {
        assert_eq!(fused(&[hit(1, 5.0), hit(2, 4.9)], &[], 10, false), [(1, 1.0), (2, 0.98)].into());
    }

    #[test]
    fn one_candidate_or_equal_ones_have_all() {
        assert_eq!(fused(&[hit(1, 0.3)], &[], 1, false), [(1, 1.0)].into());
        assert_eq!(fused(&[], &[hit(1, 0.3), hit(2, 0.3)], 2, false), [(1, 1.0), (2, 1.0)].into());
    }

    #[test]
    fn an_empty_arm_leaves_the_other_alone() {
        assert_eq!(fused(&[], &[hit(1, 0.9), hit(2, 0.45)], 9, true), [(1, 1.0), (2, 0.5)].into());
        assert_eq!(fused(&[hit(1, 2.0)], &[hit(1, -0.5), hit(2, 0.0)], 9, false), [(1, 1.0)].into());
        assert_eq!(fused(&[], &[], 9, false), BTreeMap::new());
    }

    proptest! {
        #[test]
        fn scores_lie_between_0_and_1(
            text in proptest::collection::vec(0.0..40f64, 0..8),
            vectors in proptest::collection::vec(-1.0..1f64, 0..8),
            depth in 1usize..9,
            lexical: bool,
        ) {
            let text: Vec<_> = (0..).zip(text).map(|(id, score)| hit(id, score)).collect();
            let vectors: Vec<_> = (4..).zip(vectors).map(|(id, score)| hit(id, score)).collect();
            for (_, score) in fuse(&Arms { text: &text, vectors: &vectors, depth, lexical }) {
                prop_assert!((0.0..=1.0).contains(&score), "{score}");
            }
        }
    }
}

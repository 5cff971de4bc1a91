//! Whether what an index gave is all that it should have given.
//!
//! An index keeps numbers of 16 bits. Vectors that these can't tell apart it gives in any order, and of many that are alike
//! any: which of them are nearest, only comparing all of them by 32 bits can say.

use ironclaw_core::model::workspace::ChunkHit;
use ironclaw_core::search::VECTOR_TOLERANCE;

/// What a search through an index gave.
pub(super) struct Found {
    /// The nearest of the candidates, by numbers of 32 bits, nearest first.
    pub(super) hits: Vec<ChunkHit>,
    /// How many candidates there were.
    pub(super) candidates: u64,
    /// How far the furthest candidate is as the index reckons: what is no candidate is as far at least.
    pub(super) furthest: f64,
    /// How often the index had been scanned after the search. The server may take another for it.
    pub(super) scans: i64,
}

impl Found {
    /// Whether no vector that the index passed over for its numbers can be nearer than the last hit; where its graph leads,
    /// nobody can say. It must have given as many candidates as were asked for, and of those `limit` that are similar at all:
    /// it knows no vectors of zeros.
    pub(super) fn is_certain(&self, dimensions: usize, asked: u64, limit: u32) -> bool {
        let last = self.hits.last().filter(|hit| hit.score > 0.0 && self.hits.len() == limit as usize);
        let is_nearer = |hit: &ChunkHit| 1.0 - hit.score + VECTOR_TOLERANCE < self.furthest - resolution(dimensions);
        self.candidates == asked && last.is_some_and(is_nearer)
    }
}

/// How much a number of 16 bits may differ from the number that was rounded, by its size: it has 11 binary digits.
const RELATIVE: f64 = 1.0 / 2048.0;

/// How much at most, if it is so small (less than 2^-14) that it has fewer digits.
const ABSOLUTE: f64 = 1.0 / 33_554_432.0;

/// How much the distance that an index reckons with may differ from the real one.
///
/// It rounds a vector, scales it to length 1 and rounds it again, and takes the inner product with a query that it treats the
/// same: each rounding moves a vector of length 1 (or more, as all are stored but those of 32-bit numbers near their end)
/// by a certain part at most.
fn resolution(dimensions: usize) -> f64 {
    let moved = 2.0 * (RELATIVE + ABSOLUTE * (dimensions as f64).sqrt());
    2.0 * moved + moved * moved + VECTOR_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironclaw_core::SystemClock;
    use ironclaw_core::id::ChunkId;

    fn found(distances: &[f64], furthest: f64) -> Found {
        let hit = |distance: &f64| ChunkHit::new(ChunkId::make(&SystemClock), 1.0 - distance);
        Found { hits: distances.iter().map(hit).collect(), candidates: 30, furthest, scans: 0 }
    }

    #[test]
    fn what_16_bits_cannot_tell_apart_is_not_certain() {
        let is_certain = |distances: &[f64], furthest| found(distances, furthest).is_certain(384, 30, 2);
        assert!(is_certain(&[0.3, 0.4], 0.4021));
        assert!(!is_certain(&[0.3, 0.4], 0.4019), "it is right to two thousandths");
        assert!(!is_certain(&[0.0, 0.0], 0.0), "all the same");
        assert!(!is_certain(&[0.3], 0.9), "fewer than asked");
        assert!(!found(&[0.3, 0.4], 0.9).is_certain(384, 31, 2), "fewer candidates than asked");
        assert!(!is_certain(&[0.9, 1.0], 1.5), "not similar");
        assert!(!is_certain(&[], f64::NAN));
    }

    /// Bits that a number of 16 has not are rounded off, to even.
    fn rounded(number: &f64) -> f64 {
        let unit = 2_f64.powi((number.abs().log2().floor() as i32 - 10).max(-24));
        (number / unit).round_ties_even() * unit
    }

    #[test]
    fn no_index_is_further_off() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut number = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / 16_777_216.0 - 0.5
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let unit = |a: &[f64]| a.iter().map(|n| n / dot(a, a).sqrt()).collect::<Vec<_>>();
        let by_16 = |a: &[f64]| a.iter().map(rounded).collect::<Vec<_>>();
        let as_the_index = |a: &[f64]| by_16(&unit(&by_16(a)));
        for dimensions in [1, 2, 3, 8, 384] {
            for spread in [1.0, 0.1, 0.01, 0.001] {
                let mut furthest = 0_f64;
                let query = unit(&(0..dimensions).map(|_| number()).collect::<Vec<_>>());
                for _ in 0..200 {
                    let vector: Vec<f64> = query.iter().map(|n| 1.1 * n + spread * number()).collect();
                    let reckoned = dot(&as_the_index(&query), &as_the_index(&vector));
                    furthest = furthest.max((reckoned - dot(&query, &unit(&vector))).abs());
                }
                assert!(furthest <= resolution(dimensions), "{dimensions} {spread}: {furthest}");
                // And not by orders of magnitude less, where there is anything to round and little to cancel out.
                let is_tight = furthest > resolution(dimensions) / 50.0;
                assert!(is_tight || ![2, 3, 8].contains(&dimensions), "{dimensions} {spread}: {furthest}");
            }
        }
    }
}

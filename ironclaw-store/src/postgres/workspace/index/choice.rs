//! Who has an index.

use std::cmp::Reverse;

use super::{COMPARED_ONE_BY_ONE, OwnIndex};

/// A user's vectors of a model.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) owner_no: i64,
    pub(super) chunks: u64,
    pub(super) index: OwnIndex,
    /// Whether there is the index, whole.
    pub(super) is_made: bool,
}

impl Candidate {
    /// Its vectors, four times; five times if there is an index already, so that who is as large as another, or as large as
    /// one has to be, does not lose it and get it back at every turn.
    fn weight(&self) -> u64 {
        self.chunks.saturating_mul(if self.is_made { 5 } else { 4 })
    }
}

/// Nobody with so many vectors has an index.
pub(super) fn fewest() -> u64 {
    COMPARED_ONE_BY_ONE * 4 / 5
}

/// The `most` that have an index, and the others that might: every user's largest comes before any user's second, and among
/// those the larger before the smaller.
pub(super) fn choose(mut candidates: Vec<Candidate>, most: u32) -> (Vec<Candidate>, Vec<Candidate>) {
    candidates.retain(|candidate| candidate.weight() > 4 * COMPARED_ONE_BY_ONE);
    candidates.sort_by(|a, b| {
        let key = |c: &Candidate| (c.owner_no, Reverse(c.weight()));
        key(a).cmp(&key(b)).then_with(|| a.index.name().cmp(b.index.name()))
    });
    let (mut owner_no, mut round) = (None, 0);
    let mut in_rounds: Vec<(u64, Candidate)> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        round = if owner_no == Some(candidate.owner_no) { round + 1 } else { 0 };
        owner_no = Some(candidate.owner_no);
        in_rounds.push((round, candidate));
    }
    // Sorting keeps the order of what is alike: that of users.
    in_rounds.sort_by_key(|(round, candidate)| (*round, Reverse(candidate.weight())));
    let mut wanted: Vec<Candidate> = in_rounds.into_iter().map(|(_, candidate)| candidate).collect();
    let others = wanted.split_off(wanted.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
    (wanted, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(owner_no: i64, key: i64, chunks: u64, is_made: bool) -> Candidate {
        Candidate { owner_no, chunks, index: OwnIndex::new("public", owner_no, key, 8), is_made }
    }

    /// Who has one of `most`: users with their models.
    fn chosen(candidates: &[(i64, i64, u64, bool)], most: u32) -> Vec<String> {
        let candidates = candidates.iter().map(|&(owner_no, key, chunks, made)| candidate(owner_no, key, chunks, made));
        let (wanted, _) = choose(candidates.collect(), most);
        let name = |candidate: &Candidate| {
            candidate.index.name().replace("chunk_vectors_", "").replace("_000000000000000", " ")
        };
        wanted.iter().map(name).collect()
    }

    #[test]
    fn a_user_with_many_models_takes_nobodys_turn() {
        let mut all: Vec<_> = (0..9).map(|key| (1, key, 90_000 + key as u64, false)).collect();
        all.extend([(2, 0, 5_000, false), (3, 0, 6_000, false), (3, 1, 7_000, false)]);
        assert_eq!(chosen(&all, 2), ["1 8", "3 1"]);
        assert_eq!(chosen(&all, 3), ["1 8", "3 1", "2 0"]);
        assert_eq!(chosen(&all, 6), ["1 8", "3 1", "2 0", "1 7", "3 0", "1 6"]);
        assert_eq!(chosen(&all, 99).len(), 12);
        assert_eq!(chosen(&all, 0), [""; 0]);
    }

    #[test]
    fn who_has_an_index_keeps_it_until_another_is_larger_by_more_than_a_quarter() {
        assert_eq!(chosen(&[(1, 0, 8_000, true), (2, 0, 10_000, false)], 1), ["1 0"]);
        assert_eq!(chosen(&[(1, 0, 8_000, true), (2, 0, 10_001, false)], 1), ["2 0"]);
        // And then the other does.
        assert_eq!(chosen(&[(1, 0, 12_501, false), (2, 0, 10_001, true)], 1), ["2 0"]);
        // The same between models of one user, and at the least that an index is made for.
        assert_eq!(chosen(&[(1, 0, 8_000, true), (1, 1, 10_000, false)], 1), ["1 0"]);
        assert_eq!(chosen(&[(1, 0, 4_000, false), (2, 0, 4_000, true), (3, 0, 3_201, true)], 9), ["2 0", "3 0"]);
        assert_eq!(chosen(&[(1, 0, 4_001, false), (2, 0, 3_200, true)], 9), ["1 0"]);
    }
}

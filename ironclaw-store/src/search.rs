//! Full-text search as both stores do it: postings of one user, scored with that user's own statistics.

pub(crate) mod postings;
pub(crate) mod rank;
pub(crate) mod vector;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use ironclaw_core::search::Bm25;

use self::postings::Posting;
use self::rank::Best;

/// Numbers of versions.
pub(crate) type Versions = HashSet<u64, Mixed>;

/// The scores of chunks for a query, term by term. `K` is what a store knows a chunk by.
pub(crate) struct Scores<K> {
    bm25: Bm25,
    scores: HashMap<K, f64, Mixed>,
    found: Vec<(u64, Posting)>,
}

impl<K: Hash + Eq> Scores<K> {
    pub(crate) fn new(bm25: Bm25) -> Self {
        Self { bm25, scores: HashMap::default(), found: Vec::new() }
    }

    /// Adds what a term counts for. `blocks` are all its postings; those of `hidden` versions do not count at all, and
    /// only chunks of versions in `within` are found, if it is given: a term's document frequency is that of all
    /// visible chunks, so that a chunk's score is the same in every search for the same words. `None` if the bytes are
    /// not blocks.
    pub(crate) fn add(
        &mut self,
        blocks: &[u8],
        hidden: &Versions,
        within: Option<&Versions>,
        key: impl Fn(u64, u64) -> K,
    ) -> Option<()> {
        self.found.clear();
        let found = &mut self.found;
        postings::decode(
            blocks,
            |version| !hidden.contains(&version),
            |version, posting| found.push((version, posting)),
        )?;
        let term = self.bm25.term(self.found.len() as u64);
        for (version, posting) in &self.found {
            if within.is_none_or(|within| within.contains(version)) {
                *self.scores.entry(key(*version, posting.chunk_no)).or_default() +=
                    term.score(posting.frequency, posting.length);
            }
        }
        Some(())
    }

    /// The best chunks, in no order yet, and those that equal the last of them.
    pub(crate) fn into_best(self, limit: usize) -> Vec<(f64, K)> {
        let mut best = Best::new(limit);
        self.scores.into_iter().for_each(|(chunk, score)| best.offer(score, chunk));
        best.into_kept()
    }
}

/// Hashes numbers that we made ourselves, so nobody can choose them to collide.
pub(crate) type Mixed = BuildHasherDefault<NumberHasher>;

/// Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4) with its high half mixed into the low.
#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

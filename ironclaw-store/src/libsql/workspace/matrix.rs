//! The vectors of one user and one model in memory, side by side, and the search through all of them.

use crate::search::rank::{self, Best};
use crate::search::vector::normalise;

/// Vectors of the same length, each scaled to length 1 (a vector of zeros stays as it is).
#[derive(Debug)]
pub(super) struct Matrix {
    dimensions: usize,
    values: Vec<f32>,
    rows: Vec<Row>,
}

/// The part of a matrix that is reserved for more.
const SLACK: usize = 16;

/// The most numbers for which room is made before they are there: 64 MiB.
const RESERVED: usize = 16 << 20;

/// Whose vector it is.
#[derive(Debug, Clone, Copy)]
struct Row {
    chunk: [u8; 16],
    version_no: u64,
}

impl Matrix {
    /// No vectors yet.
    pub(super) fn new(dimensions: usize) -> Self {
        Self { dimensions, values: Vec::new(), rows: Vec::new() }
    }

    /// How long the vectors are.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How many vectors there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The memory that its vectors take. What is reserved beyond them is a sixteenth at most.
    pub(super) fn bytes(&self) -> usize {
        self.values.len() * size_of::<f32>() + self.rows.len() * size_of::<Row>()
    }

    /// Makes room for that many further vectors, as far as that is little memory: how many there really are shows when
    /// they are read.
    pub(super) fn reserve(&mut self, vectors: usize) {
        let vectors = vectors.min(RESERVED / self.dimensions.max(1));
        self.values.reserve_exact(vectors * self.dimensions);
        self.rows.reserve_exact(vectors);
    }

    /// Adds a vector as it is stored: `None` if it has not as many numbers as the others.
    pub(super) fn push(&mut self, chunk: [u8; 16], version_no: u64, stored: &[u8]) -> Option<()> {
        let (numbers, rest) = stored.as_chunks::<4>();
        if numbers.len() != self.dimensions || !rest.is_empty() {
            return None;
        }
        let start = self.values.len();
        // A vector's own growth would double what a user of many vectors takes, for a single one more.
        if self.values.capacity() - start < self.dimensions {
            let more = (self.rows.len() / SLACK).max(1);
            self.values.reserve_exact(more * self.dimensions);
            self.rows.reserve_exact(more);
        }
        self.values.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
        normalise(&mut self.values[start..]);
        self.rows.push(Row { chunk, version_no });
        Some(())
    }

    /// Keeps only the vectors of the versions that `keep` accepts. The others change places.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        for index in (0..self.rows.len()).rev() {
            if keep(self.rows[index].version_no) {
                continue;
            }
            self.rows.swap_remove(index);
            let last = self.rows.len() * self.dimensions;
            self.values.copy_within(last.., index * self.dimensions);
            // What was deleted must not stay in memory.
            self.values[last..].fill(0.0);
            self.values.truncate(last);
        }
        self.values.shrink_to(self.values.len() + self.values.len() / SLACK);
        self.rows.shrink_to(self.rows.len() + self.rows.len() / SLACK);
    }

    /// The chunks nearest to `query`, which has [`dimensions`](Self::dimensions) numbers, among the versions that
    /// `visible` accepts: cosine similarity, best first, equal ones in the order of chunk ids.
    pub(super) fn nearest(&self, query: &[f32], limit: usize, visible: impl Fn(u64) -> bool) -> Vec<(f64, [u8; 16])> {
        let mut query = query.to_vec();
        normalise(&mut query);
        let mut best = Best::new(limit);
        for (row, vector) in self.rows.iter().zip(self.values.chunks_exact(self.dimensions)) {
            if visible(row.version_no) {
                best.offer(f64::from(dot(vector, &query)).clamp(-1.0, 1.0), row.chunk);
            }
        }
        rank::ordered(best.into_kept(), limit)
    }
}

/// The bytes of a vector as it is stored: little-endian numbers of 32 bits.
pub(super) fn to_stored(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The dot product, in lanes that do not wait for each other, so that the compiler can use vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(vectors: &[(u8, u64, [f32; 3])]) -> Matrix {
        let mut matrix = Matrix::new(3);
        for (id, version_no, vector) in vectors {
            matrix.push([*id; 16], *version_no, &to_stored(vector)).unwrap();
        }
        matrix
    }

    fn ids(hits: &[(f64, [u8; 16])]) -> Vec<u8> {
        hits.iter().map(|(_, id)| id[0]).collect()
    }

    #[test]
    fn scores_are_cosines_whatever_the_lengths() {
        let matrix = matrix(&[
            (1, 1, [3.0, 0.0, 0.0]),
            (2, 1, [0.0, 1e-30, 0.0]),
            (3, 1, [-2e38, -2e38, 0.0]),
            (4, 1, [0.0, 0.0, 0.0]),
        ]);
        let hits = matrix.nearest(&[1e20, 1e20, 0.0], 9, |_| true);
        assert_eq!(ids(&hits), [1, 2, 4, 3]);
        let expected = [0.5_f64.sqrt(), 0.5_f64.sqrt(), 0.0, -1.0];
        for ((score, _), expected) in hits.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-6, "{score} {expected}");
        }
        assert!(matrix.nearest(&[0.0; 3], 9, |_| true).iter().all(|(score, _)| *score == 0.0));
    }

    #[test]
    fn removing_keeps_the_others_with_their_ids() {
        let mut matrix = matrix(&[
            (1, 7, [1.0, 0.0, 0.0]),
            (2, 8, [0.0, 1.0, 0.0]),
            (3, 7, [0.0, 0.0, 1.0]),
            (4, 9, [0.0, 1.0, 1.0]),
        ]);
        matrix.retain(|version| version != 7);
        assert_eq!(matrix.len(), 2);
        assert_eq!(ids(&matrix.nearest(&[0.0, 1.0, 0.0], 9, |_| true)), [2, 4]);
        assert_eq!(ids(&matrix.nearest(&[0.0, 1.0, 0.0], 9, |version| version == 9)), [4]);
        matrix.retain(|_| false);
        assert_eq!((matrix.len(), matrix.values.len()), (0, 0));
    }

    #[test]
    fn one_vector_more_takes_no_more_than_a_sixteenth() {
        let mut matrix = Matrix::new(3);
        matrix.reserve(1_000);
        for id in 0..1_001_u64 {
            matrix.push([0; 16], id, &to_stored(&[1.0, 2.0, 3.0])).unwrap();
        }
        assert_eq!(matrix.bytes(), 1_001 * (3 * 4 + size_of::<Row>()));
        assert!(matrix.values.capacity() <= 3 * 1_001 * 17 / 16, "{}", matrix.values.capacity());
        matrix.retain(|version_no| version_no < 10);
        assert!(matrix.values.capacity() <= 3 * 11 && matrix.rows.capacity() <= 11);
        matrix.reserve(usize::MAX);
        assert!(matrix.values.capacity() <= RESERVED + 3 * 10);
    }

    #[test]
    fn a_vector_of_another_length_is_refused() {
        let mut matrix = Matrix::new(3);
        assert_eq!(matrix.push([0; 16], 1, &to_stored(&[1.0, 2.0])), None);
        assert_eq!(matrix.push([0; 16], 1, &[0; 13]), None);
        assert_eq!(matrix.len(), 0);
    }

    #[test]
    fn the_lanes_and_the_rest_are_all_added() {
        let a: Vec<f32> = (1..=37_u8).map(f32::from).collect();
        assert_eq!(dot(&a, &[2.0; 37]), 2.0 * 37.0 * 38.0 / 2.0);
    }
}

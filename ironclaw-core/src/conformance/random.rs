//! Texts, bytes and vectors that are the same on every run, and that nothing compresses: a size is only tested by what
//! takes that much room wherever it is kept.

/// A generator of numbers (xorshift64*; Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators,
/// scrambled").
pub(crate) struct Random(u64);

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Random {
    /// Each seed has numbers of its own.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below a limit that is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize % limit
    }

    /// So many letters, digits, `-` and `_`.
    pub(crate) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    /// A vector of numbers between -1 and 1.
    pub(crate) fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.below(2_000_001) as f32 / 1e6 - 1.0).collect()
    }
}

/// So many letters, digits, `-` and `_`: a name or a part of a path.
pub(crate) fn letters(count: usize) -> String {
    Random::new(count as u64).letters(count)
}

/// So many bytes.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    Random::new(count as u64).bytes(count)
}

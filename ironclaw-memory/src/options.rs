use ironclaw_core::Limits;
use ironclaw_core::input::{InputError, Problem};

use crate::chunk::Chunker;

/// Sizes and bounds of a [`HybridMemory`](crate::HybridMemory).
///
/// ```
/// let mut options = ironclaw_memory::Options::default();
/// options.chunk_bytes = 600;
/// options.embed_concurrency = 4;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The sizes that are accepted: the same as the store's.
    pub limits: Limits,
    /// The size that chunks are filled up to, in bytes: 32 to 16,384. Default 1,000. Another size is used for what is
    /// written from then on; what was written stays as it is.
    pub chunk_bytes: usize,
    /// The longest query, in bytes. Default 16 KiB.
    pub query_bytes: usize,
    /// How many candidates are taken from full text and from vectors each, at least as many as passages are wanted: 1
    /// to 1,000. Default 100.
    pub candidates: u32,
    /// How much content goes into one change of the store, in bytes: at least one part. Memory in use is a few times
    /// this. Default 1 MiB.
    pub batch_bytes: usize,
    /// The most files that go into one change of the store: 1 to 1,000. Default 128.
    pub batch_files: usize,
    /// How many texts the embedder is given at once: 1 to 10,000. Default 128.
    pub embed_batch: usize,
    /// How many such calls of the embedder go on at once: 1 to 64. Default 2.
    pub embed_concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            chunk_bytes: Chunker::DEFAULT_BYTES,
            query_bytes: 16 << 10,
            candidates: 100,
            batch_bytes: 1 << 20,
            batch_files: 128,
            embed_batch: 128,
            embed_concurrency: 2,
        }
    }
}

impl Options {
    /// The chunker these options ask for.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] for the first option that is out of its range.
    pub(crate) fn check(&self) -> Result<Chunker, InputError> {
        let within = |field, ok, expected| match ok {
            true => Ok(()),
            false => Err(InputError::new(field, Problem::OutOfRange { expected })),
        };
        within("part size", self.limits.part_bytes >= 1_024, "at least 1024 bytes")?;
        within("operations", self.limits.operations >= 8, "at least 8 operations")?;
        within("query size", self.query_bytes > 0, "at least 1 byte")?;
        within("candidates", (1..=1_000).contains(&self.candidates), "1 to 1000")?;
        within("batch size", self.batch_bytes >= self.limits.part_bytes, "at least one part")?;
        within("batch files", (1..=1_000).contains(&self.batch_files), "1 to 1000")?;
        within("embedding batch", (1..=10_000).contains(&self.embed_batch), "1 to 10000")?;
        within("embedding concurrency", (1..=64).contains(&self.embed_concurrency), "1 to 64")?;
        Chunker::new(self.chunk_bytes)
    }

    /// The most files that one change holds: each takes up to three operations, beside the model's registration.
    pub(crate) fn files_per_change(&self) -> usize {
        self.batch_files.min((self.limits.operations - 1) / 3)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        assert!(Options::default().check().is_ok());
        let field = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().unwrap_err().field()
        };
        assert_eq!(field(|o| o.chunk_bytes = 0), "chunk size");
        assert_eq!(field(|o| o.candidates = 0), "candidates");
        assert_eq!(field(|o| o.batch_bytes = 1), "batch size");
        assert_eq!(field(|o| o.batch_files = 0), "batch files");
        assert_eq!(field(|o| o.embed_batch = 0), "embedding batch");
        assert_eq!(field(|o| o.embed_concurrency = 0), "embedding concurrency");
        assert_eq!(field(|o| o.query_bytes = 0), "query size");
        assert_eq!(field(|o| o.limits.part_bytes = 0), "part size");
        assert_eq!(field(|o| o.limits.operations = 1), "operations");
    }
}

use std::ops::Range;

use futures::stream::{self, StreamExt, TryStreamExt};
use ironclaw_core::embedder::{EmbedError, Purpose};
use ironclaw_core::id::ChunkId;
use ironclaw_core::memory::MemoryError;
use ironclaw_core::model::workspace::{ContentHash, NewChunk, Part, check_vector};
use ironclaw_core::{Clock, Scope};

use super::Inner;
use crate::error;

/// A part whose chunks are known, and not yet their vectors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// The chunks, in bytes from the start of the part.
    pub(super) ranges: Vec<Range<usize>>,
}

/// Consecutive parts of a file; size and hash of the whole with the last of them.
pub(super) struct Batch<T> {
    pub(super) parts: Vec<T>,
    pub(super) end: Option<(u64, ContentHash)>,
}

impl Draft {
    /// The texts of the chunks, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.ranges.iter().map(|range| String::from_utf8_lossy(&self.bytes[range.clone()]).into_owned())
    }

    /// The part, with the next of `vectors` for each of its chunks.
    pub(super) fn into_part(self, vectors: &mut impl Iterator<Item = Vec<f32>>, clock: &dyn Clock) -> Part {
        let chunk = |range: Range<usize>| {
            NewChunk::new(ChunkId::make(clock), self.offset + range.start as u64, self.offset + range.end as u64)
                .embedding(vectors.next())
        };
        Part::new(self.offset, self.bytes).chunks(self.ranges.into_iter().map(chunk).collect())
    }
}

impl Inner {
    /// The vectors of these texts, in order: embedded in batches, a few of them at once.
    pub(super) async fn embed_documents(
        &self,
        scope: &Scope,
        texts: Vec<String>,
    ) -> Result<Vec<Vec<f32>>, MemoryError> {
        let mut batches = Vec::with_capacity(texts.len().div_ceil(self.options.embed_batch));
        let mut texts = texts.into_iter();
        loop {
            let batch: Vec<String> = texts.by_ref().take(self.options.embed_batch).collect();
            if batch.is_empty() {
                break;
            }
            batches.push(self.embed(scope, Purpose::Document, batch));
        }
        let vectors = stream::iter(batches).buffered(self.options.embed_concurrency);
        vectors.try_concat().await.map_err(error::embedding("write"))
    }

    /// The vectors of these texts, checked to be what an embedder promises.
    pub(super) async fn embed(
        &self,
        scope: &Scope,
        purpose: Purpose,
        texts: Vec<String>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let (asked, model) = (texts.len(), self.embedder.model());
        let vectors = self.embedder.embed(scope, purpose, texts).await?;
        if vectors.len() != asked {
            return Err(error::malformed(format!("{} vectors for {asked} texts", vectors.len())));
        }
        for vector in &vectors {
            check_vector(vector, model.dimensions as usize).map_err(|refused| {
                error::malformed("a vector is not what the model states").with_source(refused.to_string())
            })?;
        }
        Ok(vectors)
    }
}

//! What both engines' workspaces have in common: rows of files and chunks, and what is refused before anything is asked or
//! written.

use ironclaw_core::Scope;
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, VersionId};
use ironclaw_core::input::{InputError, Problem, check_size};
use ironclaw_core::model::workspace::{ChunkText, ContentHash, Entry, NewChunk, check_vector};
use ironclaw_core::store::StoreError;

use crate::sql::{Query, Row, params};

/// The most chunks that one call gives.
const CHUNKS_AT_ONCE: usize = 1_000;

/// The columns that [`entry`] reads.
macro_rules! entry_columns {
    () => {
        "v.id, e.path, v.size, v.content_hash, v.metadata, v.model, v.chunks, e.created_at, v.updated_at"
    };
}

pub(crate) use entry_columns;

pub(crate) fn entry(row: &dyn Row) -> Result<Entry, StoreError> {
    Ok(Entry::new(
        row.text(1)?.try_into().map_err(|_| row.corrupt(1))?,
        VersionId::from_bytes(row.id(0)?),
        row.count(2)?,
        ContentHash::from_bytes(row.bytes(3)?),
        row.time(7)?,
    )
    .metadata(row.json(4)?)
    .embedding_model(row.optional(5, <dyn Row>::parsed)?)
    .chunks(row.count(6)?)
    .updated_at(row.time(8)?))
}

/// A chunk's id, path, place in the file, and text.
pub(crate) fn chunk_text(row: &dyn Row) -> Result<ChunkText, StoreError> {
    let (start, end) = (row.count(2)?, row.count(3)?);
    let text = String::from_utf8(row.blob(4)?).map_err(|_| row.corrupt(4))?;
    if end.checked_sub(start) != Some(text.len() as u64) {
        return Err(row.corrupt(3));
    }
    let path = row.text(1)?.try_into().map_err(|_| row.corrupt(1))?;
    Ok(ChunkText::new(ChunkId::from_bytes(row.id(0)?), path, start, end, text))
}

/// The models that the user's workspace knows.
pub(crate) fn embedding_models(scope: &Scope) -> Query<EmbeddingModel> {
    let sql = "SELECT id, dimensions, lexical FROM ironclaw.embedding_models WHERE owner_no = ?1 ORDER BY id";
    Query::of_content(scope, sql, params![], |row| {
        Ok(EmbeddingModel::new(row.parsed(0)?, row.u32(1)?).lexical(row.bool(2)?))
    })
}

/// Refuses a range whose end is before its start.
pub(crate) fn check_range(start: u64, end: u64) -> Result<(), StoreError> {
    if end < start {
        let problem = Problem::OutOfRange { expected: "an end that is not before the start" };
        return Err(StoreError::invalid_input("content", InputError::new("end", problem)));
    }
    Ok(())
}

/// Refuses to give too many chunks at once.
pub(crate) fn check_chunks(chunks: &[ChunkId]) -> Result<(), StoreError> {
    check_size("chunks", chunks.len(), CHUNKS_AT_ONCE, "items")
        .map_err(|error| StoreError::invalid_input("chunks", error))
}

/// A chunk's vector: it has one of the version's model exactly if the version has a model, of so many dimensions.
pub(crate) fn embedding<'a>(
    operation: &'static str,
    chunk: &'a NewChunk,
    dimensions: Option<usize>,
) -> Result<Option<&'a [f32]>, StoreError> {
    let refused =
        |expected| StoreError::invalid_input(operation, InputError::new("embedding", Problem::Malformed { expected }));
    match (&chunk.embedding, dimensions) {
        (None, None) => Ok(None),
        (Some(vector), Some(dimensions)) => {
            check_vector(vector, dimensions).map_err(|error| StoreError::invalid_input(operation, error))?;
            Ok(Some(vector))
        }
        (None, Some(_)) => Err(refused("a vector for each chunk of a version that has an embedding model")),
        (Some(_), None) => Err(refused("no vector in a version without an embedding model")),
    }
}

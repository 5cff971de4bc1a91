//! Rows for which a store has to do more than write their columns. The numbers are those of the columns in the tables.

use ironclaw_core::id::{ChunkId, VersionId};
use ironclaw_core::model::workspace::{NewChunk, Part};
use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::COPY;
use super::table::{Role, Row, Value, unexpected};
use crate::codes::role;
use crate::prepared::is_searched;

/// The text of a message that is searched; `None` for the others.
fn searched_text(row: &Row) -> Result<Option<&str>, StoreError> {
    match (row.get(3), row.get(6)) {
        (Some(Value::Number(code)), Some(Value::Text(content))) => {
            let role = role(*code).ok_or_else(unexpected)?;
            Ok(is_searched(role).then_some(content.as_str()))
        }
        _ => Err(unexpected()),
    }
}

/// The id of a message.
#[cfg(feature = "postgres")]
pub(crate) fn message_id(row: &Row) -> Result<[u8; 16], StoreError> {
    row.get(2).cloned().ok_or_else(unexpected)?.id()
}

/// The sequence and the hash of an audit event.
pub(crate) fn head(row: Row) -> Result<(i64, Vec<u8>), StoreError> {
    let mut row = row.into_iter();
    match (row.next(), row.nth(8)) {
        (Some(sequence), Some(hash)) => Ok((sequence.number()?, hash.bytes()?)),
        _ => Err(unexpected()),
    }
}

/// What becomes of a version.
pub(crate) struct Publication {
    pub(crate) id: [u8; 16],
    pub(crate) state: i64,
    pub(crate) content_hash: Option<Vec<u8>>,
    /// In microseconds since 1970.
    pub(crate) updated_at: i64,
}

pub(crate) fn publication(row: Row) -> Result<Publication, StoreError> {
    let [id, state, _size, _chunks, hash, updated_at] = <[Value; 6]>::try_from(row).map_err(|_| unexpected())?;
    let content_hash = match hash {
        Value::Null => None,
        hash => Some(hash.bytes()?),
    };
    Ok(Publication { id: id.id()?, state: state.number()?, content_hash, updated_at: updated_at.number()? })
}

/// A part and its version.
pub(crate) fn part(row: Row) -> Result<(VersionId, Part), StoreError> {
    let mut values = row.into_iter();
    let mut next = || values.next().ok_or_else(unexpected);
    let version = VersionId::from_bytes(next()?.id()?);
    let (offset, bytes) = (position(next()?)?, next()?.bytes()?);
    let mut chunks = Vec::new();
    let rest: Row = values.collect();
    let (rows, rest) = rest.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(unexpected());
    }
    for [id, start, end, embedding] in rows {
        let embedding = match embedding {
            Value::Null => None,
            Value::Bytes(bytes) => Some(floats(bytes)?),
            _ => return Err(unexpected()),
        };
        let id = ChunkId::from_bytes(id.clone().id()?);
        chunks.push(NewChunk::new(id, position(start.clone())?, position(end.clone())?).embedding(embedding));
    }
    Ok((version, Part::new(offset, bytes).chunks(chunks)))
}

/// The texts of a part's chunks, in order.
fn texts(part: &Part) -> impl Iterator<Item = &str> {
    part.chunks.iter().map(|chunk| part.chunk_text(chunk.start, chunk.end).unwrap_or_default())
}

fn position(value: Value) -> Result<u64, StoreError> {
    u64::try_from(value.number()?).map_err(|_| unexpected())
}

/// A vector as it is moved: little-endian numbers of 32 bits.
#[cfg(feature = "postgres")]
pub(crate) fn vector_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>, StoreError> {
    match bytes.as_chunks::<4>() {
        (numbers, []) => Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()),
        _ => Err(unexpected()),
    }
}

/// Refuses content that is sealed: a copy would say that it is plain.
pub(crate) fn check_plain(format: i64) -> Result<(), StoreError> {
    match format {
        0 => Ok(()),
        _ => {
            Err(StoreError::new(StoreErrorKind::NewerSchema, COPY, "a file is sealed; use a newer version to copy it"))
        }
    }
}

/// The terms of the texts that a batch brings for the index of words, row by row.
pub(crate) fn terms(role: Role, rows: &[Row]) -> Result<Vec<Vec<Terms>>, StoreError> {
    let of_row = |row: &Row| match role {
        Role::Message => Ok(searched_text(row)?.map(analyze).into_iter().collect()),
        Role::Part => Ok(texts(&part(row.clone())?.1).map(analyze).collect()),
        Role::Plain | Role::Publication | Role::Event => Ok(Vec::new()),
    };
    rows.iter().map(of_row).collect()
}

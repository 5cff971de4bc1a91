//! Writes: versions are begun, filled, published, replaced, deleted.

use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::VersionId;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::workspace::{ContentHash, NewVersion, Part, WorkspacePath};
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;

use super::matrix;
use crate::codes::VersionState;
use crate::libsql::row::{Row, params};
use crate::libsql::tx::Tx;
use crate::search::postings;
use crate::workspace::embedding;

/// Makes a model known to the user's workspace.
pub(super) fn register_model(tx: &Tx<'_>, model: &EmbeddingModel) -> Result<u64, StoreError> {
    let known = tx.db.query_row(
        "SELECT dimensions, lexical FROM embedding_models WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), model.id.as_str()],
        |row| Ok((row.u32(0)?, row.bool(1)?)),
    )?;
    match known {
        None => tx.db.execute(
            "INSERT INTO embedding_models (owner_no, id, dimensions, lexical, chunks) VALUES (?1, ?2, ?3, ?4, 0)",
            params![tx.content_no(), model.id.as_str(), model.dimensions, model.lexical],
        )?,
        Some(known) if known == (model.dimensions, model.lexical) => 0,
        Some(_) => return Err(tx.conflict("another embedding model is registered under this id")),
    };
    Ok(0)
}

/// Begins an invisible version.
pub(super) fn begin(tx: &Tx<'_>, version: &NewVersion) -> Result<u64, StoreError> {
    let model = version.embedding_model.as_ref().map(|model| model.as_str());
    if model.is_some() && dimensions(tx, model)?.is_none() {
        return Err(tx.not_found("the embedding model; register it first"));
    }
    tx.db.execute(
        "INSERT INTO entry_versions (owner_no, id, path, state, size, content_format, metadata, model, chunks, terms, \
         generation, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6, 0, 0, 0, ?7, ?7)",
        params![
            tx.content_no(),
            version.id.as_bytes(),
            version.path.as_str(),
            VersionState::Staging.code(),
            version.metadata.to_string(),
            model,
            tx.now,
        ],
    )?;
    Ok(0)
}

/// Adds parts to a version that is not published; `terms` are those of all their chunks.
pub(in crate::libsql) fn put_parts(
    tx: &Tx<'_>,
    id: VersionId,
    parts: &[Part],
    terms: &[Terms],
) -> Result<u64, StoreError> {
    let version = staging(tx, id)?;
    let dimensions = dimensions(tx, version.model.as_deref())?;
    let (mut end, mut terms) = (version.size, terms);
    let (mut chunks, mut length) = (0, 0);
    for part in parts {
        if part.offset != end {
            let expected = "parts in order, the first where the last one put ends";
            return Err(refused(tx, "part", Problem::Malformed { expected }));
        }
        end += part.bytes.len() as u64;
        if end > tx.limits.entry_bytes {
            let problem = Problem::TooLarge { limit: tx.limits.entry_bytes, actual: end, unit: "bytes" };
            return Err(refused(tx, "part", problem));
        }
        let (own, rest) = terms.split_at(part.chunks.len().min(terms.len()));
        terms = rest;
        put_part(tx, version.version_no, part, own, dimensions)?;
        chunks += own.len() as u64;
        length += own.iter().map(|terms| u64::from(terms.length)).sum::<u64>();
    }
    tx.db.execute(
        "UPDATE entry_versions SET size = ?2, chunks = chunks + ?3, terms = terms + ?4, updated_at = ?5 \
         WHERE version_no = ?1",
        params![version.version_no, end, chunks, length, tx.now],
    )?;
    Ok(0)
}

/// Makes a version the visible one. Its content's hash is the caller's word: hashing up to the largest size here would
/// keep every other writer waiting. The check of the store's integrity compares it with the content.
pub(super) fn publish(tx: &Tx<'_>, id: VersionId, size: u64, hash: ContentHash) -> Result<u64, StoreError> {
    let version = staging(tx, id)?;
    if version.size != size {
        let expected = "the size of all parts of the version together";
        return Err(refused(tx, "size", Problem::Malformed { expected }));
    }
    if let Some(replaced) = current(tx, &version.path)? {
        tx.check_not_held()?;
        supersede(tx, replaced)?;
    }
    tx.db.execute(
        "INSERT INTO workspace_entries (owner_no, path, version_no, created_at) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (owner_no, path) DO UPDATE SET version_no = excluded.version_no",
        params![tx.content_no(), version.path.as_str(), version.version_no, tx.now],
    )?;
    let generation = count_visible(tx, &version, 1)?;
    tx.db.execute(
        "UPDATE entry_versions SET state = ?2, content_hash = ?3, generation = ?4, updated_at = ?5 \
         WHERE version_no = ?1",
        params![version.version_no, VersionState::Current.code(), hash.as_bytes(), generation, tx.now],
    )?;
    Ok(0)
}

/// Gives up a version that is not published. How many there were.
pub(super) fn abandon(tx: &Tx<'_>, id: VersionId) -> Result<u64, StoreError> {
    match find(tx, id)? {
        Some((VersionState::Staging, version)) => {
            tx.db.execute(
                "UPDATE entry_versions SET state = ?2 WHERE version_no = ?1",
                params![version.version_no, VersionState::Superseded.code()],
            )?;
            Ok(1)
        }
        // A published version is a file, which only deleting it removes.
        _ => Ok(0),
    }
}

/// Deletes a file. How many there were.
pub(super) fn delete_entry(tx: &Tx<'_>, path: &WorkspacePath) -> Result<u64, StoreError> {
    tx.check_not_held()?;
    let Some(version_no) = current(tx, path.as_str())? else {
        return Ok(0);
    };
    supersede(tx, version_no)?;
    tx.db.execute(
        "DELETE FROM workspace_entries WHERE owner_no = ?1 AND path = ?2",
        params![tx.content_no(), path.as_str()],
    )?;
    Ok(1)
}

/// A version as writes need it.
struct Version {
    version_no: u64,
    path: String,
    size: u64,
    model: Option<String>,
    chunks: u64,
    length: u64,
}

fn put_part(
    tx: &Tx<'_>,
    version_no: u64,
    part: &Part,
    terms: &[Terms],
    dimensions: Option<usize>,
) -> Result<(), StoreError> {
    tx.db.execute(
        "INSERT INTO entry_parts (owner_no, version_no, start_byte, end_byte, content_format, bytes) \
         VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        params![tx.content_no(), version_no, part.offset, part.offset + part.bytes.len() as u64, part.bytes.as_slice(),],
    )?;
    let mut chunk_nos = Vec::with_capacity(terms.len());
    for (chunk, terms) in part.chunks.iter().zip(terms) {
        tx.db.execute(
            "INSERT INTO memory_chunks (owner_no, id, version_no, part_start, start_byte, end_byte, length, content_format, \
             embedding) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)",
            params![
                tx.content_no(),
                chunk.id.as_bytes(),
                version_no,
                part.offset,
                chunk.start,
                chunk.end,
                terms.length,
                embedding(tx.db.operation(), chunk, dimensions)?.map(matrix::to_stored),
            ],
        )?;
        chunk_nos.push(tx.db.last_insert_rowid().cast_unsigned());
    }
    for (term, block) in postings::blocks(version_no, &chunk_nos, terms) {
        tx.db.execute(
            "INSERT INTO chunk_terms (owner_no, term, version_no, part_start, postings) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![tx.content_no(), term, version_no, part.offset, block],
        )?;
    }
    Ok(())
}

/// The dimensions of a registered model; `None` without a model, or if it is not registered.
fn dimensions(tx: &Tx<'_>, model: Option<&str>) -> Result<Option<usize>, StoreError> {
    let Some(model) = model else {
        return Ok(None);
    };
    tx.db.query_row(
        "SELECT dimensions FROM embedding_models WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), model],
        |row| row.code(0, crate::search::vector::dimensions),
    )
}

fn find(tx: &Tx<'_>, id: VersionId) -> Result<Option<(VersionState, Version)>, StoreError> {
    tx.db.query_row(
        "SELECT version_no, state, path, size, model, chunks, terms FROM entry_versions \
         WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), id.as_bytes()],
        |row| {
            let state = row.code(1, VersionState::from_code)?;
            Ok((
                state,
                Version {
                    version_no: row.count(0)?,
                    path: row.text(2)?,
                    size: row.count(3)?,
                    model: row.optional(4, Row::text)?,
                    chunks: row.count(5)?,
                    length: row.count(6)?,
                },
            ))
        },
    )
}

/// A version that was begun and not published.
fn staging(tx: &Tx<'_>, id: VersionId) -> Result<Version, StoreError> {
    match find(tx, id)? {
        Some((VersionState::Staging, version)) => Ok(version),
        _ => Err(tx.not_found("a version that was begun and not yet published or given up")),
    }
}

fn current(tx: &Tx<'_>, path: &str) -> Result<Option<u64>, StoreError> {
    tx.db.query_row(
        "SELECT version_no FROM workspace_entries WHERE owner_no = ?1 AND path = ?2",
        params![tx.content_no(), path],
        |row| row.count(0),
    )
}

/// Makes the visible version invisible.
fn supersede(tx: &Tx<'_>, version_no: u64) -> Result<(), StoreError> {
    let version = tx.db.query_row(
        "SELECT version_no, path, size, model, chunks, terms FROM entry_versions WHERE version_no = ?1",
        params![version_no],
        |row| {
            Ok(Version {
                version_no: row.count(0)?,
                path: row.text(1)?,
                size: row.count(2)?,
                model: row.optional(3, Row::text)?,
                chunks: row.count(4)?,
                length: row.count(5)?,
            })
        },
    )?;
    let version = version.ok_or_else(|| tx.not_found("the version of the file"))?;
    let generation = count_visible(tx, &version, -1)?;
    tx.db.execute(
        "UPDATE entry_versions SET state = ?2, generation = ?3 WHERE version_no = ?1",
        params![version_no, VersionState::Superseded.code(), generation],
    )?;
    Ok(())
}

/// Adds a version to what is visible, or takes it away (`sign` -1). The workspace's generation with this change.
fn count_visible(tx: &Tx<'_>, version: &Version, sign: i64) -> Result<i64, StoreError> {
    let chunks = sign * version.chunks.cast_signed();
    if let Some(model) = &version.model {
        tx.db.execute(
            "UPDATE embedding_models SET chunks = chunks + ?3 WHERE owner_no = ?1 AND id = ?2",
            params![tx.content_no(), model.as_str(), chunks],
        )?;
    }
    tx.db.number(
        "INSERT INTO workspace_statistics (owner_no, documents, total_length, generation) VALUES (?1, ?2, ?3, 1) \
         ON CONFLICT (owner_no) DO UPDATE SET documents = documents + excluded.documents, \
         total_length = total_length + excluded.total_length, generation = generation + 1 RETURNING generation",
        params![tx.content_no(), chunks, sign * version.length.cast_signed()],
    )
}

fn refused(tx: &Tx<'_>, field: &'static str, problem: Problem) -> StoreError {
    StoreError::invalid_input(tx.db.operation(), InputError::new(field, problem))
}

//! Writes: versions are begun, filled, published, replaced, deleted.

use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::VersionId;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::workspace::{ContentHash, NewVersion, Part};
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;
use uuid::Uuid;

use super::path_hash;
use super::stored::{model_key, scaled};
use crate::codes::VersionState;
use crate::postgres::row::{Row, params, uuid};
use crate::postgres::tx::Tx;
use crate::search::postings;
use crate::workspace::embedding;

/// The most dimensions of the server's type for vectors.
const DIMENSIONS: u32 = 16_000;

/// Makes a model known to the user's workspace.
pub(super) async fn register_model(tx: &Tx, model: &EmbeddingModel) -> Result<u64, StoreError> {
    if model.dimensions > DIMENSIONS {
        let (limit, actual) = (DIMENSIONS.into(), model.dimensions.into());
        return Err(refused(tx, "dimensions", Problem::TooLarge { limit, actual, unit: "dimensions" }));
    }
    let sql = "SELECT dimensions, lexical FROM ironclaw.embedding_models WHERE owner_no = $1 AND id = $2";
    let known = tx
        .query_row(sql, params![tx.owner_no(), model.id.as_str()], |row| {
            Ok((row.code(0, |number| u32::try_from(number).ok())?, row.bool(1)?))
        })
        .await?;
    match known {
        None => {
            tx.execute(
                "INSERT INTO ironclaw.embedding_models (owner_no, id, dimensions, lexical, chunks) \
                 VALUES ($1, $2, $3::bigint::integer, $4, 0)",
                params![tx.owner_no(), model.id.as_str(), model.dimensions, model.lexical],
            )
            .await?;
            Ok(0)
        }
        Some(known) if known == (model.dimensions, model.lexical) => Ok(0),
        Some(_) => Err(tx.conflict("another embedding model is registered under this id")),
    }
}

/// Begins an invisible version.
pub(super) async fn begin(tx: &Tx, version: &NewVersion) -> Result<u64, StoreError> {
    let begun = tx
        .execute(
            "INSERT INTO ironclaw.entry_versions (owner_no, id, path, state, size, metadata, model, chunks, terms, \
             created_at, updated_at) SELECT $1, $2, $3, 0, 0, $4::json, $5, 0, 0, $6, $6 \
             WHERE $5 IS NULL OR EXISTS (SELECT FROM ironclaw.embedding_models m WHERE m.owner_no = $1 AND m.id = $5)",
            params![
                tx.owner_no(),
                uuid(version.id.as_bytes()),
                version.path.as_str(),
                version.metadata.to_string(),
                version.embedding_model.as_ref().map(|model| model.as_str()),
                tx.now()
            ],
        )
        .await?;
    match begun {
        0 => Err(tx.not_found("the embedding model; register it first")),
        _ => Ok(0),
    }
}

/// Adds parts to a version that is not published; `terms` are those of all their chunks.
pub(in crate::postgres) async fn put_parts(
    tx: &Tx,
    id: VersionId,
    parts: &[Part],
    terms: &[Terms],
) -> Result<u64, StoreError> {
    let version = staging(tx, id).await?;
    let mut rows = Rows { chunks: version.chunks, ..Rows::default() };
    let (mut end, mut terms) = (version.size, terms);
    for part in parts {
        if part.offset != end {
            let expected = "parts in order, the first where the last one put ends";
            return Err(refused(tx, "part", Problem::Malformed { expected }));
        }
        end += part.bytes.len() as u64;
        if end > tx.limits().entry_bytes {
            let problem = Problem::TooLarge { limit: tx.limits().entry_bytes, actual: end, unit: "bytes" };
            return Err(refused(tx, "part", problem));
        }
        let (own, rest) = terms.split_at(part.chunks.len().min(terms.len()));
        terms = rest;
        rows.add(tx, &version, part, own)?;
    }
    let dimensions = version.dimensions.unwrap_or_default();
    tx.execute(
        PUT_PARTS.replace("{pgvector}", tx.pgvector()),
        params![
            tx.owner_no(),
            version.version_no,
            end,
            tx.now(),
            rows.part_starts,
            rows.part_ends,
            rows.part_bytes,
            version.chunks,
            rows.ids,
            rows.chunk_parts,
            rows.chunk_starts,
            rows.chunk_ends,
            rows.lengths,
            model_key(version.model.as_deref().unwrap_or_default(), dimensions),
            i32::try_from(dimensions).unwrap_or(i32::MAX),
            rows.exponents,
            rows.vectors,
            rows.terms,
            rows.term_parts,
            rows.postings
        ],
    )
    .await?;
    Ok(0)
}

/// All rows of some parts in one statement. The vectors' numbers come in one array, as an array of arrays has no type
/// that the driver knows. `{pgvector}` stands for the schema of its type.
const PUT_PARTS: &str = "\
    WITH parts AS (\
        INSERT INTO ironclaw.entry_parts (owner_no, version_no, start_byte, end_byte, bytes) \
        SELECT $1, $2, p.* FROM unnest($5::bigint[], $6::bigint[], $7::bytea[]) p), \
    chunks AS (\
        INSERT INTO ironclaw.memory_chunks (owner_no, version_no, chunk_no, id, part_start, start_byte, end_byte, length) \
        SELECT $1, $2, $8::bigint + c.nr - 1, c.id, c.part, c.first, c.last, c.length \
        FROM unnest($9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]) \
            WITH ORDINALITY c (id, part, first, last, length, nr)), \
    vectors AS (\
        INSERT INTO ironclaw.chunk_vectors (owner_no, model_key, version_no, chunk_no, id, exponent, embedding) \
        SELECT $1, $14::bigint, $2, $8::bigint + v.nr - 1, v.id, v.exponent, \
            ($17::real[])[(v.nr - 1) * $15::integer + 1 : v.nr * $15::integer]::{pgvector}.vector \
        FROM unnest($9::uuid[], $16::smallint[]) WITH ORDINALITY v (id, exponent, nr) WHERE v.exponent IS NOT NULL), \
    terms AS (\
        INSERT INTO ironclaw.chunk_terms (owner_no, version_no, term, part_start, postings) \
        SELECT $1, $2, t.* FROM unnest($18::text[], $19::bigint[], $20::bytea[]) t) \
    UPDATE ironclaw.entry_versions SET size = $3, chunks = chunks + cardinality($9::uuid[]), \
        terms = terms + (SELECT coalesce(sum(length), 0) FROM unnest($13::bigint[]) length), updated_at = $4 \
    WHERE owner_no = $1 AND version_no = $2";

/// Makes a version the visible one. Its content's hash is the caller's word: hashing up to the largest size here would
/// keep the user's other writers waiting. The check of the store's integrity compares it with the content.
pub(super) async fn publish(tx: &Tx, id: VersionId, size: u64, hash: ContentHash) -> Result<u64, StoreError> {
    let version = staging(tx, id).await?;
    if version.size != size {
        let expected = "the size of all parts of the version together";
        return Err(refused(tx, "size", Problem::Malformed { expected }));
    }
    if supersede(tx, tx.owner_no(), &version.path).await? {
        tx.check_not_held()?;
    }
    tx.execute(
        "INSERT INTO ironclaw.workspace_entries (owner_no, path, version_no, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (owner_no, path_hash) DO UPDATE SET version_no = excluded.version_no",
        params![tx.owner_no(), version.path.as_str(), version.version_no, tx.now()],
    )
    .await?;
    let sql = format!(
        "WITH {COUNTED} UPDATE ironclaw.entry_versions v SET state = 1, content_hash = $4, updated_at = $5 \
         FROM counted WHERE v.owner_no = $1 AND v.version_no = $2"
    );
    let params = params![tx.owner_no(), version.version_no, 1_i64, hash.as_bytes(), tx.now()];
    tx.execute(sql, params).await?;
    Ok(0)
}

/// Counts the version `$2` of the user `$1` into what is visible, or if `$3` is -1 out of it.
const COUNTED: &str = "\
    version AS (SELECT * FROM ironclaw.entry_versions WHERE owner_no = $1 AND version_no = $2), \
    model AS (UPDATE ironclaw.embedding_models m SET chunks = m.chunks + $3 * v.chunks FROM version v \
        WHERE m.owner_no = $1 AND m.id = v.model), \
    counted AS (INSERT INTO ironclaw.workspace_statistics AS s (owner_no, documents, total_length) \
        SELECT owner_no, $3 * chunks, $3 * terms FROM version ON CONFLICT (owner_no) DO UPDATE \
        SET documents = s.documents + excluded.documents, total_length = s.total_length + excluded.total_length \
        RETURNING 1)";

/// Gives up a version that is not published. How many there were.
pub(super) async fn abandon(tx: &Tx, id: VersionId) -> Result<u64, StoreError> {
    // A published version is a file, which only deleting it removes.
    tx.execute(
        "UPDATE ironclaw.entry_versions SET state = 2 WHERE owner_no = $1 AND id = $2 AND state = 0",
        params![tx.owner_no(), uuid(id.as_bytes())],
    )
    .await
}

/// Deletes a file (the caller has checked holds). How many there were.
pub(super) async fn delete_entry(tx: &Tx, owner_no: i64, path: &str) -> Result<u64, StoreError> {
    if !supersede(tx, owner_no, path).await? {
        return Ok(0);
    }
    let sql = "DELETE FROM ironclaw.workspace_entries WHERE owner_no = $1 AND path_hash = $2";
    tx.execute(sql, params![owner_no, &path_hash(path)]).await
}

/// A version as writes need it.
struct Version {
    version_no: u64,
    path: String,
    size: u64,
    chunks: u64,
    model: Option<String>,
    dimensions: Option<usize>,
}

/// What is written of some parts, column by column.
#[derive(Default)]
struct Rows {
    /// How many chunks the version has with them.
    chunks: u64,
    part_starts: Vec<i64>,
    part_ends: Vec<i64>,
    part_bytes: Vec<Vec<u8>>,
    ids: Vec<Uuid>,
    chunk_parts: Vec<i64>,
    chunk_starts: Vec<i64>,
    chunk_ends: Vec<i64>,
    lengths: Vec<i64>,
    exponents: Vec<i16>,
    vectors: Vec<f32>,
    terms: Vec<String>,
    term_parts: Vec<i64>,
    postings: Vec<Vec<u8>>,
}

impl Rows {
    fn add(&mut self, tx: &Tx, version: &Version, part: &Part, terms: &[Terms]) -> Result<(), StoreError> {
        let start = part.offset.cast_signed();
        self.part_starts.push(start);
        self.part_ends.push((part.offset + part.bytes.len() as u64).cast_signed());
        self.part_bytes.push(part.bytes.clone());
        let mut chunk_nos = Vec::with_capacity(terms.len());
        for (chunk, terms) in part.chunks.iter().zip(terms) {
            self.ids.push(uuid(chunk.id.as_bytes()));
            self.chunk_parts.push(start);
            self.chunk_starts.push(chunk.start.cast_signed());
            self.chunk_ends.push(chunk.end.cast_signed());
            self.lengths.push(terms.length.into());
            if let Some(vector) = embedding(tx.operation(), chunk, version.dimensions)? {
                let (exponent, vector) = scaled(vector);
                self.exponents.push(exponent);
                self.vectors.extend(vector);
            }
            chunk_nos.push(self.chunks);
            self.chunks += 1;
        }
        for (term, block) in postings::blocks(version.version_no, &chunk_nos, terms) {
            self.terms.push(term.to_owned());
            self.term_parts.push(start);
            self.postings.push(block);
        }
        Ok(())
    }
}

/// A version that was begun and not published.
async fn staging(tx: &Tx, id: VersionId) -> Result<Version, StoreError> {
    let found = tx
        .query_row(
            "SELECT v.version_no, v.state, v.path, v.size, v.chunks, v.model, m.dimensions \
             FROM ironclaw.entry_versions v LEFT JOIN ironclaw.embedding_models m \
             ON m.owner_no = v.owner_no AND m.id = v.model WHERE v.owner_no = $1 AND v.id = $2",
            params![tx.owner_no(), uuid(id.as_bytes())],
            |row| {
                let version = Version {
                    version_no: row.count(0)?,
                    path: row.text(2)?,
                    size: row.count(3)?,
                    chunks: row.count(4)?,
                    model: row.optional(5, Row::text)?,
                    dimensions: row.optional(6, |row, column| row.code(column, |number| number.try_into().ok()))?,
                };
                Ok((row.code(1, VersionState::from_code)?, version))
            },
        )
        .await?;
    match found {
        Some((VersionState::Staging, version)) => Ok(version),
        _ => Err(tx.not_found("a version that was begun and not yet published or given up")),
    }
}

/// Makes the visible version of a file invisible. Whether there was one.
async fn supersede(tx: &Tx, owner_no: i64, path: &str) -> Result<bool, StoreError> {
    let sql = "SELECT version_no FROM ironclaw.workspace_entries WHERE owner_no = $1 AND path_hash = $2";
    let Some(version_no) = tx.query_row(sql, params![owner_no, &path_hash(path)], |row| row.i64(0)).await? else {
        return Ok(false);
    };
    let sql = format!(
        "WITH {COUNTED} UPDATE ironclaw.entry_versions v SET state = 2 FROM counted \
         WHERE v.owner_no = $1 AND v.version_no = $2"
    );
    tx.execute(sql, params![owner_no, version_no, -1_i64]).await?;
    Ok(true)
}

fn refused(tx: &Tx, field: &'static str, problem: Problem) -> StoreError {
    StoreError::invalid_input(tx.operation(), InputError::new(field, problem))
}

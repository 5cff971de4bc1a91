//! Reading the parts of files, each with its chunks and their vectors.

use std::collections::VecDeque;

use ironclaw_core::store::StoreError;

use crate::copy::rows::{check_plain, vector_bytes};
use crate::copy::table::{MOVED_VERSIONS, Row, Value};
use crate::postgres::row::{Row as DbRow, params};
use crate::postgres::tx::Tx;
use crate::postgres::workspace::{model_key, unscaled};

/// How many parts are in memory at the same time.
const PARTS: usize = 4;

/// How many chunks are in memory at the same time.
const CHUNKS: usize = 200;

/// All parts of one user's versions, some at a time: two cursors in the same order.
pub(super) struct Parts {
    chunks: VecDeque<Chunk>,
}

/// A chunk, with the version and the part that it belongs to.
struct Chunk {
    place: (i64, i64),
    values: [Value; 4],
}

impl Parts {
    pub(super) async fn begin(tx: &Tx, owner_no: i64) -> Result<Self, StoreError> {
        let models = tx
            .query(
                "SELECT id, dimensions FROM ironclaw.embedding_models WHERE owner_no = $1",
                params![owner_no],
                |row| Ok((row.text(0)?, row.code(1, |number| usize::try_from(number).ok())?)),
            )
            .await?;
        let keys: Vec<_> = models.into_iter().map(|(id, dimensions)| (model_key(&id, dimensions), id)).collect();
        // A statement that opens a cursor takes no parameters.
        let keys = serde_json::json!(keys).to_string();
        tx.query_row("SELECT set_config('ironclaw.copied_models', $1, true)", params![keys], |_| Ok(())).await?;
        let moved = MOVED_VERSIONS.replace("{schema}", "ironclaw.").replace("{owner}", &owner_no.to_string());
        let versions = format!("ironclaw.entry_versions t WHERE t.owner_no = {owner_no} AND {moved}");
        for cursor in [
            format!(
                "DECLARE copied_parts NO SCROLL CURSOR FOR SELECT v.version_no, p.start_byte, v.id, p.bytes, \
                 p.content_format FROM (SELECT t.version_no, t.id FROM {versions}) v JOIN ironclaw.entry_parts p \
                 ON p.owner_no = {owner_no} AND p.version_no = v.version_no ORDER BY v.id, p.start_byte"
            ),
            format!(
                "DECLARE copied_chunks NO SCROLL CURSOR FOR SELECT c.version_no, c.part_start, c.id, c.start_byte, \
                 c.end_byte, e.exponent, e.embedding::real[] FROM (SELECT t.version_no, t.id, (k.value ->> 0)::bigint AS key \
                    FROM (SELECT t.version_no, t.id, t.model FROM {versions}) t \
                    LEFT JOIN json_array_elements(current_setting('ironclaw.copied_models')::json) k \
                    ON k.value ->> 1 = t.model) v \
                 JOIN ironclaw.memory_chunks c ON c.owner_no = {owner_no} AND c.version_no = v.version_no \
                 LEFT JOIN ironclaw.chunk_vectors e ON e.owner_no = {owner_no} AND e.model_key = v.key \
                 AND e.version_no = c.version_no AND e.chunk_no = c.chunk_no ORDER BY v.id, c.chunk_no"
            ),
        ] {
            tx.execute(cursor, params![]).await?;
        }
        Ok(Self { chunks: VecDeque::new() })
    }

    /// The next ones; none at the end.
    pub(super) async fn next(&mut self, tx: &Tx) -> Result<Vec<Row>, StoreError> {
        let parts = tx
            .query(format!("FETCH {PARTS} FROM copied_parts"), params![], |row| {
                check_plain(row.code(4, Some)?)?;
                Ok(((row.i64(0)?, row.i64(1)?), row.id(2)?, row.blob(3)?))
            })
            .await?;
        let mut rows = Vec::with_capacity(parts.len());
        for (place, id, bytes) in parts {
            let mut row = vec![Value::Bytes(id.to_vec()), Value::Number(place.1), Value::Bytes(bytes)];
            while let Some(chunk) = self.next_of(tx, place).await? {
                row.extend(chunk);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The next chunk if it belongs to this part.
    async fn next_of(&mut self, tx: &Tx, place: (i64, i64)) -> Result<Option<[Value; 4]>, StoreError> {
        if self.chunks.is_empty() {
            self.chunks = tx.query(format!("FETCH {CHUNKS} FROM copied_chunks"), params![], chunk).await?.into();
        }
        let is_its = self.chunks.front().is_some_and(|chunk| chunk.place == place);
        Ok(self.chunks.pop_front_if(|_| is_its).map(|chunk| chunk.values))
    }
}

fn chunk(row: &DbRow<'_>) -> Result<Chunk, StoreError> {
    let vector = match row.optional(5, |row, column| row.code(column, |code| i16::try_from(code).ok()))? {
        Some(exponent) => Value::Bytes(vector_bytes(&unscaled(exponent, &row.array::<f32>(6)?))),
        None => Value::Null,
    };
    let values = [Value::Bytes(row.id(2)?.to_vec()), Value::Number(row.i64(3)?), Value::Number(row.i64(4)?), vector];
    Ok(Chunk { place: (row.i64(0)?, row.i64(1)?), values })
}

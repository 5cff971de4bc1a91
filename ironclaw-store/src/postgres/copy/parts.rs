//! Reading the parts of files, each with its chunks and their vectors.

use std::collections::HashMap;

use ironclaw_core::store::StoreError;

use crate::copy::rows::vector_bytes;
use crate::copy::table::{Row, Value};
use crate::postgres::row::{Row as DbRow, params};
use crate::postgres::tx::Tx;
use crate::postgres::workspace::{model_key, unscaled};

/// How many parts are in memory at the same time.
const AT_ONCE: usize = 4;

/// All parts of one user's versions, some at a time.
pub(super) struct Parts {
    owner_no: i64,
    /// Which vectors are those of a model.
    keys: HashMap<String, i64>,
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
        let keys = models.into_iter().map(|(id, dimensions)| (id.clone(), model_key(&id, dimensions))).collect();
        let declare = format!(
            "DECLARE copied_parts NO SCROLL CURSOR FOR SELECT v.version_no, p.start_byte, v.id, p.bytes, v.model \
             FROM ironclaw.entry_versions v JOIN ironclaw.entry_parts p \
             ON p.owner_no = v.owner_no AND p.version_no = v.version_no \
             WHERE v.owner_no = {owner_no} AND v.state <> 2 ORDER BY v.id, p.start_byte"
        );
        tx.execute(declare, params![]).await?;
        Ok(Self { owner_no, keys })
    }

    /// The next ones; none at the end.
    pub(super) async fn next(&mut self, tx: &Tx) -> Result<Vec<Row>, StoreError> {
        let parts = tx
            .query(format!("FETCH {AT_ONCE} FROM copied_parts"), params![], |row| {
                let model = row.optional(4, DbRow::text)?;
                Ok((row.i64(0)?, row.i64(1)?, row.id(2)?, row.blob(3)?, model))
            })
            .await?;
        let mut rows = Vec::with_capacity(parts.len());
        for (version_no, start, id, bytes, model) in parts {
            let key = model.as_ref().and_then(|model| self.keys.get(model)).copied();
            let mut row = vec![Value::Bytes(id.to_vec()), Value::Number(start), Value::Bytes(bytes)];
            for chunk in self.chunks(tx, version_no, start, key).await? {
                row.extend(chunk);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn chunks(
        &self,
        tx: &Tx,
        version_no: i64,
        part_start: i64,
        model_key: Option<i64>,
    ) -> Result<Vec<[Value; 4]>, StoreError> {
        tx.query(
            "SELECT c.id, c.start_byte, c.end_byte, v.exponent, v.embedding::real[] FROM ironclaw.memory_chunks c \
             LEFT JOIN ironclaw.chunk_vectors v ON v.owner_no = $1 AND v.model_key = $4 AND v.version_no = $2 \
             AND v.chunk_no = c.chunk_no \
             WHERE c.owner_no = $1 AND c.version_no = $2 AND c.part_start = $3 ORDER BY c.chunk_no",
            params![self.owner_no, version_no, part_start, model_key],
            |row| {
                let vector = match row.optional(3, |row, column| row.code(column, |code| i16::try_from(code).ok()))? {
                    Some(exponent) => Value::Bytes(vector_bytes(&unscaled(exponent, &row.array::<f32>(4)?))),
                    None => Value::Null,
                };
                let id = Value::Bytes(row.id(0)?.to_vec());
                Ok([id, Value::Number(row.i64(1)?), Value::Number(row.i64(2)?), vector])
            },
        )
        .await
    }
}

//! Indexes over the vectors of one model.

use std::collections::BTreeMap;

use ironclaw_core::store::StoreError;

use super::vectors::{COMPARED_ONE_BY_ONE, model_key};
use crate::postgres::row::params;
use crate::postgres::tx::Tx;

/// The most dimensions that an index over numbers of 16 bits takes.
const INDEXED_DIMENSIONS: u64 = 4_000;

/// The name of a model's index.
pub(super) fn index_name(key: i64) -> String {
    format!("chunk_vectors_{:016x}", key.cast_unsigned())
}

/// The statements that make the indexes which are missing, in an operator's transaction. They can't run within one.
pub(in crate::postgres) async fn index_statements(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let models = tx
        .query(
            "SELECT id, dimensions::bigint, sum(chunks)::bigint FROM ironclaw.embedding_models \
             WHERE dimensions <= $1 GROUP BY id, dimensions HAVING max(chunks) > $2 ORDER BY id, dimensions",
            params![INDEXED_DIMENSIONS, COMPARED_ONE_BY_ONE],
            |row| Ok((row.text(0)?, row.count(1)?)),
        )
        .await?;
    let known: BTreeMap<String, bool> = tx
        .query(
            "SELECT c.relname::text, i.indisvalid FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'ironclaw.chunk_vectors'::regclass",
            params![],
            |row| Ok((row.text(0)?, row.bool(1)?)),
        )
        .await?
        .into_iter()
        .collect();
    let mut statements = Vec::new();
    for (model, dimensions) in models {
        let key = model_key(&model, usize::try_from(dimensions).unwrap_or(usize::MAX));
        let name = index_name(key);
        match known.get(&name) {
            Some(true) => continue,
            // One that was broken off.
            Some(false) => statements.push(format!("DROP INDEX CONCURRENTLY IF EXISTS ironclaw.{name}")),
            None => {}
        }
        statements.push(format!(
            "CREATE INDEX CONCURRENTLY {name} ON ironclaw.chunk_vectors \
             USING hnsw ((embedding::{pgvector}.halfvec({dimensions})) {pgvector}.halfvec_cosine_ops) \
             WITH (m = 16, ef_construction = 128) WHERE model_key = {key}",
            pgvector = tx.pgvector(),
        ));
    }
    Ok(statements)
}

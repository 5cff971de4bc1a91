//! Indexes over the vectors that one user has of one model.
//!
//! An index over those of all users gives what others' rows let it give: a crowd of them around a query, or where every
//! search begins, keeps a user's own from being found. In one of a user's own nobody else has a row.

use std::collections::BTreeMap;

use ironclaw_core::store::StoreError;

use super::vectors::{COMPARED_ONE_BY_ONE, model_key};
use crate::postgres::row::params;
use crate::postgres::tx::Tx;

/// The most dimensions that an index over numbers of 16 bits takes.
const INDEXED_DIMENSIONS: u64 = 4_000;

/// The name of a user's index of a model.
pub(super) fn index_name(owner_no: i64, key: i64) -> String {
    format!("chunk_vectors_{owner_no}_{:016x}", key.cast_unsigned())
}

/// The statements that make the indexes which are missing, of the `most` that have the most vectors, and drop all others,
/// in an operator's transaction. They can't run within one.
pub(in crate::postgres) async fn index_statements(tx: &Tx, most: u32) -> Result<Vec<String>, StoreError> {
    let wanted = tx
        .query(
            "SELECT owner_no, id, dimensions::bigint FROM ironclaw.embedding_models \
             WHERE dimensions <= $1 AND chunks > $2 ORDER BY chunks DESC, owner_no, id LIMIT $3",
            params![INDEXED_DIMENSIONS, COMPARED_ONE_BY_ONE, most],
            |row| {
                let (owner_no, model, dimensions) = (row.i64(0)?, row.text(1)?, row.count(2)?);
                let key = model_key(&model, usize::try_from(dimensions).unwrap_or(usize::MAX));
                let name = index_name(owner_no, key);
                let create = format!(
                    "CREATE INDEX CONCURRENTLY {name} ON ironclaw.chunk_vectors \
                     USING hnsw ((embedding::{pgvector}.halfvec({dimensions})) {pgvector}.halfvec_cosine_ops) \
                     WITH (m = 16, ef_construction = 128) WHERE owner_no = {owner_no}::bigint AND model_key = {key}",
                    pgvector = tx.pgvector(),
                );
                Ok((name, create))
            },
        )
        .await?;
    let known: BTreeMap<String, bool> = tx
        .query(
            "SELECT c.relname::text, i.indisvalid FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am a ON a.oid = c.relam \
             WHERE i.indrelid = 'ironclaw.chunk_vectors'::regclass AND a.amname = 'hnsw'",
            params![],
            |row| Ok((row.text(0)?, row.bool(1)?)),
        )
        .await?
        .into_iter()
        .collect();
    let is_whole = |name: &String| known.get(name) == Some(&true);
    // What is dropped may be one that was broken off. Any other the server could take for a search, whosever rows it has.
    let is_kept = |name: &String| is_whole(name) && wanted.iter().any(|(wanted, _)| wanted == name);
    let mut statements: Vec<String> = known
        .keys()
        .filter(|name| !is_kept(name))
        .map(|name| format!("DROP INDEX CONCURRENTLY IF EXISTS ironclaw.\"{}\"", name.replace('"', "\"\"")))
        .collect();
    statements.extend(wanted.into_iter().filter(|(name, _)| !is_whole(name)).map(|(_, create)| create));
    Ok(statements)
}

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, VersionId};
use ironclaw_core::model::workspace::{ChunkHit, ChunkText, Entry, WorkspacePath};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, StoreError, VectorQuery, Workspace};
use ironclaw_core::{Page, PageRequest, Scope};

use super::{path_hash, path_start, text, vectors};
use crate::cursor;
use crate::damage;
use crate::postgres::PostgresStore;
use crate::postgres::row::{params, uuid};
use crate::postgres::tx::Tx;
use crate::workspace::{check_chunks, check_range, chunk_text, embedding_models, entry, entry_columns};

#[async_trait]
impl Workspace for PostgresStore {
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, StoreError> {
        self.read("entry", scope, path.clone(), |tx, path| {
            async move {
                let sql = entry_query!("e.path_hash = $2");
                tx.query_row(sql, params![tx.owner_no(), &path_hash(path.as_str())], |row| entry(row)).await
            }
            .boxed()
        })
        .await
    }

    async fn entries(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        let after: Option<String> = cursor::after("entries", page)?;
        // No path is empty.
        let arguments = (prefix.cloned(), after.unwrap_or_default(), page.clone());
        self.read("entries", scope, arguments, |tx, (prefix, after, page)| {
            async move {
                let entries = match &prefix {
                    None => {
                        let sql = listing!(concat!("e.path > $2 AND e.path_start >= ", path_start!("$2")), "$3");
                        tx.query(sql, params![tx.owner_no(), after, cursor::rows(&page)], |row| entry(row)).await?
                    }
                    // What is below a path lies between the path with `/` and the path with `0`, the character after
                    // `/`; before it, in the order of bytes, lies the path itself.
                    Some(prefix) => {
                        let sql = listing!(
                            concat!(
                                "e.path > $2 AND (e.path = $3 OR e.path > $3 || '/') AND e.path < $3 || '0' \
                                 AND e.path_start >= ",
                                path_start!("$2"),
                                " AND e.path_start >= ",
                                path_start!("$3"),
                                " AND e.path_start < $3 || '0'"
                            ),
                            "$4"
                        );
                        let params = params![tx.owner_no(), after, prefix.as_str(), cursor::rows(&page)];
                        tx.query(sql, params, |row| entry(row)).await?
                    }
                };
                Ok(cursor::page(&page, entries, |entry| entry.path.as_str().to_owned()))
            }
            .boxed()
        })
        .await
    }

    async fn content(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        check_range(start, end)?;
        self.read("content", scope, path.clone(), move |tx, path| {
            async move { content(tx, &path, start, end).await }.boxed()
        })
        .await
    }

    async fn embedding_models(&self, scope: &Scope) -> Result<Vec<EmbeddingModel>, StoreError> {
        self.categories.list("embedding_models", embedding_models(scope)).await
    }

    async fn search_text(
        &self,
        scope: &Scope,
        query: &TextQuery,
        filter: &SearchFilter,
        limit: u32,
    ) -> Result<Vec<ChunkHit>, StoreError> {
        self.read("search_text", scope, (query.clone(), filter.clone()), move |tx, (query, filter)| {
            async move { text::search(tx, &query, &filter, limit as usize).await }.boxed()
        })
        .await
    }

    async fn search_vectors(
        &self,
        scope: &Scope,
        query: &VectorQuery,
        filter: &SearchFilter,
        limit: u32,
    ) -> Result<Vec<ChunkHit>, StoreError> {
        self.read("search_vectors", scope, (query.clone(), filter.clone()), move |tx, (query, filter)| {
            async move { vectors::search(tx, &query, &filter, limit).await }.boxed()
        })
        .await
    }

    async fn chunks(&self, scope: &Scope, chunks: &[ChunkId]) -> Result<Vec<ChunkText>, StoreError> {
        check_chunks(chunks)?;
        let ids: Vec<_> = chunks.iter().map(|chunk| uuid(chunk.as_bytes())).collect();
        self.read("chunks", scope, ids, |tx, ids| {
            async move {
                tx.query(
                    "SELECT c.id, v.path, c.start_byte, c.end_byte, \
                     substr(p.bytes, (c.start_byte - c.part_start + 1)::integer, (c.end_byte - c.start_byte)::integer) \
                     FROM unnest($2::uuid[]) WITH ORDINALITY q (id, nr) \
                     JOIN ironclaw.memory_chunks c ON c.owner_no = $1 AND c.id = q.id \
                     JOIN ironclaw.entry_versions v \
                     ON v.owner_no = $1 AND v.version_no = c.version_no AND v.state = 1 \
                     JOIN ironclaw.entry_parts p ON p.owner_no = $1 AND p.version_no = c.version_no \
                     AND p.start_byte = c.part_start ORDER BY q.nr",
                    params![tx.owner_no(), ids],
                    |row| chunk_text(row),
                )
                .await
            }
            .boxed()
        })
        .await
    }
}

/// The file that a condition on `e` finds.
macro_rules! entry_query {
    ($condition:expr) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM ironclaw.workspace_entries e JOIN ironclaw.entry_versions v \
             ON v.owner_no = e.owner_no AND v.version_no = e.version_no WHERE e.owner_no = $1 AND ",
            $condition
        )
    };
}

/// So many files at most that a condition on `e` finds, in the order of their paths. The index knows the order of their
/// beginnings, so that a page of a large folder is read without the rest; only what has the same beginning is sorted.
macro_rules! listing {
    ($condition:expr, $rows:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM (SELECT * FROM ironclaw.workspace_entries e WHERE e.owner_no = $1 AND ",
            $condition,
            " ORDER BY e.path_start FETCH FIRST (",
            $rows,
            ") ROWS WITH TIES) e JOIN ironclaw.entry_versions v \
             ON v.owner_no = e.owner_no AND v.version_no = e.version_no ORDER BY e.path_start, e.path LIMIT ",
            $rows
        )
    };
}

use {entry_query, listing};

async fn content(tx: &Tx, path: &WorkspacePath, start: u64, end: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let version = tx
        .query_row(
            "SELECT v.id, v.version_no, v.size FROM ironclaw.workspace_entries e JOIN ironclaw.entry_versions v \
             ON v.owner_no = e.owner_no AND v.version_no = e.version_no WHERE e.owner_no = $1 AND e.path_hash = $2",
            params![tx.owner_no(), &path_hash(path.as_str())],
            |row| Ok((row.id(0)?, row.count(1)?, row.count(2)?)),
        )
        .await?;
    let Some((id, version_no, size)) = version else {
        return Ok(None);
    };
    let (start, end) = (start.min(size), end.min(size));
    if start == end {
        return Ok(Some(Vec::new()));
    }
    let pieces = tx
        .query(
            "SELECT substr(bytes, (greatest($3 - start_byte, 0) + 1)::integer, \
             (least(end_byte, $4) - greatest(start_byte, $3))::integer) FROM ironclaw.entry_parts \
             WHERE owner_no = $1 AND version_no = $2 AND start_byte < $4 AND start_byte >= \
             (SELECT max(start_byte) FROM ironclaw.entry_parts \
             WHERE owner_no = $1 AND version_no = $2 AND start_byte <= $3) ORDER BY start_byte",
            params![tx.owner_no(), version_no, start, end],
            |row| row.blob(0),
        )
        .await?;
    let content = pieces.concat();
    if content.len() as u64 != end - start {
        return Err(damage::corrupt(tx.operation(), damage::not_its_parts(&VersionId::from_bytes(id))));
    }
    Ok(Some(content))
}

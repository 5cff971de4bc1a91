use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, VersionId};
use ironclaw_core::model::workspace::{ChunkHit, ChunkText, Entry, WorkspacePath};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, StoreError, VectorQuery, Workspace};
use ironclaw_core::{Page, PageRequest, Scope};

use super::text;
use super::vectors::{self, Searched};
use crate::cursor;
use crate::damage;
use crate::libsql::LibsqlStore;
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::workspace::{check_chunks, check_range, embedding_models, entry, entry_columns};

#[async_trait]
impl Workspace for LibsqlStore {
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, StoreError> {
        let path = path.clone();
        self.read("entry", scope, move |tx| {
            let sql = concat!(entry_query!(), " AND e.path = ?2");
            tx.db.query_row(sql, params![tx.content_no(), path.as_str()], |row| entry(row))
        })
        .await
    }

    async fn entries(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        let (prefix, page) = (prefix.cloned(), page.clone());
        let after: Option<String> = cursor::after("entries", &page)?;
        self.read("entries", scope, move |tx| {
            // No path is empty.
            let after = after.as_deref().unwrap_or_default();
            let entries = match &prefix {
                None => tx.db.query(
                    concat!(entry_query!(), " AND e.path > ?2 ORDER BY e.path LIMIT ?3"),
                    params![tx.content_no(), after, cursor::rows(&page)],
                    |row| entry(row),
                ),
                // What is below a path lies between the path with `/` and the path with `0`, the character after `/`;
                // before it, in the order of bytes, lies the path itself.
                Some(prefix) => tx.db.query(
                    concat!(
                        entry_query!(),
                        " AND e.path > ?2 AND e.path >= ?3 AND e.path < ?3 || '0' \
                         AND (e.path = ?3 OR e.path > ?3 || '/') ORDER BY e.path LIMIT ?4"
                    ),
                    params![tx.content_no(), after, prefix.as_str(), cursor::rows(&page)],
                    |row| entry(row),
                ),
            }?;
            Ok(cursor::page(&page, entries, |entry| entry.path.as_str().to_owned()))
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
        let path = path.clone();
        self.read("content", scope, move |tx| content(tx, &path, start, end)).await
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
        let (query, filter) = (query.clone(), filter.clone());
        self.read("search_text", scope, move |tx| text::search(tx, &query, &filter, limit as usize)).await
    }

    async fn search_vectors(
        &self,
        scope: &Scope,
        query: &VectorQuery,
        filter: &SearchFilter,
        limit: u32,
    ) -> Result<Vec<ChunkHit>, StoreError> {
        let (query, filter) = (Arc::new(query.clone()), Arc::new(filter.clone()));
        let mut part = None;
        loop {
            let (query, filter, cache) = (Arc::clone(&query), Arc::clone(&filter), Arc::clone(&self.vectors));
            let search = move |tx: &Tx<'_>| vectors::search(tx, &cache, &query, &filter, limit as usize, part);
            match self.read("search_vectors", scope, search).await? {
                Searched::Hits(hits) => return Ok(hits),
                Searched::Part(shared) => part = Some(shared),
            }
        }
    }

    async fn chunks(&self, scope: &Scope, chunks: &[ChunkId]) -> Result<Vec<ChunkText>, StoreError> {
        check_chunks(chunks)?;
        let chunks = chunks.to_vec();
        self.read("chunks", scope, move |tx| {
            let mut found = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                found.extend(chunk_text(tx, chunk)?);
            }
            Ok(found)
        })
        .await
    }
}

/// What [`entry`] reads, up to a condition on `e`.
macro_rules! entry_query {
    () => {
        concat!(
            "SELECT ",
            entry_columns!(),
            " FROM workspace_entries e JOIN entry_versions v ON v.version_no = e.version_no WHERE e.owner_no = ?1"
        )
    };
}

use entry_query;

fn content(tx: &Tx<'_>, path: &WorkspacePath, start: u64, end: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let version = tx.db.query_row(
        "SELECT v.id, v.version_no, v.size FROM workspace_entries e JOIN entry_versions v ON v.version_no = e.version_no \
         WHERE e.owner_no = ?1 AND e.path = ?2",
        params![tx.content_no(), path.as_str()],
        |row| Ok((row.bytes(0)?, row.count(1)?, row.count(2)?)),
    )?;
    let Some((id, version_no, size)) = version else {
        return Ok(None);
    };
    let (start, end) = (start.min(size), end.min(size));
    // It grows by what is there: what the row says may be damaged.
    let mut content = Vec::new();
    if start == end {
        return Ok(Some(content));
    }
    tx.db.for_each(
        "SELECT part_no, substr(bytes, max(?3 - start_byte, 0) + 1, min(end_byte, ?4) - max(start_byte, ?3)) \
         FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 AND start_byte < ?4 AND start_byte >= \
         (SELECT max(start_byte) FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 AND start_byte <= ?3) \
         ORDER BY start_byte",
        params![tx.content_no(), version_no, start, end],
        |row| {
            content.extend_from_slice(&row.blob(1)?);
            Ok(())
        },
    )?;
    if content.len() as u64 != end - start {
        return Err(damage::corrupt(tx.db.operation(), damage::not_its_parts(&VersionId::from_bytes(id))));
    }
    Ok(Some(content))
}

fn chunk_text(tx: &Tx<'_>, chunk: ChunkId) -> Result<Option<ChunkText>, StoreError> {
    tx.db.query_row(
        "SELECT c.id, v.path, c.start_byte, c.end_byte, \
         substr(p.bytes, c.start_byte - c.part_start + 1, c.end_byte - c.start_byte) AS \"entry_parts.bytes\" FROM memory_chunks c \
         JOIN entry_versions v ON v.version_no = c.version_no AND v.state = 1 \
         JOIN entry_parts p ON p.owner_no = c.owner_no AND p.version_no = c.version_no AND p.start_byte = c.part_start \
         WHERE c.owner_no = ?1 AND c.id = ?2",
        params![tx.content_no(), chunk.as_bytes()],
        |row| crate::workspace::chunk_text(row),
    )
}

//! Full-text search: BM25 over the postings of one user.

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::{ChunkHit, WorkspacePath};
use ironclaw_core::search::{Bm25, TextQuery};
use ironclaw_core::store::{SearchFilter, StoreError, StoreErrorKind};
use libsql::Value;

use crate::damage;
use crate::libsql::row::{Row, params};
use crate::libsql::tx::Tx;
use crate::search::{Scores, Versions, rank};

/// The best chunks for a query. A term's document frequency is that of all visible chunks, whatever the filter: a
/// chunk's score is the same in every search for the same words.
pub(super) fn search(
    tx: &Tx<'_>,
    query: &TextQuery,
    filter: &SearchFilter,
    limit: usize,
) -> Result<Vec<ChunkHit>, StoreError> {
    if query.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let statistics = tx.db.query_row(
        "SELECT owner_no, documents, total_length FROM workspace_statistics WHERE owner_no = ?1",
        params![tx.content_no()],
        |row| Ok(Bm25::new(row.count(1)?, row.count(2)?)),
    )?;
    let Some(bm25) = statistics else {
        return Ok(Vec::new());
    };
    let hidden = hidden(tx)?;
    let within = filter.prefix.as_ref().map(|prefix| within(tx, prefix)).transpose()?;
    let mut scores = Scores::new(bm25);
    for term in query.terms() {
        let blocks = blocks(tx, term)?;
        scores.add(&blocks, &hidden, within.as_ref(), |_, chunk_no| chunk_no).ok_or_else(|| {
            let id = damage::name(term.as_bytes());
            tx.db.error(StoreErrorKind::Corrupt, damage::undecodable("chunk_terms.postings", Some(&id)))
        })?;
    }
    let best = scores.into_best(limit).into_iter();
    let hits = best.map(|(score, chunk_no)| Ok((score, chunk_id(tx, chunk_no)?)));
    let hits = rank::ordered(hits.collect::<Result<_, StoreError>>()?, limit);
    Ok(hits.into_iter().map(|(score, chunk)| ChunkHit::new(ChunkId::from_bytes(chunk), score)).collect())
}

/// The current versions of the files at or below a path.
pub(super) fn within(tx: &Tx<'_>, prefix: &WorkspacePath) -> Result<Versions, StoreError> {
    // What is below a path lies between the path with `/` and the path with `0`, the character after `/`.
    numbers(
        tx,
        "SELECT group_concat(version_no) FROM (\
         SELECT version_no FROM workspace_entries WHERE owner_no = ?1 AND path = ?2 UNION ALL \
         SELECT version_no FROM workspace_entries WHERE owner_no = ?1 AND path > ?2 || '/' AND path < ?2 || '0')",
        params![tx.content_no(), prefix.as_str()],
    )
}

/// The versions that are not current: their postings are there until they are swept.
fn hidden(tx: &Tx<'_>) -> Result<Versions, StoreError> {
    numbers(
        tx,
        "SELECT group_concat(version_no) FROM entry_versions WHERE owner_no = ?1 AND state <> 1",
        params![tx.content_no()],
    )
}

/// The numbers that one row brings as a list: a row for each takes several times as long.
pub(super) fn numbers(tx: &Tx<'_>, sql: &'static str, params: Vec<Value>) -> Result<Versions, StoreError> {
    let list = tx.db.query_row(sql, params, |row| row.optional(0, Row::text))?.flatten();
    list.as_deref().unwrap_or_default().split_terminator(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| {
        let id = format!("of user {}", tx.owner_no);
        tx.db.error(StoreErrorKind::Corrupt, damage::undecodable("entry_versions.version_no", Some(&id)))
    })
}

/// All blocks of a term, strung together.
fn blocks(tx: &Tx<'_>, term: &str) -> Result<Vec<u8>, StoreError> {
    let blocks = tx.db.query_row(
        "SELECT CAST(group_concat(postings, '') AS BLOB) FROM chunk_terms WHERE owner_no = ?1 AND term = ?2",
        params![tx.content_no(), term],
        |row| row.optional(0, Row::blob),
    )?;
    Ok(blocks.flatten().unwrap_or_default())
}

fn chunk_id(tx: &Tx<'_>, chunk_no: u64) -> Result<[u8; 16], StoreError> {
    let id = tx.db.query_row(
        "SELECT id FROM memory_chunks WHERE chunk_no = ?1 AND owner_no = ?2",
        params![chunk_no, tx.content_no()],
        |row| row.bytes(0),
    )?;
    id.ok_or_else(|| {
        damage::corrupt(
            tx.db.operation(),
            format!("memory_chunks has no row {chunk_no}, which chunk_terms.postings has"),
        )
    })
}

//! Full-text search: BM25 over the postings of one user.

use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::{ChunkHit, WorkspacePath};
use ironclaw_core::search::{Bm25, TextQuery};
use ironclaw_core::store::{SearchFilter, StoreError, StoreErrorKind};

use super::{path_hash, path_start};
use crate::damage;
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;
use crate::search::{Scores, Versions, rank};

/// The best chunks for a query.
pub(super) async fn search(
    tx: &Tx,
    query: &TextQuery,
    filter: &SearchFilter,
    limit: usize,
) -> Result<Vec<ChunkHit>, StoreError> {
    if query.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let statistics = tx
        .query_row(
            "SELECT s.documents, s.total_length, \
             ARRAY(SELECT v.version_no FROM ironclaw.entry_versions v WHERE v.owner_no = $1 AND v.state <> 1) \
             FROM ironclaw.workspace_statistics s WHERE s.owner_no = $1",
            params![tx.owner_no()],
            |row| Ok((Bm25::new(row.count(0)?, row.count(1)?), versions(row.array(2)?))),
        )
        .await?;
    let Some((bm25, hidden)) = statistics else {
        return Ok(Vec::new());
    };
    let within = match &filter.prefix {
        Some(prefix) => Some(versions(within(tx, prefix).await?)),
        None => None,
    };
    let operation = tx.operation();
    let best = tx
        .read_apart(
            // One row for each term, in the order of the query: sums of scores are the same on every store.
            "SELECT (SELECT string_agg(t.postings, ''::bytea) FROM ironclaw.chunk_terms t \
             WHERE t.owner_no = $1 AND t.term = q.term) FROM unnest($2::text[]) WITH ORDINALITY q (term, nr) \
             ORDER BY q.nr",
            params![tx.owner_no(), query.terms().to_vec()],
            move |rows| {
                let mut scores = Scores::new(bm25);
                for row in rows {
                    let blocks = row.optional(0, Row::blob)?.unwrap_or_default();
                    let added = scores.add(&blocks, &hidden, within.as_ref(), |version, chunk| (version, chunk));
                    added.ok_or_else(|| damage::corrupt(operation, "chunk_terms.postings can't be decoded"))?;
                }
                Ok(scores.into_best(limit))
            },
        )
        .await?;
    let hits = rank::ordered(identified(tx, best).await?, limit);
    Ok(hits.into_iter().map(|(score, chunk)| ChunkHit::new(ChunkId::from_bytes(chunk), score)).collect())
}

/// The current versions of the files at or below a path.
pub(super) async fn within(tx: &Tx, prefix: &WorkspacePath) -> Result<Vec<i64>, StoreError> {
    // What is below a path lies between the path with `/` and the path with `0`, the character after `/`.
    tx.query(
        concat!(
            "SELECT version_no FROM ironclaw.workspace_entries WHERE owner_no = $1 AND path_hash = $3 UNION ALL \
             SELECT version_no FROM ironclaw.workspace_entries WHERE owner_no = $1 AND path > $2 || '/' \
             AND path < $2 || '0' AND path_start < $2 || '0' AND path_start >= ",
            path_start!("$2")
        ),
        params![tx.owner_no(), prefix.as_str(), &path_hash(prefix.as_str())],
        |row| row.i64(0),
    )
    .await
}

fn versions(numbers: Vec<i64>) -> Versions {
    numbers.into_iter().map(i64::cast_unsigned).collect()
}

/// The same chunks by their ids.
async fn identified(tx: &Tx, chunks: Vec<(f64, (u64, u64))>) -> Result<Vec<(f64, [u8; 16])>, StoreError> {
    let (versions, numbers): (Vec<i64>, Vec<i64>) =
        chunks.iter().map(|(_, (version_no, chunk_no))| (version_no.cast_signed(), chunk_no.cast_signed())).unzip();
    let ids = tx
        .query(
            "SELECT c.id FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY q (version_no, chunk_no, nr) \
             JOIN ironclaw.memory_chunks c ON c.owner_no = $1 AND c.version_no = q.version_no \
             AND c.chunk_no = q.chunk_no ORDER BY q.nr",
            params![tx.owner_no(), versions, numbers],
            |row| row.id(0),
        )
        .await?;
    if ids.len() != chunks.len() {
        let context = "chunk_terms.postings has chunks that are not there; restore a backup";
        return Err(tx.error(StoreErrorKind::Corrupt, context));
    }
    Ok(chunks.into_iter().zip(ids).map(|((score, _), id)| (score, id)).collect())
}

//! Deletes: what nobody sees any more, what is too old, and all that a user has.

use std::ops::Range;
use std::time::Duration;

use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::StoreError;

use super::stored::model_key;
use super::versions;
use crate::heavy::apart;
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;
use crate::reserved::STAGED;
use crate::search::postings;

/// How long after its last part a version that is not published counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Removes what replaced, deleted and abandoned versions of all users left behind, in an operator's transaction; at
/// most about `max_rows` rows. Of a user on whom a legal hold stands nothing is removed. How many rows were deleted; 0
/// when nothing is left to do.
pub(in crate::postgres) async fn sweep(tx: &Tx, max_rows: u64) -> Result<u64, StoreError> {
    let Some(owner_no) = next_owner(tx).await? else {
        return Ok(0);
    };
    // Nobody else writes for the user meanwhile.
    match tx.lock_owner(owner_no).await? {
        Some(user) if !user.held => sweep_user(tx, owner_no, max_rows).await.map(|rows| rows.max(1)),
        _ => Ok(1),
    }
}

/// A user, without a legal hold, who has versions that are gone or abandoned. What a copy brings is not there yet.
async fn next_owner(tx: &Tx) -> Result<Option<i64>, StoreError> {
    // From one user to the next, not through all that a hold keeps of one.
    let gone = tx
        .query_row(
            "WITH RECURSIVE owners AS (\
                (SELECT owner_no FROM ironclaw.entry_versions WHERE state = 2 ORDER BY owner_no LIMIT 1) UNION ALL \
                SELECT (SELECT v.owner_no FROM ironclaw.entry_versions v WHERE v.state = 2 AND v.owner_no > o.owner_no \
                    ORDER BY v.owner_no LIMIT 1) FROM owners o WHERE o.owner_no IS NOT NULL) \
             SELECT o.owner_no FROM owners o WHERE o.owner_no IS NOT NULL AND NOT EXISTS (SELECT FROM ironclaw.holds h \
             WHERE h.owner_no = o.owner_no AND h.released_at IS NULL) AND o.owner_no NOT IN \
             (SELECT owner_no FROM ironclaw.users WHERE tenant = $1) LIMIT 1",
            params![STAGED],
            |row| row.i64(0),
        )
        .await?;
    if gone.is_some() {
        return Ok(gone);
    }
    tx.query_row(
        "SELECT v.owner_no FROM ironclaw.entry_versions v WHERE v.state = 0 AND v.updated_at < $1 \
         AND NOT EXISTS (SELECT FROM ironclaw.holds h WHERE h.owner_no = v.owner_no AND h.released_at IS NULL) \
         AND v.owner_no NOT IN (SELECT owner_no FROM ironclaw.users WHERE tenant = $2) ORDER BY v.updated_at LIMIT 1",
        params![tx.now().before(ABANDONED_AFTER), STAGED],
        |row| row.i64(0),
    )
    .await
}

/// Removes what replaced, deleted and abandoned versions of one user left behind, at most about `max_rows` rows.
/// Nobody else writes for the user, and no legal hold stands. How many rows were deleted.
pub(in crate::postgres) async fn sweep_user(tx: &Tx, owner_no: i64, max_rows: u64) -> Result<u64, StoreError> {
    tx.execute(
        "UPDATE ironclaw.entry_versions SET state = 2 WHERE owner_no = $1 AND state = 0 \
         AND updated_at < $2",
        params![owner_no, tx.now().before(ABANDONED_AFTER)],
    )
    .await?;
    let mut rows = 0;
    while rows < max_rows {
        let sql = "SELECT version_no FROM ironclaw.entry_versions WHERE owner_no = $1 AND state = 2 LIMIT 1";
        let Some(version_no) = tx.query_row(sql, params![owner_no], |row| row.i64(0)).await? else {
            break;
        };
        rows += remove_step(tx, owner_no, version_no).await?;
    }
    Ok(rows)
}

/// Deletes these files, each by its version's number and its path, with all their rows, in an operator's transaction that has
/// locked the user; the caller has checked holds. How many files.
pub(in crate::postgres) async fn retain(tx: &Tx, owner_no: i64, old: Vec<(i64, String)>) -> Result<u64, StoreError> {
    let mut files = 0;
    for (version_no, path) in old {
        files += versions::delete_entry(tx, owner_no, &path).await?;
        let exists = "SELECT count(*) FROM ironclaw.entry_versions WHERE owner_no = $1 AND version_no = $2";
        while tx.number(exists, params![owner_no, version_no]).await? > 0 {
            remove_step(tx, owner_no, version_no).await?;
        }
    }
    Ok(files)
}

/// Deletes everything of the user (the caller has checked holds). How many rows.
pub(in crate::postgres) async fn erase(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for sql in [
        "DELETE FROM ironclaw.chunk_terms WHERE owner_no = $1",
        "DELETE FROM ironclaw.chunk_vectors WHERE owner_no = $1",
        "DELETE FROM ironclaw.memory_chunks WHERE owner_no = $1",
        "DELETE FROM ironclaw.entry_parts WHERE owner_no = $1",
        "DELETE FROM ironclaw.workspace_entries WHERE owner_no = $1",
        "DELETE FROM ironclaw.entry_versions WHERE owner_no = $1",
        "DELETE FROM ironclaw.embedding_models WHERE owner_no = $1",
    ] {
        rows += tx.execute(sql, params![owner_no]).await?;
    }
    let sql = "UPDATE ironclaw.workspace_statistics SET documents = 0, total_length = 0 WHERE owner_no = $1";
    tx.execute(sql, params![owner_no]).await?;
    Ok(rows)
}

/// Removes one part of an invisible version with all that belongs to it, or after the last one the version itself.
async fn remove_step(tx: &Tx, owner_no: i64, version_no: i64) -> Result<u64, StoreError> {
    let part = tx
        .query_row(
            "SELECT p.start_byte, p.bytes, v.model, m.dimensions FROM ironclaw.entry_parts p \
             JOIN ironclaw.entry_versions v ON v.owner_no = p.owner_no AND v.version_no = p.version_no \
             LEFT JOIN ironclaw.embedding_models m ON m.owner_no = v.owner_no AND m.id = v.model \
             WHERE p.owner_no = $1 AND p.version_no = $2 LIMIT 1",
            params![owner_no, version_no],
            |row| {
                let dimensions = row.optional(3, |row, column| row.code(column, |number| number.try_into().ok()))?;
                let model = row.optional(2, Row::text)?.zip(dimensions);
                Ok((row.i64(0)?, row.blob(1)?, model))
            },
        )
        .await?;
    let Some((part_start, bytes, model)) = part else {
        let sql = "DELETE FROM ironclaw.entry_versions WHERE owner_no = $1 AND version_no = $2";
        return tx.execute(sql, params![owner_no, version_no]).await;
    };
    let terms = terms_of(tx, owner_no, version_no, part_start, bytes).await?;
    let mut rows = 0;
    rows += tx
        .execute(
            "DELETE FROM ironclaw.chunk_terms t USING unnest($4::text[]) q (term) WHERE t.owner_no = $1 \
             AND t.term = q.term AND t.version_no = $2 AND t.part_start = $3",
            params![owner_no, version_no, part_start, terms],
        )
        .await?;
    if let Some((model, dimensions)) = model {
        rows += tx
            .execute(
                "DELETE FROM ironclaw.chunk_vectors v USING ironclaw.memory_chunks c \
                 WHERE c.owner_no = $1 AND c.version_no = $2 AND c.part_start = $3 \
                 AND v.owner_no = $1 AND v.model_key = $4 AND v.version_no = $2 AND v.chunk_no = c.chunk_no",
                params![owner_no, version_no, part_start, model_key(&model, dimensions)],
            )
            .await?;
    }
    rows += tx
        .execute(
            "DELETE FROM ironclaw.memory_chunks WHERE owner_no = $1 AND version_no = $2 AND part_start = $3",
            params![owner_no, version_no, part_start],
        )
        .await?;
    rows += tx
        .execute(
            "DELETE FROM ironclaw.entry_parts WHERE owner_no = $1 AND version_no = $2 AND start_byte = $3",
            params![owner_no, version_no, part_start],
        )
        .await?;
    Ok(rows)
}

/// The terms of a part's chunks, found once more in their texts: the rows of `chunk_terms` are not indexed by version.
async fn terms_of(
    tx: &Tx,
    owner_no: i64,
    version_no: i64,
    part_start: i64,
    bytes: Vec<u8>,
) -> Result<Vec<String>, StoreError> {
    let chunks = tx
        .query(
            "SELECT chunk_no, start_byte - part_start, end_byte - part_start FROM ironclaw.memory_chunks \
             WHERE owner_no = $1 AND version_no = $2 AND part_start = $3",
            params![owner_no, version_no, part_start],
            |row| {
                let offset = |column| row.code(column, |number| usize::try_from(number).ok());
                let place = offset(1)?..offset(2)?;
                let text = bytes.get(place.clone()).filter(|bytes| std::str::from_utf8(bytes).is_ok());
                text.map(|_| place).ok_or_else(|| row.corrupt(1))
            },
        )
        .await?;
    apart(tx.operation(), bytes.len(), move || {
        let text = |chunk: Range<usize>| std::str::from_utf8(&bytes[chunk]).unwrap_or_default();
        let terms: Vec<Terms> = chunks.into_iter().map(|chunk| analyze(text(chunk))).collect();
        Ok(postings::distinct(&terms).into_iter().map(str::to_owned).collect())
    })
    .await
}

//! Deletes: what nobody sees any more, what is too old, and all that a user has.

use std::time::Duration;

use ironclaw_core::Timestamp;
use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::StoreError;

use super::versions;
use crate::codes::VersionState;
use crate::copy::STAGED;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::search::postings;

/// How long after its last part a version that is not published counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Removes what replaced, deleted and abandoned versions left behind, of all users, at most about `max_rows` rows:
/// versions that were not published and got no part for a day before `now` are abandoned. Of a user on whom a legal
/// hold stands nothing is removed. Runs in a transaction of its own, when no change is waiting. How many rows were
/// deleted; 0 when nothing is left to do.
pub(in crate::libsql) fn sweep(db: &Db, now: Timestamp, max_rows: u32) -> Result<u64, StoreError> {
    // The first condition is that of the index. What a copy brings is not there yet.
    db.execute(
        "UPDATE entry_versions SET state = ?1 WHERE state <> 1 AND state = ?2 AND updated_at < ?3 \
         AND owner_no NOT IN (SELECT owner_no FROM users WHERE tenant = ?4)",
        params![VersionState::Superseded.code(), VersionState::Staging.code(), now.before(ABANDONED_AFTER), STAGED],
    )?;
    let mut rows = 0;
    while rows < u64::from(max_rows) {
        let next = db.query_row(
            "SELECT v.owner_no, v.version_no FROM entry_versions v WHERE v.state <> 1 AND v.state = ?1 AND NOT EXISTS \
             (SELECT 1 FROM holds h WHERE h.owner_no = v.owner_no AND h.released_at IS NULL) \
             AND v.owner_no NOT IN (SELECT owner_no FROM users WHERE tenant = ?2) LIMIT 1",
            params![VersionState::Superseded.code(), STAGED],
            |row| Ok((row.i64(0)?, row.u64(1)?)),
        )?;
        let Some((owner_no, version_no)) = next else {
            break;
        };
        rows += remove_step(db, owner_no, version_no)?;
    }
    Ok(rows)
}

/// Deletes files that were last published before `before`, at most `max_entries` of them, with all their rows. How
/// many rows were deleted; 0 when nothing is left to delete, or a legal hold stands.
pub(in crate::libsql) fn retain(tx: &Tx<'_>, before: Timestamp, max_entries: u32) -> Result<u64, StoreError> {
    if tx.is_held()? {
        return Ok(0);
    }
    let old = tx.db.query(
        "SELECT e.version_no, e.path FROM workspace_entries e JOIN entry_versions v ON v.version_no = e.version_no \
         WHERE e.owner_no = ?1 AND v.updated_at < ?2 LIMIT ?3",
        params![tx.owner_no, before, max_entries],
        |row| Ok((row.u64(0)?, row.text(1)?.try_into().map_err(|_| row.corrupt(1))?)),
    )?;
    let mut rows = 0;
    for (version_no, path) in old {
        rows += versions::delete_entry(tx, &path)?;
        while tx.db.number("SELECT count(*) FROM entry_versions WHERE version_no = ?1", params![version_no])? > 0 {
            rows += remove_step(tx.db, tx.owner_no, version_no)?;
        }
    }
    Ok(rows)
}

/// Deletes everything of the user (the caller has checked holds). How many rows.
pub(in crate::libsql) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for sql in [
        "DELETE FROM chunk_terms WHERE owner_no = ?1",
        "DELETE FROM memory_chunks WHERE owner_no = ?1",
        "DELETE FROM entry_parts WHERE owner_no = ?1",
        "DELETE FROM workspace_entries WHERE owner_no = ?1",
        "DELETE FROM entry_versions WHERE owner_no = ?1",
        "DELETE FROM embedding_models WHERE owner_no = ?1",
    ] {
        rows += db.execute(sql, params![owner_no])?;
    }
    // The generation goes on counting, for what processes have in memory.
    db.execute(
        "UPDATE workspace_statistics SET documents = 0, total_length = 0, generation = generation + 1 \
         WHERE owner_no = ?1",
        params![owner_no],
    )?;
    Ok(rows)
}

/// Removes one part of an invisible version with all that belongs to it, or after the last one the version itself.
fn remove_step(db: &Db, owner_no: i64, version_no: u64) -> Result<u64, StoreError> {
    let part = db.query_row(
        "SELECT part_no, start_byte, bytes FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 LIMIT 1",
        params![owner_no, version_no],
        |row| Ok((row.i64(0)?, row.u64(1)?, row.blob(2)?)),
    )?;
    let Some((part_no, part_start, bytes)) = part else {
        return db.execute("DELETE FROM entry_versions WHERE version_no = ?1", params![version_no]);
    };
    let mut rows = 0;
    for term in postings::distinct(&terms_of(db, owner_no, version_no, part_start, &bytes)?) {
        rows += db.execute(
            "DELETE FROM chunk_terms WHERE owner_no = ?1 AND term = ?2 AND version_no = ?3 AND part_start = ?4",
            params![owner_no, term, version_no, part_start],
        )?;
    }
    rows += db.execute(
        "DELETE FROM memory_chunks WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3",
        params![owner_no, version_no, part_start],
    )?;
    rows += db.execute("DELETE FROM entry_parts WHERE part_no = ?1", params![part_no])?;
    Ok(rows)
}

/// The terms of a part's chunks, found once more in their texts: the rows of `chunk_terms` are not indexed by version.
fn terms_of(db: &Db, owner_no: i64, version_no: u64, part_start: u64, bytes: &[u8]) -> Result<Vec<Terms>, StoreError> {
    db.query(
        "SELECT chunk_no, start_byte - part_start, end_byte - part_start FROM memory_chunks \
         WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3",
        params![owner_no, version_no, part_start],
        |row| {
            let offset = |column| row.code(column, |number| usize::try_from(number).ok());
            let text = bytes.get(offset(1)?..offset(2)?).and_then(|bytes| std::str::from_utf8(bytes).ok());
            Ok(analyze(text.ok_or_else(|| row.corrupt(1))?))
        },
    )
}

//! Deletes: what nobody sees any more, what is too old, and all that a user has.

use std::time::Duration;

use ironclaw_core::Timestamp;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::versions;
use crate::libsql::budget::AT_ONCE;
use crate::libsql::db::Db;
use crate::libsql::portions::{first_left, sized, some};
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::reserved::STAGED;
use crate::search::postings;

/// How long after its last part a version that is not published counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Gives up the versions that were not published and got no part for a day before `now`. What a copy brings is not there
/// yet.
pub(in crate::libsql) fn give_up_abandoned(db: &Db, now: Timestamp) -> Result<u64, StoreError> {
    // States are written out: the indexes are of one state each.
    db.execute(
        "UPDATE entry_versions SET state = 2 WHERE version_no IN (SELECT version_no FROM entry_versions \
         WHERE state = 0 AND updated_at < ?1 AND owner_no NOT IN (SELECT owner_no FROM users WHERE tenant = ?2) \
         ORDER BY updated_at LIMIT ?3)",
        params![now.before(ABANDONED_AFTER), STAGED, AT_ONCE],
    )
}

/// Removes some of what replaced, deleted and abandoned versions left behind, of all users. Of a user on whom a legal hold
/// stands nothing is removed, and what is being forgotten is not its business. How many rows.
pub(in crate::libsql) fn sweep(db: &Db) -> Result<u64, StoreError> {
    let (mut rows, mut skipped) = (0, (0, 0));
    while db.budget.is_left() {
        // From one owner to the next, not through all that is kept of one.
        let next = db.query_row(
            "WITH RECURSIVE owners (owner_no) AS (SELECT (SELECT owner_no FROM entry_versions WHERE state = 2 \
             AND owner_no >= ?2 ORDER BY owner_no LIMIT 1) UNION ALL SELECT (SELECT v.owner_no FROM entry_versions v \
             WHERE v.state = 2 AND v.owner_no > o.owner_no ORDER BY v.owner_no LIMIT 1) FROM owners o \
             WHERE o.owner_no IS NOT NULL) \
             SELECT v.version_no, v.owner_no FROM owners o CROSS JOIN entry_versions v ON v.owner_no = o.owner_no \
             WHERE v.state = 2 AND (v.owner_no, v.version_no) > (?2, ?3) \
             AND o.owner_no NOT IN (SELECT coalesce(u.content_no, u.owner_no) FROM holds h \
             JOIN users u ON u.owner_no = h.owner_no WHERE h.released_at IS NULL) \
             AND o.owner_no NOT IN (SELECT content_no FROM removals WHERE kind IN (1, 2)) \
             AND o.owner_no NOT IN (SELECT owner_no FROM users WHERE tenant = ?1) LIMIT 1",
            params![STAGED, skipped.0, skipped.1],
            |row| Ok((row.count(0)?, row.i64(1)?)),
        )?;
        let Some((version_no, owner_no)) = next else {
            break;
        };
        match remove_version(db, owner_no, version_no) {
            Ok(removed) => rows += removed,
            // A damaged version stays, whoever's it is, and keeps no other from going.
            Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
                tracing::warn!(%error, "a version of a file is damaged and can't be swept");
                skipped = (owner_no, version_no);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

/// Deletes files, some at a time. How many; their rows are swept.
pub(in crate::libsql) fn retain(tx: &Tx<'_>, old: Vec<WorkspacePath>) -> Result<u64, StoreError> {
    let mut files = 0;
    for path in old {
        files += versions::delete_entry(tx, &path)?;
        tx.db.budget.spend(1);
    }
    Ok(files)
}

/// Deletes some of what the user has. How many rows.
pub(in crate::libsql) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = some(
        db,
        "DELETE FROM chunk_terms WHERE owner_no = ?1 AND (term, version_no, part_start) IN \
         (SELECT term, version_no, part_start FROM chunk_terms WHERE owner_no = ?1 LIMIT ?2)",
        owner_no,
        1,
    )?;
    for (select, delete) in [
        (
            "SELECT chunk_no, coalesce(length(embedding), 0) FROM memory_chunks WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM memory_chunks WHERE chunk_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT part_no, length(bytes) FROM entry_parts WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM entry_parts WHERE part_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT path, 0 FROM workspace_entries WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM workspace_entries WHERE path = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT version_no, octet_length(metadata) FROM entry_versions WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM entry_versions WHERE version_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT id, 0 FROM embedding_models WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM embedding_models WHERE id = ?1 AND owner_no = ?2",
        ),
    ] {
        rows += sized(db, select, params![owner_no], delete, owner_no)?;
    }
    Ok(rows)
}

/// Says that a user's workspace is empty. The generation goes on counting, for what processes have in memory.
pub(in crate::libsql) fn emptied(db: &Db, owner_no: i64) -> Result<(), StoreError> {
    db.execute(
        "UPDATE workspace_statistics SET documents = 0, total_length = 0, generation = generation + 1 \
         WHERE owner_no = ?1",
        params![owner_no],
    )
    .map(drop)
}

/// Removes some of an invisible version: part after part with all that belongs to it, and last the version itself.
fn remove_version(db: &Db, owner_no: i64, version_no: u64) -> Result<u64, StoreError> {
    let mut rows = 0;
    while db.budget.is_left() {
        let part = db.query_row(
            "SELECT part_no, start_byte, bytes FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 LIMIT 1",
            params![owner_no, version_no],
            |row| Ok((row.i64(0)?, row.u64(1)?, row.blob(2)?)),
        )?;
        let Some((part_no, part_start, bytes)) = part else {
            db.budget.spend(1);
            return Ok(rows + db.execute("DELETE FROM entry_versions WHERE version_no = ?1", params![version_no])?);
        };
        let terms = terms_of(db, owner_no, version_no, part_start, &bytes)?;
        rows += remove_terms(db, owner_no, version_no, part_start, &terms)?;
        // The terms are found in the chunks, so these go after them.
        rows += sized(
            db,
            "SELECT chunk_no, coalesce(length(embedding), 0) FROM memory_chunks \
             WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3 LIMIT ?4",
            params![owner_no, version_no, part_start],
            "DELETE FROM memory_chunks WHERE chunk_no = ?1 AND owner_no = ?2",
            owner_no,
        )?;
        if db.budget.is_left() {
            rows += db.execute("DELETE FROM entry_parts WHERE part_no = ?1", params![part_no])?;
            db.budget.spend(1 + bytes.len() as u64 / 4_096);
        }
    }
    Ok(rows)
}

/// Removes some of the blocks of postings of a part. Those that are gone already are the first ones.
fn remove_terms(db: &Db, owner_no: i64, version_no: u64, part_start: u64, terms: &[Terms]) -> Result<u64, StoreError> {
    let terms: Vec<&str> = postings::distinct(terms).into_iter().collect();
    let first = first_left(&terms, |term| {
        let sql = "SELECT count(*) FROM chunk_terms \
                   WHERE owner_no = ?1 AND term = ?2 AND version_no = ?3 AND part_start = ?4";
        Ok(db.number(sql, params![owner_no, term, version_no, part_start])? > 0)
    })?;
    let mut rows = 0;
    for term in &terms[first..] {
        if !db.budget.is_left() {
            break;
        }
        rows += db.execute(
            "DELETE FROM chunk_terms WHERE owner_no = ?1 AND term = ?2 AND version_no = ?3 AND part_start = ?4",
            params![owner_no, *term, version_no, part_start],
        )?;
        db.budget.spend(1);
    }
    Ok(rows)
}

/// The terms of a part's chunks, found once more in their texts: the rows of `chunk_terms` are not indexed by version.
fn terms_of(db: &Db, owner_no: i64, version_no: u64, part_start: u64, bytes: &[u8]) -> Result<Vec<Terms>, StoreError> {
    db.query(
        "SELECT chunk_no, start_byte - part_start, end_byte - part_start FROM memory_chunks \
         WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3",
        params![owner_no, version_no, part_start],
        |row| {
            let text = bytes.get(row.size(1)?..row.size(2)?).and_then(|bytes| std::str::from_utf8(bytes).ok());
            Ok(analyze(text.ok_or_else(|| row.corrupt(1))?))
        },
    )
}

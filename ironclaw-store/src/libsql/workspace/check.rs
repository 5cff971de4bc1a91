//! Whether the workspace's tables agree with each other.

use std::collections::HashMap;

use ironclaw_core::store::StoreError;
use sha2::{Digest, Sha256};

use crate::codes::VersionState;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::search::postings;

/// What is wrong between the workspace's tables, in words.
pub(in crate::libsql) fn check(db: &Db) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (sql, what) in COUNTS {
        let rows = db.number(sql, params![])?;
        if rows > 0 {
            found.push(format!("workspace: {rows} {what}"));
        }
    }
    check_postings(db, &mut found)?;
    check_contents(db, &mut found)?;
    Ok(found)
}

/// Queries that count what must not be.
const COUNTS: [(&str, &str); 8] = [
    (
        "SELECT count(*) FROM workspace_entries e WHERE NOT EXISTS (SELECT 1 FROM entry_versions v WHERE \
         v.version_no = e.version_no AND v.owner_no = e.owner_no AND v.path = e.path AND v.state = 1)",
        "files without their current version",
    ),
    (
        "SELECT count(*) FROM entry_versions v WHERE v.state = 1 AND NOT EXISTS (SELECT 1 FROM workspace_entries e \
         WHERE e.owner_no = v.owner_no AND e.path = v.path AND e.version_no = v.version_no)",
        "current versions of files that are not there",
    ),
    (
        "SELECT count(*) FROM entry_versions v WHERE v.state <> 2 AND v.size <> coalesce((SELECT \
         sum(length(p.bytes)) FROM entry_parts p WHERE p.owner_no = v.owner_no AND p.version_no = v.version_no \
         AND length(p.bytes) = p.end_byte - p.start_byte), 0)",
        "versions whose parts are not of their size",
    ),
    (
        "SELECT count(*) FROM entry_versions v WHERE v.state <> 2 AND (v.chunks, v.terms) <> (SELECT count(*), \
         coalesce(sum(c.length), 0) FROM memory_chunks c WHERE c.owner_no = v.owner_no \
         AND c.version_no = v.version_no)",
        "versions that count other chunks than they have",
    ),
    (
        "SELECT count(*) FROM memory_chunks c WHERE NOT EXISTS (SELECT 1 FROM entry_parts p WHERE \
         p.owner_no = c.owner_no AND p.version_no = c.version_no AND p.start_byte = c.part_start \
         AND p.end_byte >= c.end_byte)",
        "chunks outside of their part",
    ),
    (
        "SELECT count(*) FROM entry_parts p WHERE NOT EXISTS (SELECT 1 FROM entry_versions v WHERE \
         v.version_no = p.version_no AND v.owner_no = p.owner_no)",
        "parts of versions that are not there",
    ),
    (
        "SELECT count(*) FROM workspace_statistics s WHERE (s.documents, s.total_length) <> (SELECT \
         coalesce(sum(v.chunks), 0), coalesce(sum(v.terms), 0) FROM entry_versions v \
         WHERE v.owner_no = s.owner_no AND v.state = 1)",
        "users whose statistics are not those of their files",
    ),
    (
        "SELECT count(*) FROM embedding_models m WHERE m.chunks <> (SELECT coalesce(sum(v.chunks), 0) FROM \
         entry_versions v WHERE v.owner_no = m.owner_no AND v.model = m.id AND v.state = 1)",
        "embedding models that count other chunks than there are",
    ),
];

/// Compares how many terms the postings of each version say with what the version says.
fn check_postings(db: &Db, found: &mut Vec<String>) -> Result<(), StoreError> {
    let mut terms: HashMap<u64, u64> = HashMap::new();
    let mut torn = 0_u64;
    db.for_each("SELECT postings, version_no FROM chunk_terms", params![], |row| {
        let version_no = row.u64(1)?;
        let mut count = 0;
        let is_own = |version| version == version_no;
        match postings::decode(&row.blob(0)?, is_own, |_, posting| count += u64::from(posting.frequency)) {
            Some(()) if count > 0 => *terms.entry(version_no).or_default() += count,
            _ => torn += 1,
        }
        Ok(())
    })?;
    if torn > 0 {
        found.push(format!("workspace: {torn} blocks of postings can't be decoded"));
    }
    let mut wrong = 0_u64;
    db.for_each("SELECT version_no, terms, state FROM entry_versions", params![], |row| {
        let indexed = terms.remove(&row.u64(0)?).unwrap_or_default();
        // A version that is being swept has lost some.
        if indexed != row.u64(1)? && row.i64(2)? != VersionState::Superseded.code() {
            wrong += 1;
        }
        Ok(())
    })?;
    if wrong > 0 {
        found.push(format!("workspace: {wrong} versions whose postings are not those of their chunks"));
    }
    if !terms.is_empty() {
        found.push(format!("workspace: postings of {} versions that are not there", terms.len()));
    }
    Ok(())
}

/// Compares the content of each file with its hash.
fn check_contents(db: &Db, found: &mut Vec<String>) -> Result<(), StoreError> {
    let files = db.query(
        "SELECT version_no, owner_no, id, content_hash FROM entry_versions WHERE state = 1",
        params![],
        |row| Ok((row.u64(0)?, row.i64(1)?, row.bytes::<16>(2)?, row.bytes::<32>(3)?)),
    )?;
    for (version_no, owner_no, id, expected) in files {
        let mut hash = Sha256::new();
        db.for_each(
            "SELECT part_no, bytes FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 ORDER BY start_byte",
            params![owner_no, version_no],
            |row| {
                hash.update(row.blob(1)?);
                Ok(())
            },
        )?;
        if <[u8; 32]>::from(hash.finalize()) != expected {
            let id = ironclaw_core::id::VersionId::from_bytes(id);
            found.push(format!("workspace: the content of version {id} is not that of its hash"));
        }
    }
    Ok(())
}

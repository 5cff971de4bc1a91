//! Whether the workspace's tables agree with each other.

use std::collections::HashMap;

use ironclaw_core::id::VersionId;
use ironclaw_core::store::StoreError;
use sha2::{Digest, Sha256};

use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::search::postings;

/// How many rows are in memory at the same time.
const AT_ONCE: usize = 5_000;

/// What is wrong between the workspace's tables, in words.
pub(in crate::postgres) async fn check(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (sql, what) in COUNTS {
        let rows = tx.number(sql, params![]).await?;
        if rows > 0 {
            found.push(format!("workspace: {rows} {what}"));
        }
    }
    for owner_no in tx.query("SELECT owner_no FROM ironclaw.users", params![], |row| row.i64(0)).await? {
        check_postings(tx, owner_no, &mut found).await?;
        check_contents(tx, owner_no, &mut found).await?;
    }
    Ok(found)
}

/// Queries that count what must not be.
const COUNTS: [(&str, &str); 9] = [
    (
        "SELECT count(*) FROM ironclaw.workspace_entries e WHERE NOT EXISTS (SELECT FROM ironclaw.entry_versions v \
         WHERE v.owner_no = e.owner_no AND v.version_no = e.version_no AND v.path = e.path AND v.state = 1)",
        "files without their current version",
    ),
    (
        "SELECT count(*) FROM ironclaw.entry_versions v WHERE v.state = 1 AND NOT EXISTS (SELECT \
         FROM ironclaw.workspace_entries e WHERE e.owner_no = v.owner_no AND e.path = v.path \
         AND e.version_no = v.version_no)",
        "current versions of files that are not there",
    ),
    (
        "SELECT count(*) FROM ironclaw.entry_versions v WHERE v.state <> 2 AND v.size <> (SELECT \
         coalesce(sum(length(p.bytes)), 0) FROM ironclaw.entry_parts p WHERE p.owner_no = v.owner_no \
         AND p.version_no = v.version_no AND length(p.bytes) = p.end_byte - p.start_byte)",
        "versions whose parts are not of their size",
    ),
    (
        "SELECT count(*) FROM ironclaw.entry_versions v WHERE v.state <> 2 AND (v.chunks, v.terms) <> (SELECT \
         count(*), coalesce(sum(c.length), 0) FROM ironclaw.memory_chunks c WHERE c.owner_no = v.owner_no \
         AND c.version_no = v.version_no)",
        "versions that count other chunks than they have",
    ),
    (
        // Counted once for all versions: no index finds the vectors of one whose model is not known.
        "SELECT count(*) FROM ironclaw.entry_versions v LEFT JOIN (SELECT c.owner_no, c.version_no, count(*) AS vectors \
         FROM ironclaw.memory_chunks c JOIN ironclaw.chunk_vectors e ON e.owner_no = c.owner_no \
         AND e.version_no = c.version_no AND e.chunk_no = c.chunk_no AND e.id = c.id GROUP BY c.owner_no, c.version_no) e \
         ON e.owner_no = v.owner_no AND e.version_no = v.version_no WHERE v.state <> 2 \
         AND CASE WHEN v.model IS NULL THEN 0 ELSE v.chunks END <> coalesce(e.vectors, 0)",
        "versions that have other vectors than chunks",
    ),
    (
        "SELECT count(*) FROM ironclaw.memory_chunks c WHERE NOT EXISTS (SELECT FROM ironclaw.entry_parts p WHERE \
         p.owner_no = c.owner_no AND p.version_no = c.version_no AND p.start_byte = c.part_start \
         AND p.end_byte >= c.end_byte)",
        "chunks outside of their part",
    ),
    (
        "SELECT count(*) FROM ironclaw.entry_parts p WHERE NOT EXISTS (SELECT FROM ironclaw.entry_versions v WHERE \
         v.owner_no = p.owner_no AND v.version_no = p.version_no)",
        "parts of versions that are not there",
    ),
    (
        "SELECT count(*) FROM ironclaw.workspace_statistics s WHERE (s.documents, s.total_length) <> (SELECT \
         coalesce(sum(v.chunks), 0), coalesce(sum(v.terms), 0) FROM ironclaw.entry_versions v \
         WHERE v.owner_no = s.owner_no AND v.state = 1)",
        "users whose statistics are not those of their files",
    ),
    (
        "SELECT count(*) FROM ironclaw.embedding_models m WHERE m.chunks <> (SELECT coalesce(sum(v.chunks), 0) \
         FROM ironclaw.entry_versions v WHERE v.owner_no = m.owner_no AND v.model = m.id AND v.state = 1)",
        "embedding models that count other chunks than there are",
    ),
];

/// Compares how many terms the postings of each of a user's versions say with what the version says.
async fn check_postings(tx: &Tx, owner_no: i64, found: &mut Vec<String>) -> Result<(), StoreError> {
    let mut terms: HashMap<u64, u64> = HashMap::new();
    let mut torn = 0_u64;
    let mut last = (String::new(), 0_i64, -1_i64);
    loop {
        let blocks = tx
            .query(
                "SELECT term, version_no, part_start, postings FROM ironclaw.chunk_terms WHERE owner_no = $1 \
                 AND (term, version_no, part_start) > ($2, $3, $4) ORDER BY term, version_no, part_start LIMIT $5",
                params![owner_no, last.0.as_str(), last.1, last.2, AT_ONCE as u64],
                |row| Ok((row.text(0)?, row.i64(1)?, row.i64(2)?, row.blob(3)?)),
            )
            .await?;
        for (_, version_no, _, block) in &blocks {
            let version_no = version_no.cast_unsigned();
            let mut count = 0;
            let is_own = |version| version == version_no;
            match postings::decode(block, is_own, |_, posting| count += u64::from(posting.frequency)) {
                Some(()) if count > 0 => *terms.entry(version_no).or_default() += count,
                _ => torn += 1,
            }
        }
        let whole = blocks.len() == AT_ONCE;
        match blocks.into_iter().next_back() {
            Some((term, version_no, part_start, _)) if whole => last = (term, version_no, part_start),
            _ => break,
        }
    }
    if torn > 0 {
        found.push(format!("workspace: {torn} blocks of postings can't be decoded"));
    }
    let versions = tx
        .query(
            "SELECT version_no, terms, state = 2 FROM ironclaw.entry_versions WHERE owner_no = $1",
            params![owner_no],
            |row| Ok((row.u64(0)?, row.u64(1)?, row.bool(2)?)),
        )
        .await?;
    let mut wrong = 0_u64;
    for (version_no, expected, is_superseded) in versions {
        let indexed = terms.remove(&version_no).unwrap_or_default();
        // A version that is being swept has lost some.
        if indexed != expected && !is_superseded {
            wrong += 1;
        }
    }
    if wrong > 0 {
        found.push(format!("workspace: {wrong} versions whose postings are not those of their chunks"));
    }
    if !terms.is_empty() {
        found.push(format!("workspace: postings of {} versions that are not there", terms.len()));
    }
    Ok(())
}

/// Compares the content of each of a user's files with its hash.
async fn check_contents(tx: &Tx, owner_no: i64, found: &mut Vec<String>) -> Result<(), StoreError> {
    let files = tx
        .query(
            "SELECT id, version_no, content_hash FROM ironclaw.entry_versions WHERE owner_no = $1 AND state = 1",
            params![owner_no],
            |row| Ok((row.id(0)?, row.i64(1)?, row.bytes::<32>(2)?)),
        )
        .await?;
    for (id, version_no, expected) in files {
        let mut hash = Sha256::new();
        let mut next = Some(0_i64);
        while let Some(start) = next {
            let part = tx
                .query_row(
                    "SELECT end_byte, bytes FROM ironclaw.entry_parts \
                     WHERE owner_no = $1 AND version_no = $2 AND start_byte = $3",
                    params![owner_no, version_no, start],
                    |row| Ok((row.i64(0)?, row.blob(1)?)),
                )
                .await?;
            next = part.map(|(end, bytes)| {
                hash.update(bytes);
                end
            });
        }
        if <[u8; 32]>::from(hash.finalize()) != expected {
            let id = VersionId::from_bytes(id);
            found.push(format!("workspace: the content of version {id} is not that of its hash"));
        }
    }
    Ok(())
}

//! Whether the workspace's tables agree with each other.

use ironclaw_core::id::VersionId;
use ironclaw_core::search::analyze;
use ironclaw_core::store::StoreError;
use sha2::{Digest, Sha256};

use super::stored::model_key;
use crate::damage;
use crate::heavy::apart;
use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::search::{postings, vector};

/// What is wrong between the workspace's tables, in words.
pub(in crate::postgres) async fn check(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let versions = tx.number(VECTORS, params![]).await?;
    if versions > 0 {
        found.push(format!("chunk_vectors: {versions} versions have other vectors than chunks"));
    }
    for owner_no in tx.query("SELECT owner_no FROM ironclaw.users", params![], |row| row.i64(0)).await? {
        check_models(tx, owner_no, &mut found).await?;
        check_postings(tx, owner_no, &mut found).await?;
        check_contents(tx, owner_no, &mut found).await?;
    }
    Ok(found)
}

/// Counts versions that have other vectors than chunks.
const VECTORS: &str = // Counted once for all versions: no index finds the vectors of one whose model is not known.
    "SELECT count(*) FROM ironclaw.entry_versions v LEFT JOIN (SELECT c.owner_no, c.version_no, count(*) AS vectors \
         FROM ironclaw.memory_chunks c JOIN ironclaw.chunk_vectors e ON e.owner_no = c.owner_no \
         AND e.version_no = c.version_no AND e.chunk_no = c.chunk_no AND e.id = c.id GROUP BY c.owner_no, c.version_no) e \
         ON e.owner_no = v.owner_no AND e.version_no = v.version_no WHERE v.state <> 2 \
         AND CASE WHEN v.model IS NULL THEN 0 ELSE v.chunks END <> coalesce(e.vectors, 0)";

/// Whether the vectors of a user's versions are found under the keys of their models.
async fn check_models(tx: &Tx, owner_no: i64, found: &mut Vec<String>) -> Result<(), StoreError> {
    let models = tx
        .query("SELECT id, dimensions FROM ironclaw.embedding_models WHERE owner_no = $1", params![owner_no], |row| {
            Ok((row.text(0)?, row.code(1, vector::dimensions)?))
        })
        .await?;
    for (model, dimensions) in models {
        let lost = tx
            .number(
                "SELECT count(*) FROM ironclaw.chunk_vectors e JOIN ironclaw.entry_versions v \
                 ON v.owner_no = e.owner_no AND v.version_no = e.version_no \
                 WHERE e.owner_no = $1 AND v.model = $2 AND e.model_key <> $3",
                params![owner_no, model.as_str(), model_key(&model, dimensions)],
            )
            .await?;
        if lost > 0 {
            let id = damage::name(model.as_bytes());
            found.push(format!(
                "embedding_models: {lost} vectors of user {owner_no} are not under the key of model {id}"
            ));
        }
    }
    Ok(())
}

/// Compares the postings of each part of a user's versions with those of its chunks' texts.
async fn check_postings(tx: &Tx, owner_no: i64, found: &mut Vec<String>) -> Result<(), StoreError> {
    let (mut expected, mut missing, mut unreadable) = (0_i64, 0_i64, 0_u64);
    // Their places all at once: asked for one after the other, the server looks at all that are left for each.
    let parts = tx
        .query(
            "SELECT p.version_no, p.start_byte FROM ironclaw.entry_parts p JOIN ironclaw.entry_versions v \
             ON v.owner_no = p.owner_no AND v.version_no = p.version_no \
             WHERE p.owner_no = $1 AND v.state <> 2 ORDER BY p.version_no, p.start_byte",
            params![owner_no],
            |row| Ok((row.i64(0)?, row.i64(1)?)),
        )
        .await?;
    for (version_no, start) in parts {
        let bytes = tx
            .query_row(
                "SELECT bytes FROM ironclaw.entry_parts WHERE owner_no = $1 AND version_no = $2 AND start_byte = $3",
                params![owner_no, version_no, start],
                |row| row.blob(0),
            )
            .await?;
        let Some(bytes) = bytes else {
            continue;
        };
        let bytes_of_part = bytes.len();
        let chunks = tx
            .query(
                "SELECT chunk_no, start_byte, end_byte, length FROM ironclaw.memory_chunks \
                 WHERE owner_no = $1 AND version_no = $2 AND part_start = $3 ORDER BY chunk_no",
                params![owner_no, version_no, start],
                |row| Ok((row.count(0)?, row.i64(1)?, row.i64(2)?, row.i64(3)?)),
            )
            .await?;
        let of_part = move || Ok(of_part(version_no, start, &bytes, chunks));
        let (wrong, blocks) = apart(tx.operation(), bytes_of_part, of_part).await?;
        unreadable += wrong;
        expected += blocks.len() as i64;
        let (texts, blocks): (Vec<String>, Vec<Vec<u8>>) = blocks.into_iter().unzip();
        let kept = tx
            .number(
                "SELECT count(*) FROM unnest($4::text[], $5::bytea[]) q (term, postings) \
                 JOIN ironclaw.chunk_terms t ON t.owner_no = $1 AND t.term = q.term AND t.version_no = $2 \
                 AND t.part_start = $3 AND t.postings = q.postings",
                params![owner_no, version_no, start, texts.clone(), blocks],
            )
            .await?;
        missing += texts.len() as i64 - kept;
    }
    if unreadable > 0 {
        found.push(format!("memory_chunks: {unreadable} chunks of user {owner_no} are no text of their part"));
    }
    if missing > 0 {
        found.push(format!("chunk_terms: {missing} postings of user {owner_no} are missing or wrong"));
    }
    let sql = "SELECT count(*) FROM ironclaw.chunk_terms t JOIN ironclaw.entry_versions v \
               ON v.owner_no = t.owner_no AND v.version_no = t.version_no AND v.state <> 2 WHERE t.owner_no = $1";
    if missing == 0 && unreadable == 0 && tx.number(sql, params![owner_no]).await? != expected {
        found.push(format!("chunk_terms: there are postings of user {owner_no} that no chunk has"));
    }
    Ok(())
}

/// How many chunks are no text of their part, or have other terms than it says, and the postings of the others.
fn of_part(
    version_no: i64,
    start: i64,
    bytes: &[u8],
    chunks: Vec<(u64, i64, i64, i64)>,
) -> (u64, Vec<(String, Vec<u8>)>) {
    let (mut chunk_nos, mut terms, mut unreadable) = (Vec::new(), Vec::new(), 0);
    for (chunk_no, from, to, length) in chunks {
        let offset = |at: i64| usize::try_from(at.checked_sub(start)?).ok();
        let text = offset(from).zip(offset(to)).and_then(|(from, to)| bytes.get(from..to));
        let of_chunk = text.and_then(|text| std::str::from_utf8(text).ok()).map(analyze);
        match of_chunk.filter(|terms| i64::from(terms.length) == length) {
            Some(of_chunk) => {
                chunk_nos.push(chunk_no);
                terms.push(of_chunk);
            }
            None => unreadable += 1,
        }
    }
    let blocks = postings::blocks(version_no.cast_unsigned(), &chunk_nos, &terms);
    (unreadable, blocks.into_iter().map(|(term, block)| (term.to_owned(), block)).collect())
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
            found.push(format!("entry_versions: the content is not that of its hash: row {id}"));
        }
    }
    Ok(())
}

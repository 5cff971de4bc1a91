//! Whether what is derived from the workspace's rows agrees with them.

use std::collections::HashSet;

use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::StoreError;

use crate::damage;
use crate::libsql::db::Db;
use crate::libsql::looked::Looked;
use crate::libsql::row::params;
use crate::search::postings;

/// Looks whether the index has all terms of a part's chunks as they are. How many terms the part has.
pub(in crate::libsql) fn check_part(
    db: &Db,
    part: &Looked<'_>,
    mut note: impl FnMut(String),
) -> Result<i64, StoreError> {
    let (Some(owner_no), Some(version_no), Some(start)) =
        (part.number("owner_no"), part.number("version_no"), part.number("start_byte"))
    else {
        return Ok(0);
    };
    // What is swept loses its postings bit by bit.
    if !is_kept(db, version_no)? {
        return Ok(0);
    }
    // What can't be decoded was told by its column.
    let Some((chunk_nos, terms)) = chunks(db, (owner_no, version_no, start), part.bytes("bytes"), &mut note)? else {
        return Ok(0);
    };
    let Ok(number) = u64::try_from(version_no) else {
        return Ok(0);
    };
    let blocks = postings::blocks(number, &chunk_nos, &terms);
    for (term, block) in &blocks {
        let found = db.number(
            "SELECT count(*) FROM chunk_terms \
             WHERE owner_no = ?1 AND term = ?2 AND version_no = ?3 AND part_start = ?4 AND postings = ?5",
            params![owner_no, *term, version_no, start, block.as_slice()],
        )?;
        if found == 0 {
            note("chunk_terms: postings of a part are missing or wrong".to_owned());
        }
    }
    Ok(blocks.len() as i64)
}

/// What is wrong with the vector of a chunk, if something is.
pub(in crate::libsql) fn check_vector_of(db: &Db, chunk: &Looked<'_>) -> Result<Option<&'static str>, StoreError> {
    let (Some(version_no), Some(owner_no)) = (chunk.number("version_no"), chunk.number("owner_no")) else {
        return Ok(None);
    };
    let model = db.query_row(
        "SELECT v.version_no, v.model IS NOT NULL, m.dimensions FROM entry_versions v LEFT JOIN embedding_models m \
         ON m.owner_no = v.owner_no AND m.id = v.model WHERE v.version_no = ?1 AND v.owner_no = ?2 AND v.state <> 2",
        params![version_no, owner_no],
        |row| Ok((row.bool(1)?, row.i64(2).ok())),
    )?;
    let length = chunk.bytes("embedding").map(|bytes| bytes.len() as i64);
    Ok(match (model, length) {
        (Some((true, _)), None) => Some("it has no vector"),
        (Some((false, _)), Some(_)) => Some("it has a vector of no model"),
        (Some((true, Some(dimensions))), Some(length)) if dimensions.checked_mul(4) != Some(length) => {
            Some("its vector has not the dimensions of its model")
        }
        _ => None,
    })
}

/// The terms of a part's chunks; none if it is not there.
pub(in crate::libsql) fn terms_of_part(
    db: &Db,
    owner_no: i64,
    (version_no, start): (i64, i64),
) -> Result<HashSet<String>, StoreError> {
    let bytes = db.query_row(
        "SELECT part_no, bytes FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 AND start_byte = ?3",
        params![owner_no, version_no, start],
        |row| row.blob(1),
    )?;
    let chunks = chunks(db, (owner_no, version_no, start), bytes.as_deref(), &mut |_| ())?;
    let terms = chunks.into_iter().flat_map(|(_, terms)| terms).flat_map(|terms| terms.counts.into_keys());
    Ok(terms.collect())
}

/// Whether a version is one that somebody sees or writes.
pub(in crate::libsql) fn is_kept(db: &Db, version_no: i64) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM entry_versions WHERE version_no = ?1 AND state <> 2";
    Ok(db.number(sql, params![version_no])? > 0)
}

/// Chunks by their numbers and their terms.
type Chunks = (Vec<u64>, Vec<Terms>);

/// The numbers of a part's chunks and their terms.
fn chunks(
    db: &Db,
    (owner_no, version_no, start): (i64, i64, i64),
    bytes: Option<&[u8]>,
    note: &mut dyn FnMut(String),
) -> Result<Option<Chunks>, StoreError> {
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let (mut chunk_nos, mut terms) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    db.for_each(
        "SELECT chunk_no, start_byte - part_start, end_byte - part_start, length FROM memory_chunks \
         WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3 ORDER BY chunk_no",
        params![owner_no, version_no, start],
        |row| {
            let text = row.size(1).ok().zip(row.size(2).ok()).and_then(|(start, end)| bytes.get(start..end));
            let text = text.and_then(|text| std::str::from_utf8(text).ok());
            match (row.count(0), text, row.i64(3)) {
                (Ok(chunk_no), Some(text), Ok(length)) => {
                    let of_chunk = analyze(text);
                    if i64::from(of_chunk.length) != length {
                        note(format!("memory_chunks: chunk {chunk_no} counts other terms than it has"));
                    }
                    chunk_nos.push(chunk_no);
                    terms.push(of_chunk);
                }
                _ => is_whole = false,
            }
            Ok(())
        },
    )?;
    if !is_whole {
        note(format!("memory_chunks: a chunk is no text of its part; {}", damage::ADVICE));
        return Ok(None);
    }
    Ok(Some((chunk_nos, terms)))
}

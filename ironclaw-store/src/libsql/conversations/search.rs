//! The inverted index over what users and assistants say.

use std::collections::{HashMap, HashSet};

use ironclaw_core::model::conversations::MessageHit;
use ironclaw_core::search::{Bm25, Terms, TextQuery, analyze};
use ironclaw_core::store::StoreError;

use crate::codes::role;
use crate::conversations::{head, head_columns};
use crate::damage;
use crate::libsql::db::Db;
use crate::libsql::looked::Looked;
use crate::libsql::portions::first_left;
use crate::libsql::removal::Removal;
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::prepared::is_searched;

/// Adds a message to the index.
pub(in crate::libsql) fn insert(db: &Db, owner_no: i64, message_no: i64, terms: &Terms) -> Result<(), StoreError> {
    for (term, frequency) in &terms.counts {
        db.execute(
            "INSERT INTO message_terms (owner_no, term, message_no, frequency, length) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![owner_no, term.as_str(), message_no, *frequency, terms.length],
        )?;
    }
    count(db, owner_no, 1, terms.length.into())
}

/// Removes some of a conversation's terms in the order in which they are kept, going through those of all messages of the
/// user: neighbours lie in one page, and one by one each of them would take a page of its own to the log.
pub(super) fn remove_terms_in_order(db: &Db, removal: &mut Removal, conversation: [u8; 16]) -> Result<u64, StoreError> {
    let (owner_no, mut rows) = (removal.content_no, 0);
    while let Some(term) = removal.term.take() {
        if !db.budget.is_left() {
            removal.term = Some(term);
            break;
        }
        let (left, begin) = (db.budget.left(), removal.position);
        let mut found = db.query(
            "SELECT message_no, term FROM message_terms WHERE owner_no = ?1 AND (term, message_no) > (?2, ?3) \
             ORDER BY term, message_no LIMIT ?4",
            params![owner_no, term.as_str(), begin, left],
            |row| Ok((row.u64(0)?, row.text(1)?)),
        )?;
        let looked_at = found.len() as u64;
        let Some((message_no, last_term)) = found.pop() else {
            // That was the last one.
            break;
        };
        rows += db.execute(
            "DELETE FROM message_terms WHERE owner_no = ?1 AND (term, message_no) IN (SELECT t.term, t.message_no \
             FROM message_terms t JOIN messages m ON m.message_no = t.message_no WHERE t.owner_no = ?1 \
             AND (t.term, t.message_no) > (?2, ?3) AND (t.term, t.message_no) <= (?4, ?5) AND m.conversation = ?6)",
            params![owner_no, term.as_str(), begin, last_term.as_str(), message_no, &conversation],
        )?;
        db.budget.spend(looked_at);
        (removal.term, removal.position) = (Some(last_term), message_no);
    }
    Ok(rows)
}

/// Removes some of a conversation's messages, with their terms, which are found by analysing the text again. How many
/// rows.
pub(super) fn remove_messages(db: &Db, owner_no: i64, conversation: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = 0;
    while db.budget.is_left() {
        let next = db.query_row(
            "SELECT message_no, role, content FROM messages WHERE owner_no = ?1 AND conversation = ?2 LIMIT 1",
            params![owner_no, &conversation],
            |row| {
                let content = row.text(2)?;
                let terms = is_searched(row.code(1, role)?).then(|| analyze(&content));
                Ok((row.i64(0)?, terms, content.len() as u64))
            },
        )?;
        let Some((message_no, terms, bytes)) = next else {
            break;
        };
        if let Some(terms) = &terms {
            rows += remove_terms(db, owner_no, message_no, terms)?;
            if !db.budget.is_left() {
                break;
            }
            db.execute(
                "UPDATE message_statistics SET documents = documents - 1, total_length = total_length - ?2 \
                 WHERE owner_no = ?1",
                params![owner_no, terms.length],
            )?;
        }
        rows += db.execute("DELETE FROM messages WHERE message_no = ?1", params![message_no])?;
        // Finding its terms takes longer than deleting it.
        db.budget.spend(1 + terms.map_or(0, |terms| terms.counts.len() as u64 / 4) + bytes / 4_096);
    }
    Ok(rows)
}

/// Removes some of a message's terms. Those that are gone already are the first ones.
fn remove_terms(db: &Db, owner_no: i64, message_no: i64, terms: &Terms) -> Result<u64, StoreError> {
    let terms: Vec<&str> = terms.counts.keys().map(String::as_str).collect();
    let first = first_left(&terms, |term| {
        let sql = "SELECT count(*) FROM message_terms WHERE owner_no = ?1 AND term = ?2 AND message_no = ?3";
        Ok(db.number(sql, params![owner_no, term, message_no])? > 0)
    })?;
    let mut rows = 0;
    for term in &terms[first..] {
        if !db.budget.is_left() {
            break;
        }
        rows += db.execute(
            "DELETE FROM message_terms WHERE owner_no = ?1 AND term = ?2 AND message_no = ?3",
            params![owner_no, *term, message_no],
        )?;
        db.budget.spend(1);
    }
    Ok(rows)
}

/// The messages that fit a query best; equal scores newest first.
pub(in crate::libsql) fn search(tx: &Tx<'_>, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError> {
    if query.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let bm25 = bm25(tx)?;
    let mut scores: HashMap<i64, f64> = HashMap::new();
    for term in query.terms() {
        let postings = tx.db.query(
            "SELECT message_no, frequency, length FROM message_terms WHERE owner_no = ?1 AND term = ?2",
            params![tx.content_no(), term.as_str()],
            |row| Ok((row.i64(0)?, row.u32(1)?, row.u32(2)?)),
        )?;
        let term = bm25.term(postings.len() as u64);
        for (message_no, frequency, length) in postings {
            *scores.entry(message_no).or_default() += term.score(frequency, length);
        }
    }
    let mut scores: Vec<(i64, f64)> = scores.into_iter().collect();
    scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    let mut hits = Vec::new();
    for (message_no, score) in scores {
        if hits.len() == limit as usize {
            break;
        }
        // What is being removed is in the index still.
        let found = tx.db.query_row(
            concat!("SELECT ", head_columns!(), " FROM visible_messages WHERE message_no = ?1 AND owner_no = ?2"),
            params![message_no, tx.content_no()],
            |row| head(row),
        )?;
        hits.extend(found.map(|message| MessageHit::new(message, score)));
    }
    Ok(hits)
}

/// Counts messages with so many terms together in.
fn count(db: &Db, owner_no: i64, documents: i64, length: i64) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO message_statistics (owner_no, documents, total_length) VALUES (?1, ?2, ?3) \
         ON CONFLICT (owner_no) DO UPDATE \
         SET documents = documents + excluded.documents, total_length = total_length + excluded.total_length",
        params![owner_no, documents, length],
    )?;
    Ok(())
}

/// The user's own statistics.
fn bm25(tx: &Tx<'_>) -> Result<Bm25, StoreError> {
    let counted = tx.db.query_row(
        "SELECT owner_no, documents, total_length FROM message_statistics WHERE owner_no = ?1",
        params![tx.content_no()],
        |row| Ok((row.count(1)?, row.count(2)?)),
    )?;
    let (documents, length) = counted.unwrap_or_default();
    Ok(Bm25::new(documents, length))
}

/// Looks whether the index has all terms of a message as they are, and tells of the others by their hash. The terms, if
/// it is a message that is searched.
pub(in crate::libsql) fn check_terms(
    db: &Db,
    message: &Looked<'_>,
    mut note: impl FnMut(String),
) -> Result<Option<Terms>, StoreError> {
    let (Some(message_no), Some(owner_no), Some(code), Some(content)) =
        (message.number("message_no"), message.number("owner_no"), message.number("role"), message.text("content"))
    else {
        return Ok(None);
    };
    if !role(code).is_some_and(is_searched) {
        return Ok(None);
    }
    let terms = analyze(content);
    for (term, frequency) in &terms.counts {
        let found = db.number(
            "SELECT count(*) FROM message_terms \
             WHERE owner_no = ?1 AND term = ?2 AND message_no = ?3 AND frequency = ?4 AND length = ?5",
            params![owner_no, term.as_str(), message_no, *frequency, terms.length],
        )?;
        if found == 0 {
            note(damage::name(term.as_bytes()));
        }
    }
    Ok(Some(terms))
}

/// The terms of a message; none if it is not there.
pub(in crate::libsql) fn terms_of_message(db: &Db, message_no: i64) -> Result<HashSet<String>, StoreError> {
    let content =
        db.query_row("SELECT message_no, content FROM messages WHERE message_no = ?1", params![message_no], |row| {
            row.text(1)
        })?;
    Ok(content.map(|content| analyze(&content).counts.into_keys().collect()).unwrap_or_default())
}

//! The inverted index over what users and assistants say.

use std::collections::HashMap;

use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::MessageHit;
use ironclaw_core::search::{Bm25, Terms, TextQuery, analyze};
use ironclaw_core::store::StoreError;

use crate::codes::role;
use crate::conversations::{head, head_columns};
use crate::postgres::row::{Row, params, uuid};
use crate::postgres::tx::Tx;
use crate::prepared::is_searched;

/// How many messages are in memory at the same time, and of how many bytes all but the last of them are together: between
/// two statements no more is analysed.
const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 4 << 20;

/// The next messages to be analysed, for [`Postings::of`]: those that a condition leaves, in the order of a column, as many
/// and as large as two parameters say.
macro_rules! next_messages {
    ($place:literal, $condition:literal, $most:literal, $bytes:literal) => {
        concat!(
            "SELECT place, message_no, role, content FROM (SELECT m.*, \
             sum(octet_length(m.content)) OVER (ORDER BY m.place) - octet_length(m.content) AS before \
             FROM (SELECT ",
            $place,
            " AS place, message_no, role, content FROM ironclaw.messages WHERE ",
            $condition,
            " ORDER BY ",
            $place,
            " LIMIT ",
            $most,
            ") m) m WHERE before < ",
            $bytes,
            " ORDER BY place"
        )
    };
}

/// Adds messages that were written without it to the index: their ids and their terms.
pub(in crate::postgres) async fn index(tx: &Tx, messages: &[([u8; 16], &Terms)]) -> Result<(), StoreError> {
    let ids: Vec<_> = messages.iter().map(|(id, _)| uuid(id)).collect();
    let numbers = tx
        .query(
            "SELECT m.message_no FROM unnest($2::uuid[]) WITH ORDINALITY q (id, nr) JOIN ironclaw.messages m \
             ON m.owner_no = $1 AND m.id = q.id ORDER BY q.nr",
            params![tx.owner_no(), ids],
            |row| row.i64(0),
        )
        .await?;
    let mut postings = Postings::default();
    for (message_no, (_, terms)) in numbers.into_iter().zip(messages) {
        postings.add(message_no, terms);
    }
    tx.execute(
        "WITH terms AS (INSERT INTO ironclaw.message_terms (owner_no, term, message_no, frequency, length) \
            SELECT $1, q.* FROM unnest($2::text[], $3::bigint[], $4::integer[], $5::integer[]) q) \
         INSERT INTO ironclaw.message_statistics AS s (owner_no, documents, total_length) SELECT $1, $6, $7 \
         WHERE $6 > 0 ON CONFLICT (owner_no) DO UPDATE \
         SET documents = s.documents + excluded.documents, total_length = s.total_length + excluded.total_length",
        params![
            tx.owner_no(),
            postings.terms,
            postings.messages,
            postings.frequencies,
            postings.lengths,
            postings.documents,
            postings.total_length
        ],
    )
    .await?;
    Ok(())
}

/// Removes a conversation's messages from the index: their terms are found by analysing their text again.
pub(super) async fn remove_conversation(tx: &Tx, owner_no: i64, id: ConversationId) -> Result<(), StoreError> {
    let mut last = 0;
    loop {
        let (read, postings) = tx
            .read_apart(
                next_messages!("sequence", "owner_no = $1 AND conversation = $2 AND sequence > $3", "$4", "$5"),
                params![owner_no, uuid(id.as_bytes()), last, AT_ONCE as u64, BYTES_AT_ONCE as u64],
                Postings::of,
            )
            .await?;
        tx.execute(
            "WITH gone AS (DELETE FROM ironclaw.message_terms t USING unnest($2::text[], $3::bigint[]) q (term, no) \
             WHERE t.owner_no = $1 AND t.term = q.term AND t.message_no = q.no) \
             UPDATE ironclaw.message_statistics SET documents = documents - $4, total_length = total_length - $5 \
             WHERE owner_no = $1",
            params![owner_no, postings.terms, postings.messages, postings.documents, postings.total_length],
        )
        .await?;
        match read {
            Some(sequence) => last = sequence,
            None => return Ok(()),
        }
    }
}

/// The messages that fit a query best; equal scores newest first.
pub(in crate::postgres) async fn search(tx: &Tx, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError> {
    if query.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let counted = tx
        .query_row(
            "SELECT documents, total_length FROM ironclaw.message_statistics WHERE owner_no = $1",
            params![tx.owner_no()],
            |row| Ok((row.count(0)?, row.count(1)?)),
        )
        .await?;
    let (documents, length) = counted.unwrap_or_default();
    let bm25 = Bm25::new(documents, length);
    let scores = tx
        .read_apart(
            // One row for each term, in the order of the query: sums of scores are the same on every store.
            "SELECT ARRAY_AGG(t.message_no), ARRAY_AGG(t.frequency), ARRAY_AGG(t.length) \
             FROM unnest($2::text[]) WITH ORDINALITY q (term, nr) \
             JOIN ironclaw.message_terms t ON t.owner_no = $1 AND t.term = q.term GROUP BY q.nr ORDER BY q.nr",
            params![tx.owner_no(), query.terms().to_vec()],
            move |rows| best(&bm25, rows, limit as usize),
        )
        .await?;
    let (numbers, scores): (Vec<i64>, Vec<f64>) = scores.into_iter().unzip();
    let messages = tx
        .query(
            concat!(
                "SELECT ",
                head_columns!(),
                " FROM ironclaw.messages JOIN unnest($2::bigint[]) WITH ORDINALITY q (no, nr) ON message_no = q.no \
                 WHERE owner_no = $1 ORDER BY q.nr"
            ),
            params![tx.owner_no(), numbers],
            |row| head(row),
        )
        .await?;
    Ok(messages.into_iter().zip(scores).map(|(message, score)| MessageHit::new(message, score)).collect())
}

/// The best messages, by their numbers, of the postings of each term; equal scores newest first.
fn best(bm25: &Bm25, terms: &[Row<'_>], limit: usize) -> Result<Vec<(i64, f64)>, StoreError> {
    let mut scores: HashMap<i64, f64> = HashMap::new();
    for row in terms {
        let (messages, frequencies, lengths) = (row.array::<i64>(0)?, row.array::<i32>(1)?, row.array::<i32>(2)?);
        let term = bm25.term(messages.len() as u64);
        for ((message_no, frequency), length) in messages.into_iter().zip(frequencies).zip(lengths) {
            // What is below zero no text has: the check of the store's integrity tells it.
            let (frequency, length) = (frequency.max(0).cast_unsigned(), length.max(0).cast_unsigned());
            *scores.entry(message_no).or_default() += term.score(frequency, length);
        }
    }
    let mut scores: Vec<(i64, f64)> = scores.into_iter().collect();
    scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    scores.truncate(limit);
    Ok(scores)
}

/// What is wrong between messages, the index and its statistics, in words.
pub(in crate::postgres) async fn check(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    for owner_no in tx.query("SELECT owner_no FROM ironclaw.users", params![], |row| row.i64(0)).await? {
        check_user(tx, owner_no, &mut wrong).await?;
    }
    Ok(wrong)
}

async fn check_user(tx: &Tx, owner_no: i64, wrong: &mut Vec<String>) -> Result<(), StoreError> {
    let (mut expected, mut documents, mut length) = (0_i64, 0_i64, 0_i64);
    let mut missing = 0;
    let mut last = i64::MIN;
    loop {
        let (read, postings) = tx
            .read_apart(
                next_messages!("message_no", "owner_no = $1 AND message_no > $2", "$3", "$4"),
                params![owner_no, last, AT_ONCE as u64, BYTES_AT_ONCE as u64],
                Postings::of,
            )
            .await?;
        (documents, length) = (documents + postings.documents, length + postings.total_length);
        let rows = postings.terms.len() as i64;
        let found = tx
            .number(
                "SELECT count(*) FROM unnest($2::text[], $3::bigint[], $4::integer[], $5::integer[]) \
                 q (term, no, frequency, length) JOIN ironclaw.message_terms t ON t.owner_no = $1 AND t.term = q.term \
                 AND t.message_no = q.no AND t.frequency = q.frequency AND t.length = q.length",
                params![owner_no, postings.terms, postings.messages, postings.frequencies, postings.lengths],
            )
            .await?;
        expected += rows;
        missing += rows - found;
        match read {
            Some(message_no) => last = message_no,
            None => break,
        }
    }
    if missing > 0 {
        wrong.push(format!("message_terms: {missing} terms of messages are missing or wrong"));
    }
    let sql = "SELECT count(*) FROM ironclaw.message_terms WHERE owner_no = $1";
    if missing == 0 && tx.number(sql, params![owner_no]).await? != expected {
        wrong.push("message_terms: there are terms of messages that are gone".to_owned());
    }
    let kept = tx
        .query_row(
            "SELECT documents, total_length FROM ironclaw.message_statistics WHERE owner_no = $1",
            params![owner_no],
            |row| Ok((row.i64(0)?, row.i64(1)?)),
        )
        .await?;
    if kept.unwrap_or_default() != (documents, length) {
        wrong.push("message_statistics: a user's messages are counted wrongly".to_owned());
    }
    Ok(())
}

/// The rows of some messages in the index, column by column, and what they count for.
#[derive(Default)]
struct Postings {
    terms: Vec<String>,
    messages: Vec<i64>,
    frequencies: Vec<i32>,
    lengths: Vec<i32>,
    documents: i64,
    total_length: i64,
}

impl Postings {
    /// Those of messages, found by analysing their texts again, and where the next messages begin, if there may be more.
    /// Rows have the place of a message, its number, its role and its text.
    fn of(rows: &[Row<'_>]) -> Result<(Option<i64>, Self), StoreError> {
        let (mut postings, mut bytes) = (Self::default(), 0);
        for row in rows {
            let text = row.text(3)?;
            bytes += text.len();
            if is_searched(row.code(2, role)?) {
                postings.add(row.i64(1)?, &analyze(&text));
            }
        }
        let last = rows.last().filter(|_| rows.len() == AT_ONCE || bytes >= BYTES_AT_ONCE);
        Ok((last.map(|row| row.i64(0)).transpose()?, postings))
    }

    fn add(&mut self, message_no: i64, terms: &Terms) {
        for (term, frequency) in &terms.counts {
            self.terms.push(term.clone());
            self.messages.push(message_no);
            self.frequencies.push(frequency.cast_signed());
            self.lengths.push(terms.length.cast_signed());
        }
        self.documents += 1;
        self.total_length += i64::from(terms.length);
    }
}

//! What BM25 knows of each user's messages, compared with the messages.

use ironclaw_core::search::analyze;
use ironclaw_core::store::StoreError;

use super::{Budget, Memory, Stage};
use crate::codes::role;
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::prepared::is_searched;

/// How many users or messages a step reads at most.
const AT_ONCE: u32 = 500;

/// How often a user who goes on writing is counted anew. Nothing is said of one who never stops.
const TRIES: u32 = 3;

#[derive(Default)]
pub(super) struct Statistics {
    is_begun: bool,
    last: i64,
    /// Users whose numbers differ, unless they wrote meanwhile.
    suspected: Vec<i64>,
    counting: Option<Counting>,
}

/// A user's messages, counted over several steps.
struct Counting {
    owner_no: i64,
    /// How long the user's chain was when counting began: every change makes it longer.
    sequence: i64,
    last: Vec<u8>,
    counted: (i64, i64),
    tries: u32,
}

impl Stage for Statistics {
    fn step(&mut self, db: &Db, memory: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        if !self.is_begun {
            return self.compare(db, memory);
        }
        let counting = match self.counting.take() {
            Some(counting) => counting,
            None => match self.suspected.pop() {
                Some(owner_no) => Counting::begin(db, owner_no, 1)?,
                None => return Ok(true),
            },
        };
        self.counting = counting.go_on(db, found)?;
        Ok(false)
    }

    fn about(&self) -> String {
        "message_statistics".to_owned()
    }
}

impl Statistics {
    fn compare(&mut self, db: &Db, memory: &mut Memory) -> Result<bool, StoreError> {
        let kept = db.query(
            "SELECT owner_no, documents, total_length FROM message_statistics WHERE owner_no > ?1 \
             ORDER BY owner_no LIMIT ?2",
            params![self.last, AT_ONCE],
            // What can't be decoded was told by its column.
            |row| Ok((row.i64(0)?, row.i64(1).ok().zip(row.i64(2).ok()))),
        )?;
        for (owner_no, kept) in &kept {
            let counted = memory.texts.remove(owner_no).unwrap_or_default();
            if kept.is_some_and(|kept| kept != counted) {
                self.suspected.push(*owner_no);
            }
            self.last = *owner_no;
        }
        if kept.len() < AT_ONCE as usize {
            self.suspected.extend(memory.texts.drain().map(|(owner_no, _)| owner_no));
            self.is_begun = true;
        }
        Ok(false)
    }
}

impl Counting {
    fn begin(db: &Db, owner_no: i64, tries: u32) -> Result<Self, StoreError> {
        let sequence = sequence(db, owner_no)?;
        Ok(Self { owner_no, sequence, last: Vec::new(), counted: (0, 0), tries })
    }

    fn go_on(mut self, db: &Db, found: &mut Found) -> Result<Option<Self>, StoreError> {
        let budget = Budget::new();
        let mut read = 0;
        let (mut last, mut counted) = (std::mem::take(&mut self.last), self.counted);
        db.for_some(
            "SELECT id, role, content FROM messages WHERE owner_no = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            params![self.owner_no, last.clone(), AT_ONCE],
            |row| {
                read += 1;
                last = row.blob(0)?;
                if is_searched(row.code(1, role)?) {
                    counted = (counted.0 + 1, counted.1 + i64::from(analyze(&row.text(2)?).length));
                }
                Ok(if budget.is_spent() { crate::libsql::db::Next::Stop } else { crate::libsql::db::Next::GoOn })
            },
        )?;
        (self.last, self.counted) = (last, counted);
        if read == AT_ONCE || budget.is_spent() && read > 0 {
            return Ok(Some(self));
        }
        if sequence(db, self.owner_no)? != self.sequence {
            return match self.tries < TRIES {
                true => Self::begin(db, self.owner_no, self.tries + 1).map(Some),
                false => Ok(None),
            };
        }
        let kept = db.query_row(
            "SELECT owner_no, documents, total_length FROM message_statistics WHERE owner_no = ?1",
            params![self.owner_no],
            |row| Ok((row.i64(1)?, row.i64(2)?)),
        )?;
        let is_settled = !super::rows::removing(db)?.contains(&self.owner_no);
        if is_settled && kept.unwrap_or_default() != self.counted {
            let row = self.owner_no.to_string();
            found.note("message_statistics: the user's messages are counted wrongly", Some(&row));
        }
        Ok(None)
    }
}

fn sequence(db: &Db, owner_no: i64) -> Result<i64, StoreError> {
    // Content may be kept under another number than its user's.
    db.number(
        "SELECT coalesce((SELECT s.sequence FROM users u JOIN audit_streams s ON s.owner_no = u.owner_no \
         WHERE u.content_no = ?1), (SELECT sequence FROM audit_streams WHERE owner_no = ?1), 0)",
        params![owner_no],
    )
}

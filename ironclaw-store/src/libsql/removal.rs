//! What takes more than one small transaction to remove: hidden by the change that asks for it, then removed in bounded
//! steps between the writer's other work, by whoever has the file open. The last step appends the event that tells of it.
//!
//! A row of `removals` is what hides and what is resumed. Steps are whole transactions that look at that row first, so
//! several processes may take them in turns.

use ironclaw_core::Timestamp;
use ironclaw_core::model::audit::{Action, AuditRecord, SubjectKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};

pub(super) use self::budget::{AT_ONCE, Budget, first_left, portion, sized, some};
pub(super) use self::content::jobs_of;
pub(super) use self::wait::{Removed, erased, gone, settled};
use super::db::Db;
use super::row::{Row, params};
use super::tx::Tx;
use super::users::{self, UserRow};
use super::{audit, conversations, privacy};
use crate::prepared::PreparedEvent;
use crate::reserved;

mod budget;
mod content;
#[cfg(test)]
mod tests;
mod wait;

/// What is removed. The numbers stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All content under a number, and private parts of the user's events.
    Forget = 1,
    /// A user.
    Erase = 2,
    Conversation = 3,
    Job = 4,
}

impl Kind {
    pub(super) fn code(self) -> i64 {
        self as i64
    }

    fn from_code(code: i64) -> Option<Self> {
        [Self::Forget, Self::Erase, Self::Conversation, Self::Job].into_iter().find(|kind| kind.code() == code)
    }
}

/// A removal and how far it is.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) kind: Kind,
    pub(super) owner_no: i64,
    pub(super) content_no: i64,
    pub(super) id: Option<[u8; 16]>,
    /// Up to which private parts of the user's events go, and up to which they are gone.
    pub(super) last_event: u64,
    pub(super) position: u64,
    /// With a term, the position is that in the user's whole index of words, which is gone through first.
    pub(super) term: Option<String>,
    /// How many rows are gone.
    pub(super) rows: u64,
}

impl Removal {
    /// Removes some, and counts. Whether nothing is left but to say so.
    pub(super) fn advance(&mut self, db: &Db) -> Result<bool, StoreError> {
        self.rows += match (self.kind, self.id) {
            (Kind::Conversation, Some(id)) => {
                conversations::remove_terms(db, self, id)? + conversations::remove(db, self.content_no, id)?
            }
            (Kind::Job, Some(id)) => content::job(db, self.content_no, id)?,
            (Kind::Erase, _) => privacy::remove_user(db, self.owner_no, self.content_no)?,
            _ => privacy::remove_content(db, self.content_no)? + privacy::remove_private(db, self)?,
        };
        Ok(db.budget.is_left())
    }

    /// Keeps what is not gone yet for later steps, which hides it. The removal's number.
    pub(super) fn keep(&self, db: &Db, now: Timestamp) -> Result<i64, StoreError> {
        db.execute(
            "INSERT INTO removals (kind, owner_no, content_no, id, last_event, position, rows, begun_at, term) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                self.kind.code(),
                self.owner_no,
                self.content_no,
                self.id.as_ref().map(<[u8; 16]>::as_slice),
                self.last_event,
                self.position,
                self.rows,
                now,
                self.term.as_deref()
            ],
        )?;
        tracing::debug!(kind = ?self.kind, "hidden, to be removed");
        Ok(db.last_insert_rowid())
    }
}

/// Deletes a conversation or a job of the user's with all in it, or hides it if it is too much for this transaction. 1 if it
/// was there, otherwise 0.
pub(super) fn delete(tx: &Tx<'_>, kind: Kind, id: [u8; 16]) -> Result<u64, StoreError> {
    let sql = match kind {
        Kind::Job => "SELECT count(*) FROM visible_jobs WHERE owner_no = ?1 AND id = ?2",
        _ => "SELECT count(*) FROM visible_conversations WHERE owner_no = ?1 AND id = ?2",
    };
    if tx.db.number(sql, params![tx.content_no(), &id])? == 0 {
        return Ok(0);
    }
    let mut removal = Removal {
        kind,
        owner_no: tx.owner_no,
        content_no: tx.content_no(),
        id: Some(id),
        last_event: 0,
        position: 0,
        term: match kind {
            Kind::Conversation if conversations::is_much_of_all(tx, id)? => Some(String::new()),
            _ => None,
        },
        rows: 0,
    };
    if !removal.advance(tx.db)? {
        removal.keep(tx.db, tx.now)?;
    }
    Ok(1)
}

/// Says what tells of a forgetting when it is complete: the event, and the receipt with the number's place in it.
pub(super) fn promise(
    db: &Db,
    removal_no: i64,
    event: Option<&PreparedEvent>,
    receipt: Option<&str>,
    place: usize,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE removals SET salt = ?2, private = ?3, receipt = ?4, place = ?5 WHERE removal_no = ?1",
        params![
            removal_no,
            event.map(|event| event.salt.as_slice()),
            event.map(|event| event.private.as_slice()),
            receipt,
            place as u64
        ],
    )
    .map(drop)
}

/// Says who erased the user and of which tenant, for the event that tells of it when it is complete.
pub(super) fn promise_erasure(db: &Db, removal_no: i64, operator: &str, tenant: &str) -> Result<(), StoreError> {
    db.execute(
        "UPDATE removals SET operator = ?2, tenant = ?3 WHERE removal_no = ?1",
        params![removal_no, operator, tenant],
    )
    .map(drop)
}

/// Takes a step of the next removal that nothing stops after the one that had the last turn, in the open transaction.
/// `false` if there is none.
pub(super) fn step(db: &Db, last: &mut i64, now: Timestamp) -> Result<bool, StoreError> {
    let Some((removal_no, mut removal)) = next(db, *last)? else {
        return Ok(false);
    };
    // One that fails must not keep others waiting.
    *last = removal_no;
    let before = removal.rows;
    let is_done = removal.advance(db)?;
    tracing::debug!(rows = removal.rows - before, kind = ?removal.kind, "removed");
    if is_done {
        finish(db, removal_no, &removal, now)?;
    } else {
        db.execute(
            "UPDATE removals SET position = ?2, rows = ?3, term = ?4 WHERE removal_no = ?1",
            params![removal_no, removal.position, removal.rows, removal.term.as_deref()],
        )?;
    }
    Ok(true)
}

/// In turns, so that a large one does not keep a small one waiting. A user is erased after what was begun before it.
fn next(db: &Db, after: i64) -> Result<Option<(i64, Removal)>, StoreError> {
    db.query_row(
        "SELECT removal_no, kind, owner_no, content_no, id, last_event, position, rows, term FROM removals r WHERE NOT EXISTS \
         (SELECT 1 FROM holds h WHERE h.owner_no = r.owner_no AND h.released_at IS NULL) \
         AND NOT (kind = 2 AND EXISTS \
         (SELECT 1 FROM removals o WHERE o.owner_no = r.owner_no AND o.removal_no < r.removal_no)) \
         ORDER BY removal_no <= ?1, removal_no LIMIT 1",
        params![after],
        |row| {
            let removal = Removal {
                kind: row.code(1, Kind::from_code)?,
                owner_no: row.i64(2)?,
                content_no: row.i64(3)?,
                id: row.optional(4, Row::bytes)?,
                last_event: row.u64(5)?,
                position: row.u64(6)?,
                rows: row.u64(7)?,
                term: row.optional(8, Row::text)?,
            };
            Ok((row.i64(0)?, removal))
        },
    )
}

/// Ends a removal: nothing is left of it but what tells that it was.
fn finish(db: &Db, removal_no: i64, removal: &Removal, now: Timestamp) -> Result<(), StoreError> {
    match removal.kind {
        Kind::Conversation | Kind::Job => {}
        Kind::Forget => finish_forget(db, removal_no, removal, now)?,
        Kind::Erase => return finish_erase(db, removal_no, removal, now),
    }
    db.execute("DELETE FROM removals WHERE removal_no = ?1", params![removal_no])?;
    release(db, removal.owner_no, removal.content_no)
}

fn finish_forget(db: &Db, removal_no: i64, removal: &Removal, now: Timestamp) -> Result<(), StoreError> {
    let user = db.query_row(
        concat!("SELECT u.owner_no, ", users::content_no!("u"), ", u.pseudonym FROM users u WHERE u.owner_no = ?1"),
        params![removal.owner_no],
        |row| {
            Ok(UserRow {
                owner_no: row.i64(0)?,
                content_no: row.i64(1)?,
                status: ironclaw_core::model::access::UserStatus::Active,
                pseudonym: row.bytes(2)?,
            })
        },
    )?;
    let user =
        user.ok_or_else(|| db.error(StoreErrorKind::Corrupt, "removals.owner_no names a user that is not there"))?;
    let promised = db.query_row(
        "SELECT removal_no, salt, private, receipt, place FROM removals WHERE removal_no = ?1",
        params![removal_no],
        |row| {
            let event = row.optional(1, Row::bytes)?.zip(row.optional(2, Row::blob)?);
            Ok((event, row.optional(3, Row::text)?.zip(row.optional(4, Row::u64)?)))
        },
    )?;
    let (event, receipt) = promised.unwrap_or_default();
    if let Some((salt, private)) = event {
        audit::append_forgotten(db, &user, salt, private, now)?;
    }
    if let Some((key, place)) = receipt {
        db.execute(
            "UPDATE receipts SET numbers = json_set(numbers, '$[' || ?3 || ']', ?4) WHERE owner_no = ?1 AND key = ?2",
            params![user.content_no, key, place, removal.rows],
        )?;
    }
    db.execute("DELETE FROM workspace_statistics WHERE owner_no = ?1", params![removal.content_no])?;
    // What was being removed of it is gone as well.
    db.execute(
        "DELETE FROM removals WHERE content_no = ?1 AND removal_no <> ?2",
        params![removal.content_no, removal_no],
    )?;
    Ok(())
}

fn finish_erase(db: &Db, removal_no: i64, removal: &Removal, now: Timestamp) -> Result<(), StoreError> {
    let promised = db.query_row(
        "SELECT r.removal_no, r.operator, r.tenant, s.stream FROM removals r JOIN audit_streams s USING (owner_no) \
         WHERE r.removal_no = ?1",
        params![removal_no],
        |row| Ok((row.text(1)?, row.text(2)?, row.bytes(3)?)),
    )?;
    let (Some((operator, tenant, stream)), Some(id)) = (promised, removal.id) else {
        return Err(db.error(StoreErrorKind::Corrupt, "a row of removals does not say who erased the user"));
    };
    db.execute("DELETE FROM removals WHERE removal_no = ?1", params![removal_no])?;
    let rows = removal.rows + privacy::delete_user(db, removal.owner_no)?;
    privacy::record_erasure(db, removal.owner_no, id, rows, now)?;
    let record = AuditRecord::new(Action::UserErase)
        .on(SubjectKind::Erasure, id)
        .detail("tenant", tenant)
        .on(SubjectKind::Stream, stream);
    audit::append_system(db, &operator, &record, None, now)?;
    release(db, removal.owner_no, removal.content_no)
}

/// Takes away a number that content was kept under, when nothing needs it any more.
pub(super) fn release(db: &Db, owner_no: i64, content_no: i64) -> Result<(), StoreError> {
    if owner_no == content_no {
        return Ok(());
    }
    db.execute(
        "DELETE FROM users WHERE owner_no = ?1 AND tenant = ?2 \
         AND NOT EXISTS (SELECT 1 FROM removals r WHERE r.content_no = ?1) \
         AND NOT EXISTS (SELECT 1 FROM users u WHERE u.content_no = ?1)",
        params![content_no, reserved::CONTENT],
    )
    .map(drop)
}

/// Up to which event the user's private parts are being forgotten; 0 if none are.
pub(super) fn forgotten_until(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let last = db.number(
        "SELECT coalesce(max(last_event), 0) FROM removals WHERE owner_no = ?1 AND kind = 1",
        params![owner_no],
    )?;
    Ok(last.cast_unsigned())
}

/// What an integrity check says of removals that are not complete.
pub(super) fn unfinished(db: &Db) -> Result<Option<String>, StoreError> {
    let removals = db.number("SELECT count(*) FROM removals", params![])?;
    Ok((removals > 0).then(|| {
        format!(
            "removals: {removals} are not complete: they go on while the store is open and no legal hold stands; what \
             else is found may be theirs"
        )
    }))
}

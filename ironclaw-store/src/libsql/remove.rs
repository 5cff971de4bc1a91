//! What takes more than one small transaction to remove: hidden by the change that asks for it, then removed in bounded
//! steps between the writer's other work, by whoever has the file open. The last step appends the event that tells of it.
//!
//! A row of `removals` is what hides and what is resumed. Steps are whole transactions that look at that row first, so
//! several processes may take them in turns.

use ironclaw_core::Timestamp;
use ironclaw_core::model::audit::{Action, AuditRecord, SubjectKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};

pub(super) use self::user::{delete_user, record_erasure, remove_user};
use super::db::Db;
use super::removal::{self, Kind, Removal};
use super::row::{Row, params};
use super::tx::Tx;
use super::users::{self, UserRow};
use super::{audit, conversations, jobs};
use crate::reserved;

#[cfg(test)]
mod tests;
mod user;

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
    let mut removal = Removal::new(kind, (tx.owner_no, tx.content_no()), Some(id));
    if kind == Kind::Conversation && conversations::is_much_of_all(tx, id)? {
        removal.term = Some(String::new());
    }
    if !advance(&mut removal, tx.db)? {
        removal.keep(tx.db, tx.now)?;
    }
    Ok(1)
}

/// Takes a step of the next removal that nothing stops after the one that had the last turn, in the open transaction.
/// `false` if there is none.
pub(super) fn step(db: &Db, last: &mut i64, now: Timestamp) -> Result<bool, StoreError> {
    let Some((removal_no, mut removal)) = removal::next(db, *last)? else {
        return Ok(false);
    };
    // One that fails must not keep others waiting.
    *last = removal_no;
    let before = removal.rows;
    let is_done = advance(&mut removal, db)?;
    tracing::debug!(rows = removal.rows - before, kind = ?removal.kind, "removed");
    if is_done {
        finish(db, removal_no, &removal, now)?;
    } else {
        removal::go_on(db, removal_no, &removal)?;
    }
    Ok(true)
}

/// Removes some, and counts. Whether nothing is left but to say so.
pub(super) fn advance(removal: &mut Removal, db: &Db) -> Result<bool, StoreError> {
    removal.rows += match (removal.kind, removal.id) {
        (Kind::Conversation, Some(id)) => {
            conversations::remove_terms(db, removal, id)? + conversations::remove(db, removal.content_no, id)?
        }
        (Kind::Job, Some(id)) => jobs::remove(db, removal.content_no, id)?,
        (Kind::Erase, _) => user::remove_user(db, removal.owner_no, removal.content_no)?,
        _ => user::remove_content(db, removal.content_no)? + user::remove_private(db, removal)?,
    };
    Ok(db.budget.is_left())
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
        "SELECT removal_no, salt, private, receipt, place, person, pseudonym FROM removals WHERE removal_no = ?1",
        params![removal_no],
        |row| {
            let event = row.optional(1, Row::bytes)?;
            let private = row.optional(2, Row::blob)?;
            let asker = match row.optional(6, Row::bytes)? {
                Some(pseudonym) => Some((row.optional(5, Row::i64)?, pseudonym)),
                None => None,
            };
            let receipt = row.optional(3, Row::text)?.zip(row.optional(4, Row::u64)?);
            Ok((event.map(|salt| (salt, private)), receipt, asker))
        },
    )?;
    let (event, receipt, asker) = promised.unwrap_or_default();
    if let Some(event) = event {
        audit::append_forgotten(db, &user, asker, event, now)?;
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
    let rows = removal.rows + user::delete_user(db, removal.owner_no)?;
    user::record_erasure(db, removal.owner_no, id, rows, now)?;
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

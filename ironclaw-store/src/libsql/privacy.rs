//! Forgetting, legal holds and erasure.

use ironclaw_core::Timestamp;
use ironclaw_core::id::{ErasureId, TenantId, UserId};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::removal::{self, Kind, Removal, portion, some};
use super::row::params;
use super::tx::Tx;
use super::users;
use super::workspace;
use crate::codes::forgotten_actions;
use crate::reserved::ERASED;
use crate::{access, conversations, jobs, secrets, settings};

/// Deletes the user's conversations, jobs and workspace, and the private parts of the audit events about them so far. What
/// is too much for this transaction is hidden by it, and removed later. How many rows so far.
pub(super) fn forget(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let last_event =
        tx.db.number("SELECT sequence FROM audit_streams WHERE owner_no = ?1", params![tx.owner_no])?.cast_unsigned();
    let mut removal = Removal {
        kind: Kind::Forget,
        owner_no: tx.owner_no,
        content_no: tx.content_no(),
        id: None,
        last_event,
        position: 0,
        term: None,
        rows: 0,
    };
    if removal.advance(tx.db)? {
        workspace::emptied(tx.db, removal.content_no)?;
        // What was being removed of it is gone as well, and its ids are free.
        tx.db.execute("DELETE FROM removals WHERE content_no = ?1", params![removal.content_no])?;
    } else {
        let removal_no = removal.keep(tx.db, tx.now)?;
        tx.forget(users::renew_content(tx.db, tx.owner_no, tx.now)?, removal_no);
    }
    Ok(removal.rows)
}

/// Erases a user on whom no hold stands, in an operator's transaction. What is too much for that is hidden by it, and the
/// user's name is free. The rows, if it is complete.
pub(super) fn erase(
    db: &Db,
    operator: &str,
    tenant: &TenantId,
    owner: &UserId,
    id: ErasureId,
    now: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let Some(user) = users::find(db, tenant.as_str(), owner.as_str())? else {
        return Err(db.error(StoreErrorKind::NotFound, "the user"));
    };
    let holds =
        db.number("SELECT count(*) FROM holds WHERE owner_no = ?1 AND released_at IS NULL", params![user.owner_no])?;
    if holds > 0 {
        return Err(db.error(StoreErrorKind::LegalHold, "release the user's holds first"));
    }
    let known = db.number(
        "SELECT (SELECT count(*) FROM erasures WHERE id = ?1) + (SELECT count(*) FROM removals WHERE id = ?1 AND kind = 2)",
        params![id.as_bytes()],
    )?;
    if known > 0 {
        return Err(db.error(StoreErrorKind::AlreadyExists, "its id is taken"));
    }
    let mut removal = Removal {
        kind: Kind::Erase,
        owner_no: user.owner_no,
        content_no: user.content_no,
        id: Some(*id.as_bytes()),
        last_event: 0,
        position: 0,
        term: None,
        rows: 0,
    };
    let begun = db.number("SELECT count(*) FROM removals WHERE owner_no = ?1", params![user.owner_no])?;
    if begun == 0 && removal.advance(db)? {
        let rows = removal.rows + delete_user(db, user.owner_no)?;
        record_erasure(db, user.owner_no, *id.as_bytes(), rows, now)?;
        removal::release(db, user.owner_no, user.content_no)?;
        return Ok(Some(rows));
    }
    let removal_no = removal.keep(db, now)?;
    removal::promise_erasure(db, removal_no, operator, tenant.as_str())?;
    db.execute("UPDATE users SET tenant = ?2, owner = ?1 WHERE owner_no = ?1", params![user.owner_no, ERASED])?;
    Ok(None)
}

/// Deletes some of a user who is erased: of everything but the public part of their chain. How many rows.
pub(super) fn remove_user(db: &Db, owner_no: i64, content_no: i64) -> Result<u64, StoreError> {
    let mut rows = remove_content(db, content_no)?;
    for table in secrets::OWNED.iter().chain(&access::OWNED).chain(&settings::OWNED) {
        rows += portion(db, table, owner_no)?;
    }
    for sql in [
        "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence IN \
         (SELECT sequence FROM audit_private WHERE owner_no = ?1 LIMIT ?2)",
        // What operators did to the user names them too.
        "DELETE FROM audit_private WHERE owner_no = 0 AND sequence IN \
         (SELECT sequence FROM audit_private WHERE about = ?1 AND owner_no = 0 LIMIT ?2)",
        "DELETE FROM audit_pseudonyms WHERE owner_no = ?1 AND (kind, name) IN \
         (SELECT kind, name FROM audit_pseudonyms WHERE owner_no = ?1 LIMIT ?2)",
        "DELETE FROM holds WHERE hold_no IN (SELECT hold_no FROM holds WHERE owner_no = ?1 LIMIT ?2)",
        "DELETE FROM user_roles WHERE owner_no = ?1 AND role IN \
         (SELECT role FROM user_roles WHERE owner_no = ?1 LIMIT ?2)",
    ] {
        rows += some(db, sql, owner_no, 1)?;
    }
    Ok(rows)
}

/// Deletes the row of a user of whom nothing else is left.
pub(super) fn delete_user(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    db.execute("UPDATE users SET content_no = NULL WHERE owner_no = ?1", params![owner_no])?;
    db.execute("DELETE FROM users WHERE owner_no = ?1", params![owner_no])
}

/// Keeps the record of an erasure, which names nobody.
pub(super) fn record_erasure(
    db: &Db,
    owner_no: i64,
    id: [u8; 16],
    rows: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO erasures (id, stream, deleted_rows, created_at) \
         SELECT ?2, stream, ?3, ?4 FROM audit_streams WHERE owner_no = ?1",
        params![owner_no, &id, rows, now],
    )
    .map(drop)
}

/// Deletes some of the content under a number. How many rows.
pub(super) fn remove_content(db: &Db, content_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for table in jobs::OWNED.iter().chain(&conversations::OWNED) {
        rows += portion(db, table, content_no)?;
    }
    rows += workspace::erase(db, content_no)?;
    rows += some(
        db,
        "DELETE FROM receipts WHERE owner_no = ?1 AND key IN (SELECT key FROM receipts WHERE owner_no = ?1 LIMIT ?2)",
        content_no,
        4,
    )?;
    Ok(rows)
}

/// Deletes the private parts of some of the events that a user forgets, and moves the position on. How many.
pub(super) fn remove_private(db: &Db, removal: &mut Removal) -> Result<u64, StoreError> {
    let forgotten = serde_json::json!(forgotten_actions()).to_string();
    let mut rows = 0;
    while removal.position < removal.last_event && db.budget.is_left() {
        let end = removal.last_event.min(removal.position + u64::from(db.budget.left()));
        rows += db.execute(
            "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence > ?2 AND sequence <= ?3 AND sequence IN \
             (SELECT sequence FROM audit_events WHERE owner_no = ?1 AND sequence > ?2 AND sequence <= ?3 \
             AND action IN (SELECT value FROM json_each(?4)))",
            params![removal.owner_no, removal.position, end, forgotten.as_str()],
        )?;
        db.budget.spend(end - removal.position);
        removal.position = end;
    }
    Ok(rows)
}

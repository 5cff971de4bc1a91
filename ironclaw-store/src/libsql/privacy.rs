//! Beginning to forget and to erase: what is too much for one transaction is hidden by it.

use ironclaw_core::id::{ErasureId, TenantId};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Owner, Timestamp};

use super::db::Db;
use super::removal::{self, Kind, Removal};
use super::remove::{self, advance};
use super::row::params;
use super::tx::Tx;
use super::users;
use super::workspace;
use crate::reserved::ERASED;

/// Deletes the user's conversations, jobs and workspace, and the private parts of the audit events about them so far. What
/// is too much for this transaction is hidden by it, and removed later. How many rows so far.
pub(super) fn forget(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT sequence FROM audit_streams WHERE owner_no = ?1";
    let mut removal = Removal {
        last_event: tx.db.number(sql, params![tx.owner_no])?.cast_unsigned(),
        ..Removal::new(Kind::Forget, (tx.owner_no, tx.content_no()), None)
    };
    if advance(&mut removal, tx.db)? {
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
    (tenant, owner): (&TenantId, &Owner),
    id: ErasureId,
    rows: u64,
    now: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let Some(user) = users::find(db, tenant.as_str(), &owner.key())? else {
        return Err(db.error(StoreErrorKind::NotFound, "the user or the space"));
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
    // Who asked for a forgetting in a space is not told of any more.
    db.execute("UPDATE removals SET person = NULL, private = NULL WHERE person = ?1", params![user.owner_no])?;
    let mut removal =
        Removal { rows, ..Removal::new(Kind::Erase, (user.owner_no, user.content_no), Some(*id.as_bytes())) };
    let begun = db.number("SELECT count(*) FROM removals WHERE owner_no = ?1", params![user.owner_no])?;
    if begun == 0 && advance(&mut removal, db)? {
        let rows = removal.rows + remove::delete_user(db, user.owner_no)?;
        remove::record_erasure(db, user.owner_no, *id.as_bytes(), rows, now)?;
        remove::release(db, user.owner_no, user.content_no)?;
        return Ok(Some(rows));
    }
    let removal_no = removal.keep(db, now)?;
    removal::promise_erasure(db, removal_no, operator, tenant.as_str())?;
    db.execute("UPDATE users SET tenant = ?2, owner = ?1 WHERE owner_no = ?1", params![user.owner_no, ERASED])?;
    Ok(None)
}

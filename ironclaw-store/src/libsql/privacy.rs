//! Forgetting, legal holds and erasure.

use ironclaw_core::Scope;
use ironclaw_core::model::audit::Action;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::row::params;
use super::tx::Tx;
use super::{access, conversations, jobs, secrets, settings, workspace};

/// Deletes the user's conversations, jobs and workspace, and the private parts of the audit events about them so far.
/// How many rows.
pub(super) fn forget(tx: &Tx<'_>, scope: &Scope) -> Result<u64, StoreError> {
    if !scope.is_in_person() {
        return Err(tx.error(StoreErrorKind::Denied, "only the user in person may forget: use a scope without agents"));
    }
    tx.check_not_held()?;
    let rows = forget_content(tx.db, tx.owner_no)?;
    let forgotten: Vec<u16> = Action::ALL.iter().filter(|a| a.is_forgotten()).map(|a| a.code()).collect();
    let private = tx.db.execute(
        "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence IN \
         (SELECT sequence FROM audit_events \
          WHERE owner_no = ?1 AND action IN (SELECT value FROM json_each(?2)))",
        params![tx.owner_no, serde_json::json!(forgotten).to_string()],
    )?;
    Ok(rows + private)
}

/// Deletes everything of a user, whose holds were checked, but the public part of their chain. How many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = forget_content(db, owner_no)?;
    rows += secrets::erase(db, owner_no)?;
    rows += access::erase(db, owner_no)?;
    rows += settings::erase(db, owner_no)?;
    // What operators did to the user names them too.
    rows += db.execute("DELETE FROM audit_private WHERE owner_no = ?1 OR about = ?1", params![owner_no])?;
    rows += db.execute("DELETE FROM audit_pseudonyms WHERE owner_no = ?1", params![owner_no])?;
    rows += db.execute("DELETE FROM holds WHERE owner_no = ?1", params![owner_no])?;
    rows += db.execute("DELETE FROM user_roles WHERE owner_no = ?1", params![owner_no])?;
    rows += db.execute("DELETE FROM users WHERE owner_no = ?1", params![owner_no])?;
    Ok(rows)
}

fn forget_content(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = jobs::erase(db, owner_no)?;
    rows += conversations::erase(db, owner_no)?;
    rows += workspace::erase(db, owner_no)?;
    rows += db.execute("DELETE FROM receipts WHERE owner_no = ?1", params![owner_no])?;
    Ok(rows)
}

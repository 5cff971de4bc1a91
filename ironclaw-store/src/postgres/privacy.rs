//! Forgetting, legal holds and erasure.

use ironclaw_core::Owner;
use ironclaw_core::id::{ErasureId, TenantId};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::row::{params, uuid};
use super::tx::Tx;
use super::workspace;
use crate::codes::forgotten_actions;
use crate::sql::{self, Transaction};
use crate::{access, conversations, jobs, secrets, settings, system};

/// Deletes the user's conversations, jobs and workspace, and the private parts of the audit events about them so far.
/// How many rows.
pub(super) async fn forget(tx: &Tx) -> Result<u64, StoreError> {
    let rows = forget_content(tx, tx.owner_no()).await?;
    let forgotten: Vec<i32> = forgotten_actions().into_iter().map(i32::from).collect();
    let private = tx.number("SELECT ironclaw.forget_audit($1)", params![forgotten]).await?;
    Ok(rows + private.cast_unsigned())
}

/// Erases a user or a space on which no hold stands, in an operator's transaction. How many rows, with those that went before.
pub(super) async fn erase_user(
    tx: &Tx,
    tenant: &TenantId,
    owner: &Owner,
    id: ErasureId,
    before: u64,
) -> Result<u64, StoreError> {
    let Some(owner_no) = system::find(tx, tenant, owner).await? else {
        return Err(tx.not_found("the user or the space"));
    };
    let holds = tx
        .number("SELECT count(*) FROM ironclaw.holds WHERE owner_no = $1 AND released_at IS NULL", params![owner_no])
        .await?;
    if holds > 0 {
        return Err(tx.error(StoreErrorKind::LegalHold, "release the user's holds first"));
    }
    let rows = before + erase(tx, owner_no).await?;
    tx.execute(
        "INSERT INTO ironclaw.erasures (id, stream, deleted_rows, created_at) \
         SELECT $2, stream, $3, $4 FROM ironclaw.audit_streams WHERE owner_no = $1",
        params![owner_no, uuid(id.as_bytes()), rows, tx.now()],
    )
    .await?;
    Ok(rows)
}

/// Deletes everything of a user, whose holds were checked, but the public part of their chain, in an operator's
/// transaction. How many rows.
pub(super) async fn erase(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = forget_content(tx, owner_no).await?;
    for table in secrets::OWNED.iter().chain(&access::OWNED).chain(&settings::OWNED) {
        rows += Transaction::execute(tx, table.all, sql::params![owner_no]).await?;
    }
    for sql in [
        // What operators did to the user names them too, and what spaces tell of them.
        "DELETE FROM ironclaw.audit_private WHERE owner_no = $1 OR about = $1",
        "DELETE FROM ironclaw.audit_pseudonyms WHERE owner_no = $1",
        "DELETE FROM ironclaw.holds WHERE owner_no = $1",
        "DELETE FROM ironclaw.user_roles WHERE owner_no = $1",
        "DELETE FROM ironclaw.workspace_statistics WHERE owner_no = $1",
        "DELETE FROM ironclaw.users WHERE owner_no = $1",
    ] {
        rows += tx.execute(sql, params![owner_no]).await?;
    }
    Ok(rows)
}

async fn forget_content(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for table in jobs::OWNED.iter().chain(&conversations::OWNED) {
        rows += Transaction::execute(tx, table.all, sql::params![owner_no]).await?;
    }
    rows += workspace::erase(tx, owner_no).await?;
    rows += tx.execute("DELETE FROM ironclaw.receipts WHERE owner_no = $1", params![owner_no]).await?;
    Ok(rows)
}

use ironclaw_core::id::{TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::{AuditRecord, SubjectKind};
use ironclaw_core::store::StoreError;

use crate::postgres::row::{params, uuid};
use crate::postgres::tx::Tx;
use crate::system::describe;

/// What the audit trail says of a system change, and the user whom that names.
///
/// A user is named only while they are known: what names them is deleted when they are erased. They are locked, so that
/// nobody erases them before the event is there.
pub(super) async fn record(tx: &Tx, change: &SystemChange) -> Result<(AuditRecord, Option<i64>), StoreError> {
    let user = match change {
        SystemChange::PutUser { tenant, owner, .. }
        | SystemChange::PutQuota { tenant, owner, .. }
        | SystemChange::EraseUser { tenant, owner, .. } => {
            find(tx, tenant, owner).await?.map(|owner_no| (owner_no, owner.to_string()))
        }
        SystemChange::PlaceHold { hold } => {
            find(tx, &hold.tenant, &hold.owner).await?.map(|owner_no| (owner_no, hold.owner.to_string()))
        }
        SystemChange::ReleaseHold { id } => {
            tx.query_row(
                "SELECT u.owner_no, u.owner FROM ironclaw.holds h JOIN ironclaw.users u ON u.owner_no = h.owner_no \
                 WHERE h.id = $1 FOR NO KEY UPDATE OF u",
                params![uuid(id.as_bytes())],
                |row| Ok((row.i64(0)?, row.text(1)?)),
            )
            .await?
        }
        _ => None,
    };
    let mut record = describe(change);
    let Some((owner_no, owner)) = user else {
        return Ok((record, None));
    };
    let stream = tx
        .query_row("SELECT stream FROM ironclaw.audit_streams WHERE owner_no = $1", params![owner_no], |row| {
            row.bytes(0)
        })
        .await?;
    if let Some(stream) = stream {
        record = record.on(SubjectKind::Stream, stream);
    }
    Ok((record.detail("user", owner), Some(owner_no)))
}

/// The number of a user, who is locked until the transaction ends; `None` if nothing was ever written for them.
pub(super) async fn find(tx: &Tx, tenant: &TenantId, owner: &UserId) -> Result<Option<i64>, StoreError> {
    tx.query_row(
        "SELECT owner_no FROM ironclaw.users WHERE tenant = $1 AND owner = $2 FOR NO KEY UPDATE",
        params![tenant.as_str(), owner.as_str()],
        |row| row.i64(0),
    )
    .await
}

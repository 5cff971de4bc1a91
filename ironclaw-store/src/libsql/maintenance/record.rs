use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::{AuditRecord, SubjectKind};
use ironclaw_core::store::StoreError;

use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::users;
use crate::system::describe;

/// What the audit trail says of a system change, and the user whom that names.
///
/// A user is named only while they are known: what names them is deleted when they are erased.
pub(super) fn record(db: &Db, change: &SystemChange) -> Result<(AuditRecord, Option<i64>), StoreError> {
    let user = match change {
        SystemChange::PutUser { tenant, owner, .. }
        | SystemChange::PutQuota { tenant, owner, .. }
        | SystemChange::EraseUser { tenant, owner, .. } => {
            users::find(db, tenant.as_str(), owner.as_str())?.map(|user| (user.owner_no, owner.to_string()))
        }
        SystemChange::PlaceHold { hold } => users::find(db, hold.tenant.as_str(), hold.owner.as_str())?
            .map(|user| (user.owner_no, hold.owner.to_string())),
        SystemChange::ReleaseHold { id } => db.query_row(
            "SELECT h.id, u.owner_no, u.owner FROM holds h JOIN users u ON u.owner_no = h.owner_no WHERE h.id = ?1",
            params![id.as_bytes()],
            |row| Ok((row.i64(1)?, row.text(2)?)),
        )?,
        _ => None,
    };
    let mut record = describe(change);
    let Some((owner_no, owner)) = user else {
        return Ok((record, None));
    };
    let stream =
        db.query_row("SELECT owner_no, stream FROM audit_streams WHERE owner_no = ?1", params![owner_no], |row| {
            row.bytes(1)
        })?;
    if let Some(stream) = stream {
        record = record.on(SubjectKind::Stream, stream);
    }
    Ok((record.detail("user", owner), Some(owner_no)))
}

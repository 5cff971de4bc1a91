use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::{Action, AuditRecord, SubjectKind};
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::StoreError;

use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::users;

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

fn describe(change: &SystemChange) -> AuditRecord {
    match change {
        SystemChange::InitVault { tenant, header, wrap } => AuditRecord::new(Action::VaultInit)
            .on(SubjectKind::Vault, *header.id.as_bytes())
            .on(SubjectKind::RootKeyWrap, *wrap.id.as_bytes())
            .detail("tenant", tenant.as_str())
            .detail("source", wrap.source.as_str()),
        SystemChange::AddRootKeyWrap { tenant, wrap } => AuditRecord::new(Action::RootKeyWrapAdd)
            .on(SubjectKind::RootKeyWrap, *wrap.id.as_bytes())
            .detail("tenant", tenant.as_str())
            .detail("source", wrap.source.as_str()),
        SystemChange::RemoveRootKeyWrap { tenant, id } => AuditRecord::new(Action::RootKeyWrapRemove)
            .on(SubjectKind::RootKeyWrap, *id.as_bytes())
            .detail("tenant", tenant.as_str()),
        SystemChange::PutUser { tenant, status, roles, .. } => AuditRecord::new(Action::UserPut)
            .detail("tenant", tenant.as_str())
            .detail("status", if *status == UserStatus::Active { "active" } else { "suspended" })
            .detail("roles", roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
        SystemChange::PutRole { tenant, role } => {
            AuditRecord::new(Action::RolePut).detail("tenant", tenant.as_str()).detail("role", role.name.as_str())
        }
        SystemChange::DeleteRole { tenant, name } => {
            AuditRecord::new(Action::RoleDelete).detail("tenant", tenant.as_str()).detail("role", name.as_str())
        }
        SystemChange::PutQuota { tenant, name, limit, .. } => AuditRecord::new(Action::QuotaPut)
            .detail("tenant", tenant.as_str())
            .detail("quota", name.as_str())
            .detail("limit", limit.to_string()),
        SystemChange::PlaceHold { hold } => AuditRecord::new(Action::HoldPlace)
            .on(SubjectKind::Hold, *hold.id.as_bytes())
            .detail("tenant", hold.tenant.as_str()),
        SystemChange::ReleaseHold { id } => AuditRecord::new(Action::HoldRelease).on(SubjectKind::Hold, *id.as_bytes()),
        SystemChange::PutRetention { tenant, category, days } => AuditRecord::new(Action::RetentionPut)
            .detail("tenant", tenant.as_str())
            .detail("category", category_name(*category))
            .detail("days", days.to_string()),
        SystemChange::DeleteRetention { tenant, category } => AuditRecord::new(Action::RetentionDelete)
            .detail("tenant", tenant.as_str())
            .detail("category", category_name(*category)),
        SystemChange::EraseUser { tenant, id, .. } => AuditRecord::new(Action::UserErase)
            .on(SubjectKind::Erasure, *id.as_bytes())
            .detail("tenant", tenant.as_str()),
        // `SystemChange` grows only together with this store; until then such a change is refused when it is applied.
        SystemChange::PutCheckpoint { .. } | _ => AuditRecord::new(Action::CheckpointPut),
    }
}

/// How a category is named in the trail.
pub(super) fn category_name(category: RetainedCategory) -> &'static str {
    match category {
        RetainedCategory::Conversations => "conversations",
        RetainedCategory::Jobs => "jobs",
        RetainedCategory::Workspace => "workspace",
        _ => "unknown",
    }
}

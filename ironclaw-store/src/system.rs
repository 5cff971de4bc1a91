//! What operators change: what is accepted and how it is named in the trail.

use ironclaw_core::change::SHORT_TEXT_BYTES;
use ironclaw_core::input::{InputError, Problem, check_size, check_text};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::{Action, AuditRecord, SubjectKind};
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::StoreError;

mod apply;
mod read;

#[cfg(feature = "postgres")]
pub(crate) use apply::{append, find};
pub(crate) use apply::{apply, category_code, record_failure};

/// The most permissions of a role.
const PERMISSIONS: usize = 10_000;

/// Refuses what no store accepts, before anything is read.
pub(crate) fn check(operation: &'static str, change: &SystemChange) -> Result<(), StoreError> {
    let checked = match change {
        SystemChange::PutRole { role, .. } => check_size("permissions", role.permissions.len(), PERMISSIONS, "items")
            .and_then(|()| {
                role.permissions.iter().try_for_each(|text| check_text("permission", text, SHORT_TEXT_BYTES))
            }),
        SystemChange::PlaceHold { hold } => check_text("reason", &hold.reason, SHORT_TEXT_BYTES),
        SystemChange::PutRetention { days: 0, .. } => {
            Err(InputError::new("days", Problem::OutOfRange { expected: "at least 1" }))
        }
        SystemChange::PutCheckpoint { checkpoint } => {
            let range = InputError::new("size", Problem::OutOfRange { expected: "at most 2^63 - 1" });
            check_text("note", &checkpoint.note, 4 * SHORT_TEXT_BYTES)
                .and_then(|()| i64::try_from(checkpoint.size).map(drop).map_err(|_| range))
        }
        SystemChange::InitVault { wrap, .. } | SystemChange::AddRootKeyWrap { wrap, .. } => {
            check_text("source", &wrap.source, SHORT_TEXT_BYTES)
                .and_then(|()| check_size("wrapped key", wrap.wrapped.ciphertext.len(), SHORT_TEXT_BYTES, "bytes"))
        }
        _ => Ok(()),
    };
    checked.map_err(|refused| StoreError::invalid_input(operation, refused))
}

/// What the audit trail says of a system change, apart from the user.
pub(crate) fn describe(change: &SystemChange) -> AuditRecord {
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
pub(crate) fn category_name(category: RetainedCategory) -> &'static str {
    match category {
        RetainedCategory::Conversations => "conversations",
        RetainedCategory::Jobs => "jobs",
        RetainedCategory::Workspace => "workspace",
        _ => "unknown",
    }
}

//! What an operator changes: what is accepted of it, and how the audit trail tells of it.

use crate::change::SHORT_TEXT_BYTES;
use crate::id::{ErasureId, HoldId, MembershipId, QuotaName, RoleName, RootKeyWrapId, SpaceName, TenantId, UserId};
use crate::input::{InputError, Problem, check_size, check_text};
use crate::model::access::{UserRole, UserStatus};
use crate::model::audit::{Action, AuditCheckpoint, AuditRecord, SubjectKind};
use crate::model::privacy::{Hold, RetainedCategory};
use crate::model::secrets::{RootKeyWrap, VaultHeader};
use crate::scope::Owner;

/// One write of an operator. It is committed with its audit event.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum SystemChange {
    /// Makes a tenant's vault; one that exists is refused.
    InitVault {
        /// The tenant.
        tenant: TenantId,
        /// The vault.
        header: VaultHeader,
        /// The root key as the first key source wraps it.
        wrap: RootKeyWrap,
    },
    /// Adds a wrapping of a root key.
    AddRootKeyWrap {
        /// The tenant.
        tenant: TenantId,
        /// The wrapping.
        wrap: RootKeyWrap,
    },
    /// Removes a wrapping of a root key; the last one is refused.
    RemoveRootKeyWrap {
        /// The tenant.
        tenant: TenantId,
        /// The wrapping.
        id: RootKeyWrapId,
    },
    /// Sets a user's status and roles, which must exist.
    PutUser {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        owner: UserId,
        /// Whether the user may act.
        status: UserStatus,
        /// The roles.
        roles: Vec<RoleName>,
    },
    /// Sets a role of a tenant. Its `updated_at` is set by the store.
    PutRole {
        /// The tenant.
        tenant: TenantId,
        /// The role.
        role: UserRole,
    },
    /// Deletes a role of a tenant; whoever held it does no longer.
    DeleteRole {
        /// The tenant.
        tenant: TenantId,
        /// The role.
        name: RoleName,
    },
    /// Sets a quota of a user or a space; what was used stays.
    PutQuota {
        /// The tenant.
        tenant: TenantId,
        /// Whose it is.
        owner: Owner,
        /// What is limited.
        name: QuotaName,
        /// How much is allowed.
        limit: u64,
    },
    /// Places a legal hold. Its `created_at` and `released_at` are set by the store.
    PlaceHold {
        /// The hold.
        hold: Hold,
    },
    /// Releases a legal hold; one that is not there or released already is not found.
    ReleaseHold {
        /// The hold.
        id: HoldId,
    },
    /// Sets how long a tenant keeps a category of data.
    PutRetention {
        /// The tenant.
        tenant: TenantId,
        /// The category.
        category: RetainedCategory,
        /// The days, at least 1.
        days: u32,
    },
    /// Deletes a retention policy: the category is kept for ever. Deleting what is not there is no error.
    DeleteRetention {
        /// The tenant.
        tenant: TenantId,
        /// The category.
        category: RetainedCategory,
    },
    /// Erases everything of a user or a space but the public part of the audit chain, and keeps the erasure as proof. A legal
    /// hold refuses it; who is not there is not found. A user's memberships go as well, and what the audit trails of spaces
    /// tell of the user in private; what the user wrote in a space is the space's, and stays.
    EraseUser {
        /// The tenant.
        tenant: TenantId,
        /// Who.
        owner: Owner,
        /// The erasure's id.
        id: ErasureId,
    },
    /// Makes a user a manager of a space, which is made if it is not there: what the user was in it before ends.
    AppointManager {
        /// The tenant.
        tenant: TenantId,
        /// The space.
        space: SpaceName,
        /// The user.
        user: UserId,
        /// The id of the new membership.
        membership: MembershipId,
    },
    /// Records a checkpoint of the log, which a log server made; one of its size that is there is refused. Its `created_at`
    /// is set by the store.
    PutCheckpoint {
        /// The checkpoint.
        checkpoint: AuditCheckpoint,
    },
}

impl SystemChange {
    /// The most permissions of a role.
    pub const PERMISSIONS: usize = 10_000;

    /// Refuses what no store accepts: oversized or malformed fields, U+0000 in text. Every store calls this before anything
    /// else.
    ///
    /// # Errors
    /// An [`InputError`] that names the field and the limit.
    pub fn validate(&self) -> Result<(), InputError> {
        match self {
            Self::PutRole { role, .. } => {
                check_size("permissions", role.permissions.len(), Self::PERMISSIONS, "items")?;
                role.permissions.iter().try_for_each(|text| check_text("permission", text, SHORT_TEXT_BYTES))
            }
            Self::PlaceHold { hold } => check_text("reason", &hold.reason, SHORT_TEXT_BYTES),
            Self::PutRetention { days: 0, .. } => {
                Err(InputError::new("days", Problem::OutOfRange { expected: "at least 1" }))
            }
            Self::PutCheckpoint { checkpoint } => {
                check_text("note", &checkpoint.note, 4 * SHORT_TEXT_BYTES)?;
                let range = InputError::new("size", Problem::OutOfRange { expected: "at most 2^63 - 1" });
                i64::try_from(checkpoint.size).map(drop).map_err(|_| range)
            }
            Self::InitVault { wrap, .. } | Self::AddRootKeyWrap { wrap, .. } => {
                check_text("source", &wrap.source, SHORT_TEXT_BYTES)?;
                check_size("wrapped key", wrap.wrapped.ciphertext.len(), SHORT_TEXT_BYTES, "bytes")
            }
            Self::RemoveRootKeyWrap { .. }
            | Self::PutUser { .. }
            | Self::DeleteRole { .. }
            | Self::PutQuota { .. }
            | Self::ReleaseHold { .. }
            | Self::PutRetention { .. }
            | Self::DeleteRetention { .. }
            | Self::EraseUser { .. }
            | Self::AppointManager { .. } => Ok(()),
        }
    }

    /// The event that says that this was done. The user whom it is about, whom a store knows by a pseudonym and by name, is
    /// the store's to add: whoever is erased must not be named.
    pub fn event(&self) -> AuditRecord {
        match self {
            Self::InitVault { tenant, header, wrap } => AuditRecord::new(Action::VaultInit)
                .on(SubjectKind::Vault, *header.id.as_bytes())
                .on(SubjectKind::RootKeyWrap, *wrap.id.as_bytes())
                .detail("tenant", tenant.as_str())
                .detail("source", wrap.source.as_str()),
            Self::AddRootKeyWrap { tenant, wrap } => AuditRecord::new(Action::RootKeyWrapAdd)
                .on(SubjectKind::RootKeyWrap, *wrap.id.as_bytes())
                .detail("tenant", tenant.as_str())
                .detail("source", wrap.source.as_str()),
            Self::RemoveRootKeyWrap { tenant, id } => AuditRecord::new(Action::RootKeyWrapRemove)
                .on(SubjectKind::RootKeyWrap, *id.as_bytes())
                .detail("tenant", tenant.as_str()),
            Self::PutUser { tenant, status, roles, .. } => AuditRecord::new(Action::UserPut)
                .detail("tenant", tenant.as_str())
                .detail("status", if *status == UserStatus::Active { "active" } else { "suspended" })
                .detail("roles", roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
            Self::PutRole { tenant, role } => {
                AuditRecord::new(Action::RolePut).detail("tenant", tenant.as_str()).detail("role", role.name.as_str())
            }
            Self::DeleteRole { tenant, name } => {
                AuditRecord::new(Action::RoleDelete).detail("tenant", tenant.as_str()).detail("role", name.as_str())
            }
            Self::PutQuota { tenant, name, limit, .. } => AuditRecord::new(Action::QuotaPut)
                .detail("tenant", tenant.as_str())
                .detail("quota", name.as_str())
                .detail("limit", limit.to_string()),
            Self::PlaceHold { hold } => AuditRecord::new(Action::HoldPlace)
                .on(SubjectKind::Hold, *hold.id.as_bytes())
                .detail("tenant", hold.tenant.as_str()),
            Self::ReleaseHold { id } => AuditRecord::new(Action::HoldRelease).on(SubjectKind::Hold, *id.as_bytes()),
            Self::PutRetention { tenant, category, days } => AuditRecord::new(Action::RetentionPut)
                .detail("tenant", tenant.as_str())
                .detail("category", category.name())
                .detail("days", days.to_string()),
            Self::DeleteRetention { tenant, category } => AuditRecord::new(Action::RetentionDelete)
                .detail("tenant", tenant.as_str())
                .detail("category", category.name()),
            Self::EraseUser { tenant, id, .. } => AuditRecord::new(Action::UserErase)
                .on(SubjectKind::Erasure, *id.as_bytes())
                .detail("tenant", tenant.as_str()),
            // The user is found by the membership, as long as there is one.
            Self::AppointManager { tenant, membership, .. } => AuditRecord::new(Action::ManagerAppoint)
                .on(SubjectKind::Membership, *membership.as_bytes())
                .detail("tenant", tenant.as_str()),
            Self::PutCheckpoint { checkpoint } => {
                AuditRecord::new(Action::CheckpointPut).detail("size", checkpoint.size.to_string())
            }
        }
    }
}

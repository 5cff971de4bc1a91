use ironclaw_core::Receipt;
use ironclaw_core::Timestamp;
use ironclaw_core::id::{RoleName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{UserRole, UserStatus};
use ironclaw_core::model::audit::Outcome;
use ironclaw_core::model::privacy::{Hold, RetainedCategory};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::record::record;
use crate::codes;
use crate::error::code;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::{audit, privacy, secrets, users};

/// Applies a change with its audit event in the open transaction. An erasure that is too much for it ends later, with the
/// event; until then its number is 0.
pub(in crate::libsql) fn apply(
    db: &Db,
    operator: &str,
    change: &SystemChange,
    now: Timestamp,
) -> Result<Receipt, StoreError> {
    let number = match change {
        SystemChange::EraseUser { tenant, owner, id } => {
            // An erased user must not be named, not even by the event of the erasure.
            let mut erased = record(db, change)?.0;
            erased.details.remove("user");
            let rows = privacy::erase(db, operator, tenant, owner, *id, now)?;
            if rows.is_some() {
                audit::append_system(db, operator, &erased, None, now)?;
            }
            rows.unwrap_or_default()
        }
        _ => {
            let number = perform(db, change, now)?;
            // Others are named once they are known.
            let (record, about) = record(db, change)?;
            audit::append_system(db, operator, &record, about, now)?;
            number
        }
    };
    Ok(Receipt { at: now, numbers: vec![number], replayed: false })
}

/// Records a change that failed for a reason of its own, in the open transaction.
pub(super) fn record_failure(
    db: &Db,
    operator: &str,
    change: &SystemChange,
    error: &StoreError,
    now: Timestamp,
) -> Result<(), StoreError> {
    let outcome = match error.kind() {
        StoreErrorKind::LegalHold => Outcome::Denied,
        _ => Outcome::Failed,
    };
    let (mut record, about) = record(db, change)?;
    if matches!(error.kind(), StoreErrorKind::InvalidInput(_)) {
        record.details.clear();
    }
    let record = record.with_outcome(outcome).detail("error", code(error.kind()));
    audit::append_system(db, operator, &record, about, now)
}

fn perform(db: &Db, change: &SystemChange, now: Timestamp) -> Result<u64, StoreError> {
    match change {
        SystemChange::InitVault { tenant, header, wrap } => secrets::init_vault(db, tenant, header, wrap).map(|()| 0),
        SystemChange::AddRootKeyWrap { tenant, wrap } => secrets::add_wrap(db, tenant, wrap).map(|()| 0),
        SystemChange::RemoveRootKeyWrap { tenant, id } => secrets::remove_wrap(db, tenant, *id).map(|()| 1),
        SystemChange::PutUser { tenant, owner, status, roles } => put_user(db, tenant, owner, *status, roles, now),
        SystemChange::PutRole { tenant, role } => put_role(db, tenant, role, now),
        SystemChange::DeleteRole { tenant, name } => delete_role(db, tenant, name),
        SystemChange::PutQuota { tenant, owner, name, limit } => {
            let user = users::find_or_make(db, tenant.as_str(), owner.as_str(), now)?;
            db.execute(
                "INSERT INTO quotas (owner_no, name, allowed, used) VALUES (?1, ?2, ?3, 0) \
                 ON CONFLICT (owner_no, name) DO UPDATE SET allowed = excluded.allowed",
                params![user.owner_no, name.as_str(), *limit],
            )?;
            Ok(0)
        }
        SystemChange::PlaceHold { hold } => place_hold(db, hold, now),
        SystemChange::ReleaseHold { id } => {
            let released = db.execute(
                "UPDATE holds SET released_at = ?2 WHERE id = ?1 AND released_at IS NULL",
                params![id.as_bytes(), now],
            )?;
            match released {
                0 => Err(db.error(StoreErrorKind::NotFound, "no such hold stands")),
                _ => Ok(0),
            }
        }
        SystemChange::PutRetention { tenant, category, days } => {
            db.execute(
                "INSERT OR REPLACE INTO retention_policies (tenant, category, days, updated_at) VALUES (?1, ?2, ?3, ?4)",
                params![tenant.as_str(), category_code(db, *category)?, *days, now],
            )?;
            Ok(0)
        }
        SystemChange::DeleteRetention { tenant, category } => db.execute(
            "DELETE FROM retention_policies WHERE tenant = ?1 AND category = ?2",
            params![tenant.as_str(), category_code(db, *category)?],
        ),
        SystemChange::PutCheckpoint { checkpoint } => {
            db.execute(
                "INSERT INTO audit_checkpoints (size, root, note, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![checkpoint.size, &checkpoint.root, checkpoint.note.as_str(), now],
            )?;
            Ok(0)
        }
        _ => Err(db.error(StoreErrorKind::Internal, "a change that this store does not know")),
    }
}

fn put_user(
    db: &Db,
    tenant: &TenantId,
    owner: &UserId,
    status: UserStatus,
    roles: &[RoleName],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let user = users::find_or_make(db, tenant.as_str(), owner.as_str(), now)?;
    db.execute(
        "UPDATE users SET status = ?2, updated_at = ?3 WHERE owner_no = ?1",
        params![user.owner_no, codes::user_status_code(status), now],
    )?;
    db.execute("DELETE FROM user_roles WHERE owner_no = ?1", params![user.owner_no])?;
    for role in roles {
        let known = db.number(
            "SELECT count(*) FROM roles WHERE tenant = ?1 AND name = ?2",
            params![tenant.as_str(), role.as_str()],
        )?;
        if known == 0 {
            return Err(db.error(StoreErrorKind::NotFound, "the tenant has no such role; make it first"));
        }
        db.execute(
            "INSERT OR IGNORE INTO user_roles (owner_no, role) VALUES (?1, ?2)",
            params![user.owner_no, role.as_str()],
        )?;
    }
    Ok(0)
}

fn put_role(db: &Db, tenant: &TenantId, role: &UserRole, now: Timestamp) -> Result<u64, StoreError> {
    db.execute(
        "INSERT OR REPLACE INTO roles (tenant, name, permissions, updated_at) VALUES (?1, ?2, ?3, ?4)",
        params![tenant.as_str(), role.name.as_str(), serde_json::json!(role.permissions).to_string(), now],
    )?;
    Ok(0)
}

fn delete_role(db: &Db, tenant: &TenantId, name: &RoleName) -> Result<u64, StoreError> {
    db.execute(
        "DELETE FROM user_roles WHERE role = ?2 AND owner_no IN (SELECT owner_no FROM users WHERE tenant = ?1)",
        params![tenant.as_str(), name.as_str()],
    )?;
    db.execute("DELETE FROM roles WHERE tenant = ?1 AND name = ?2", params![tenant.as_str(), name.as_str()])
}

fn place_hold(db: &Db, hold: &Hold, now: Timestamp) -> Result<u64, StoreError> {
    // A hold may come before the user's first write: then it protects that.
    let user = users::find_or_make(db, hold.tenant.as_str(), hold.owner.as_str(), now)?;
    db.execute(
        "INSERT INTO holds (id, owner_no, reason, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![hold.id.as_bytes(), user.owner_no, hold.reason.as_str(), now],
    )?;
    Ok(0)
}

pub(super) fn category_code(db: &Db, category: RetainedCategory) -> Result<i64, StoreError> {
    codes::category_code(category)
        .ok_or_else(|| db.error(StoreErrorKind::Internal, "a category that this store does not know"))
}

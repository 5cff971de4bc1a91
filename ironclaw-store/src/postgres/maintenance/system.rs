use ironclaw_core::Receipt;
use ironclaw_core::id::{ErasureId, HoldId, RoleName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{UserRole, UserStatus};
use ironclaw_core::model::audit::{AuditRecord, Outcome};
use ironclaw_core::model::privacy::{Hold, RetainedCategory};
use ironclaw_core::scope::RequestContext;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::record::{find, record};
use crate::codes;
use crate::error::code;
use crate::postgres::row::{params, uuid};
use crate::postgres::tx::Tx;
use crate::postgres::{audit, privacy, secrets};
use crate::prepared::PreparedEvent;

/// Applies a change with its audit event in the open transaction.
pub(super) async fn apply(tx: &Tx, operator: &str, change: &SystemChange) -> Result<Receipt, StoreError> {
    // An erased user must not be named, not even by the event of the erasure; others are named once they are known.
    let erased = match change {
        SystemChange::EraseUser { .. } => Some(record(tx, change).await?.0),
        _ => None,
    };
    let number = perform(tx, change).await?;
    match erased {
        Some(mut erased) => {
            erased.details.remove("user");
            append(tx, operator, None, &erased).await?;
        }
        None => {
            let (record, about) = record(tx, change).await?;
            append(tx, operator, about, &record).await?;
        }
    }
    Ok(Receipt { at: tx.now(), numbers: vec![number], replayed: false })
}

/// Records a change that failed for a reason of its own.
pub(super) async fn record_failure(
    tx: &Tx,
    operator: &str,
    change: &SystemChange,
    kind: &StoreErrorKind,
) -> Result<(), StoreError> {
    let outcome = match kind {
        StoreErrorKind::LegalHold => Outcome::Denied,
        _ => Outcome::Failed,
    };
    let (mut record, about) = record(tx, change).await?;
    if matches!(kind, StoreErrorKind::InvalidInput(_)) {
        record.details.clear();
    }
    append(tx, operator, about, &record.with_outcome(outcome).detail("error", code(kind))).await
}

/// Appends an event to the system's chain.
pub(in crate::postgres) async fn append(
    tx: &Tx,
    operator: &str,
    about: Option<i64>,
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let event = PreparedEvent::new(tx.operation(), record, &RequestContext::default())?;
    audit::append_system(tx, operator, about, event).await
}

async fn perform(tx: &Tx, change: &SystemChange) -> Result<u64, StoreError> {
    match change {
        SystemChange::InitVault { tenant, header, wrap } => {
            secrets::init_vault(tx, tenant, header, wrap).await.map(|()| 0)
        }
        SystemChange::AddRootKeyWrap { tenant, wrap } => secrets::add_wrap(tx, tenant, wrap).await.map(|()| 0),
        SystemChange::RemoveRootKeyWrap { tenant, id } => secrets::remove_wrap(tx, tenant, *id).await.map(|()| 1),
        SystemChange::PutUser { tenant, owner, status, roles } => put_user(tx, tenant, owner, *status, roles).await,
        SystemChange::PutRole { tenant, role } => put_role(tx, tenant, role).await,
        SystemChange::DeleteRole { tenant, name } => delete_role(tx, tenant, name).await,
        SystemChange::PutQuota { tenant, owner, name, limit } => {
            let user = tx.lock_user(tenant, owner).await?;
            tx.execute(
                "INSERT INTO ironclaw.quotas (owner_no, name, allowed, used) VALUES ($1, $2, $3, 0) \
                 ON CONFLICT (owner_no, name) DO UPDATE SET allowed = excluded.allowed",
                params![user.owner_no, name.as_str(), *limit],
            )
            .await?;
            Ok(0)
        }
        SystemChange::PlaceHold { hold } => place_hold(tx, hold).await,
        SystemChange::ReleaseHold { id } => release_hold(tx, *id).await,
        SystemChange::PutRetention { tenant, category, days } => {
            tx.execute(
                "INSERT INTO ironclaw.retention_policies (tenant, category, days, updated_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (tenant, category) DO UPDATE SET days = excluded.days, updated_at = excluded.updated_at",
                params![tenant.as_str(), category_code(tx, *category)?, *days, tx.now()],
            )
            .await?;
            Ok(0)
        }
        SystemChange::DeleteRetention { tenant, category } => {
            tx.execute(
                "DELETE FROM ironclaw.retention_policies WHERE tenant = $1 AND category = $2",
                params![tenant.as_str(), category_code(tx, *category)?],
            )
            .await
        }
        SystemChange::EraseUser { tenant, owner, id } => erase(tx, tenant, owner, *id).await,
        SystemChange::PutCheckpoint { checkpoint } => {
            tx.execute(
                "INSERT INTO ironclaw.audit_checkpoints (size, root, note, created_at) VALUES ($1, $2, $3, $4)",
                params![checkpoint.size, &checkpoint.root, checkpoint.note.as_str(), tx.now()],
            )
            .await?;
            Ok(0)
        }
        _ => Err(tx.error(StoreErrorKind::Internal, "a change that this store does not know")),
    }
}

async fn put_user(
    tx: &Tx,
    tenant: &TenantId,
    owner: &UserId,
    status: UserStatus,
    roles: &[RoleName],
) -> Result<u64, StoreError> {
    let user = tx.lock_user(tenant, owner).await?;
    tx.execute(
        "UPDATE ironclaw.users SET status = $2::smallint, updated_at = $3 WHERE owner_no = $1",
        params![user.owner_no, codes::user_status_code(status), tx.now()],
    )
    .await?;
    tx.execute("DELETE FROM ironclaw.user_roles WHERE owner_no = $1", params![user.owner_no]).await?;
    for role in roles {
        // Locked, so that a role which is deleted at the same time is not held by anybody.
        let known = tx
            .number(
                "SELECT 1::bigint FROM ironclaw.roles WHERE tenant = $1 AND name = $2 FOR KEY SHARE",
                params![tenant.as_str(), role.as_str()],
            )
            .await?;
        if known == 0 {
            return Err(tx.not_found("the tenant has no such role; make it first"));
        }
        tx.execute(
            "INSERT INTO ironclaw.user_roles (owner_no, role) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            params![user.owner_no, role.as_str()],
        )
        .await?;
    }
    Ok(0)
}

async fn put_role(tx: &Tx, tenant: &TenantId, role: &UserRole) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.roles (tenant, name, permissions, updated_at) VALUES ($1, $2, $3::json, $4) \
         ON CONFLICT (tenant, name) DO UPDATE SET permissions = excluded.permissions, updated_at = excluded.updated_at",
        params![tenant.as_str(), role.name.as_str(), serde_json::json!(role.permissions).to_string(), tx.now()],
    )
    .await?;
    Ok(0)
}

async fn delete_role(tx: &Tx, tenant: &TenantId, name: &RoleName) -> Result<u64, StoreError> {
    let deleted = tx
        .execute("DELETE FROM ironclaw.roles WHERE tenant = $1 AND name = $2", params![tenant.as_str(), name.as_str()])
        .await?;
    tx.execute(
        "DELETE FROM ironclaw.user_roles WHERE role = $2 \
         AND owner_no IN (SELECT owner_no FROM ironclaw.users WHERE tenant = $1)",
        params![tenant.as_str(), name.as_str()],
    )
    .await?;
    Ok(deleted)
}

async fn place_hold(tx: &Tx, hold: &Hold) -> Result<u64, StoreError> {
    // A hold may come before the user's first write: then it protects that.
    let user = tx.lock_user(&hold.tenant, &hold.owner).await?;
    tx.execute(
        "INSERT INTO ironclaw.holds (id, owner_no, reason, created_at) VALUES ($1, $2, $3, $4)",
        params![uuid(hold.id.as_bytes()), user.owner_no, hold.reason.as_str(), tx.now()],
    )
    .await?;
    Ok(0)
}

async fn release_hold(tx: &Tx, id: HoldId) -> Result<u64, StoreError> {
    // The user before the hold, as an erasure locks them.
    tx.execute(
        "SELECT u.owner_no FROM ironclaw.holds h JOIN ironclaw.users u ON u.owner_no = h.owner_no WHERE h.id = $1 \
         FOR NO KEY UPDATE OF u",
        params![uuid(id.as_bytes())],
    )
    .await?;
    let released = tx
        .execute(
            "UPDATE ironclaw.holds SET released_at = $2 WHERE id = $1 AND released_at IS NULL",
            params![uuid(id.as_bytes()), tx.now()],
        )
        .await?;
    match released {
        0 => Err(tx.not_found("no such hold stands")),
        _ => Ok(0),
    }
}

async fn erase(tx: &Tx, tenant: &TenantId, owner: &UserId, id: ErasureId) -> Result<u64, StoreError> {
    let Some(owner_no) = find(tx, tenant, owner).await? else {
        return Err(tx.not_found("the user"));
    };
    let holds = tx
        .number("SELECT count(*) FROM ironclaw.holds WHERE owner_no = $1 AND released_at IS NULL", params![owner_no])
        .await?;
    if holds > 0 {
        return Err(tx.error(StoreErrorKind::LegalHold, "release the user's holds first"));
    }
    let rows = privacy::erase(tx, owner_no).await?;
    tx.execute(
        "INSERT INTO ironclaw.erasures (id, stream, deleted_rows, created_at) \
         SELECT $2, stream, $3, $4 FROM ironclaw.audit_streams WHERE owner_no = $1",
        params![owner_no, uuid(id.as_bytes()), rows, tx.now()],
    )
    .await?;
    Ok(rows)
}

pub(super) fn category_code(tx: &Tx, category: RetainedCategory) -> Result<i16, StoreError> {
    let code = codes::category_code(category).and_then(|code| i16::try_from(code).ok());
    code.ok_or_else(|| tx.error(StoreErrorKind::Internal, "a category that this store does not know"))
}

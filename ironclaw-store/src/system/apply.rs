//! What operators change, with its event.

use ironclaw_core::id::{HoldId, RoleName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{UserRole, UserStatus};
use ironclaw_core::model::audit::{AuditRecord, Outcome, SubjectKind};
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::scope::RequestContext;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Owner, Receipt};

use crate::codes::{category_code, user_status_code};
use crate::error::code;
use crate::prepared::PreparedEvent;
use crate::random::random;
use crate::sql::{Id, Json, Transaction, params};
use crate::{access, secrets};

/// Applies a change with its audit event in the open transaction of an operator. An erasure that is too much for it
/// ends
/// later, with the event; until then its number is 0.
pub(crate) async fn apply(tx: &dyn Transaction, operator: &str, change: &SystemChange) -> Result<Receipt, StoreError> {
    let number = match change {
        SystemChange::EraseUser { .. } => {
            // An erased user must not be named, not even by the event of the erasure.
            let mut erased = record(tx, change).await?.0;
            erased.details.retain(|name, _| name != Owner::USER && name != Owner::SPACE);
            let rows = perform(tx, operator, change).await?;
            if rows.is_some() {
                append(tx, operator, None, &erased).await?;
            }
            rows
        }
        _ => {
            let number = perform(tx, operator, change).await?;
            // Others are named once they are known.
            let (record, about) = record(tx, change).await?;
            append(tx, operator, about, &record).await?;
            number
        }
    };
    Ok(Receipt::new(tx.now(), vec![number.unwrap_or_default()]))
}

/// Records a change that failed for a reason of its own.
pub(crate) async fn record_failure(
    tx: &dyn Transaction,
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

/// Appends an event to the system's chain. `about` is the user whom its private part names, if it names one.
pub(crate) async fn append(
    tx: &dyn Transaction,
    operator: &str,
    about: Option<i64>,
    record: &AuditRecord,
) -> Result<(), StoreError> {
    let event = PreparedEvent::new(tx.operation(), record, &RequestContext::default())?;
    tx.append_system(operator, about, event).await
}

/// The number of a user or a space, which is locked until the transaction ends; `None` if nothing was ever written for them.
pub(crate) async fn find(tx: &dyn Transaction, tenant: &TenantId, owner: &Owner) -> Result<Option<i64>, StoreError> {
    tx.query_row(
        "SELECT owner_no FROM ironclaw.users WHERE tenant = ?1 AND owner = ?2 FOR NO KEY UPDATE",
        params![tenant.as_str(), owner.key().as_ref()],
        |row| row.i64(0),
    )
    .await
}

/// The same of one who must be there: a user is made known if they are not.
async fn lock(tx: &dyn Transaction, tenant: &TenantId, owner: &Owner) -> Result<i64, StoreError> {
    match owner {
        Owner::User(user) => tx.lock_user(tenant, user).await,
        Owner::Space(_) => find(tx, tenant, owner).await?.ok_or_else(|| tx.not_found("the space")),
    }
}

/// The same of a space that is made if it is not there.
async fn find_or_make(tx: &dyn Transaction, tenant: &TenantId, owner: &Owner) -> Result<i64, StoreError> {
    if let Some(owner_no) = find(tx, tenant, owner).await? {
        return Ok(owner_no);
    }
    let (operation, key) = (tx.operation(), owner.key());
    tx.execute(
        "INSERT INTO ironclaw.users (tenant, owner, status, pseudonym, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT DO NOTHING",
        params![
            tenant.as_str(),
            key.as_ref(),
            user_status_code(UserStatus::Active),
            &random::<16>(operation)?,
            tx.now()
        ],
    )
    .await?;
    let made = find(tx, tenant, owner).await?;
    let owner_no = made.ok_or_else(|| tx.error(StoreErrorKind::Conflict, "the space was erased at the same moment"))?;
    tx.execute(
        "INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash) VALUES (?1, ?2, 0, ?3) \
         ON CONFLICT DO NOTHING",
        params![owner_no, &random::<16>(operation)?, &[0_u8; 32]],
    )
    .await?;
    Ok(owner_no)
}

/// What the audit trail says of a system change, and the user or the space that that names.
///
/// They are named only while they are known: what names them is deleted when they are erased. They are locked, so that
/// nobody erases them before the event is there.
async fn record(tx: &dyn Transaction, change: &SystemChange) -> Result<(AuditRecord, Option<i64>), StoreError> {
    let owner = match change {
        SystemChange::PutUser { tenant, owner, .. } => {
            let owner = Owner::from(owner.clone());
            find(tx, tenant, &owner).await?.map(|owner_no| (owner_no, owner))
        }
        SystemChange::PutQuota { tenant, owner, .. } | SystemChange::EraseUser { tenant, owner, .. } => {
            find(tx, tenant, owner).await?.map(|owner_no| (owner_no, owner.clone()))
        }
        SystemChange::AppointManager { tenant, space, .. } => {
            let owner = Owner::from(space.clone());
            find(tx, tenant, &owner).await?.map(|owner_no| (owner_no, owner))
        }
        SystemChange::PlaceHold { hold } => {
            find(tx, &hold.tenant, &hold.owner).await?.map(|owner_no| (owner_no, hold.owner.clone()))
        }
        SystemChange::ReleaseHold { id } => held_owner(tx, *id).await?,
        _ => None,
    };
    let mut record = change.event();
    let Some((owner_no, owner)) = owner else {
        return Ok((record, None));
    };
    let stream = tx
        .query_row(
            "SELECT owner_no, stream FROM ironclaw.audit_streams WHERE owner_no = ?1",
            params![owner_no],
            |row| row.bytes(1),
        )
        .await?;
    if let Some(stream) = stream {
        record = record.on(SubjectKind::Stream, stream);
    }
    Ok((record.detail(owner.kind(), owner.name()), Some(owner_no)))
}

/// Whose a hold is, who is locked until the transaction ends.
async fn held_owner(tx: &dyn Transaction, id: HoldId) -> Result<Option<(i64, Owner)>, StoreError> {
    tx.query_row(
        "SELECT u.owner_no, u.owner FROM ironclaw.holds h JOIN ironclaw.users u ON u.owner_no = h.owner_no \
         WHERE h.id = ?1 FOR NO KEY UPDATE OF u",
        params![Id(id.as_bytes())],
        |row| Ok((row.i64(0)?, row.owner(1)?)),
    )
    .await
}

/// The number of a change in its receipt; `None` if it goes on after this transaction.
async fn perform(tx: &dyn Transaction, operator: &str, change: &SystemChange) -> Result<Option<u64>, StoreError> {
    let number = match change {
        SystemChange::EraseUser { tenant, owner, id } => {
            let rows = access::leave_all(tx, tenant, owner).await?;
            return tx.erase_user(operator, tenant, owner, *id, rows).await;
        }
        SystemChange::AppointManager { tenant, space, user, membership } => {
            let space_no = find_or_make(tx, tenant, &Owner::from(space.clone())).await?;
            access::appoint(tx, space_no, tenant, user, *membership).await.map(|()| 0)
        }
        SystemChange::InitVault { tenant, header, wrap } => {
            secrets::init_vault(tx, tenant, header, wrap).await.map(|()| 0)
        }
        SystemChange::AddRootKeyWrap { tenant, wrap } => secrets::add_wrap(tx, tenant, wrap).await.map(|()| 0),
        SystemChange::RemoveRootKeyWrap { tenant, id } => secrets::remove_wrap(tx, tenant, *id).await.map(|()| 1),
        SystemChange::PutUser { tenant, owner, status, roles } => put_user(tx, tenant, owner, *status, roles).await,
        SystemChange::PutRole { tenant, role } => put_role(tx, tenant, role).await,
        SystemChange::DeleteRole { tenant, name } => delete_role(tx, tenant, name).await,
        SystemChange::PutQuota { tenant, owner, name, limit } => {
            let owner_no = lock(tx, tenant, owner).await?;
            tx.execute(
                "INSERT INTO ironclaw.quotas (owner_no, name, allowed, used) VALUES (?1, ?2, ?3, 0) \
                 ON CONFLICT (owner_no, name) DO UPDATE SET allowed = excluded.allowed",
                params![owner_no, name.as_str(), *limit],
            )
            .await?;
            Ok(0)
        }
        SystemChange::PlaceHold { hold } => place_hold(tx, hold).await,
        SystemChange::ReleaseHold { id } => release_hold(tx, *id).await,
        SystemChange::PutRetention { tenant, category, days } => {
            tx.execute(
                "INSERT INTO ironclaw.retention_policies (tenant, category, days, updated_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (tenant, category) DO UPDATE SET days = excluded.days, updated_at = excluded.updated_at",
                params![tenant.as_str(), category_code(*category), *days, tx.now()],
            )
            .await?;
            Ok(0)
        }
        SystemChange::DeleteRetention { tenant, category } => {
            tx.execute(
                "DELETE FROM ironclaw.retention_policies WHERE tenant = ?1 AND category = ?2",
                params![tenant.as_str(), category_code(*category)],
            )
            .await
        }
        SystemChange::PutCheckpoint { checkpoint } => {
            tx.execute(
                "INSERT INTO ironclaw.audit_checkpoints (size, root, note, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![checkpoint.size, &checkpoint.root, checkpoint.note.as_str(), tx.now()],
            )
            .await?;
            Ok(0)
        }
    };
    number.map(Some)
}

async fn put_user(
    tx: &dyn Transaction,
    tenant: &TenantId,
    owner: &UserId,
    status: UserStatus,
    roles: &[RoleName],
) -> Result<u64, StoreError> {
    let owner_no = tx.lock_user(tenant, owner).await?;
    tx.execute(
        "UPDATE ironclaw.users SET status = ?2, updated_at = ?3 WHERE owner_no = ?1",
        params![owner_no, user_status_code(status), tx.now()],
    )
    .await?;
    tx.execute("DELETE FROM ironclaw.user_roles WHERE owner_no = ?1", params![owner_no]).await?;
    for role in roles {
        // Locked, so that a role which is deleted at the same time is not held by anybody.
        let known = tx
            .number(
                "SELECT 1 FROM ironclaw.roles WHERE tenant = ?1 AND name = ?2 FOR KEY SHARE",
                params![tenant.as_str(), role.as_str()],
            )
            .await?;
        if known == 0 {
            return Err(tx.not_found("the tenant has no such role; make it first"));
        }
        tx.execute(
            "INSERT INTO ironclaw.user_roles (owner_no, role) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![owner_no, role.as_str()],
        )
        .await?;
    }
    Ok(0)
}

async fn put_role(tx: &dyn Transaction, tenant: &TenantId, role: &UserRole) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.roles (tenant, name, permissions, updated_at) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (tenant, name) DO UPDATE SET permissions = excluded.permissions, updated_at = \
         excluded.updated_at",
        params![tenant.as_str(), role.name.as_str(), Json::of(&serde_json::json!(role.permissions)), tx.now()],
    )
    .await?;
    Ok(0)
}

async fn delete_role(tx: &dyn Transaction, tenant: &TenantId, name: &RoleName) -> Result<u64, StoreError> {
    let deleted = tx
        .execute("DELETE FROM ironclaw.roles WHERE tenant = ?1 AND name = ?2", params![tenant.as_str(), name.as_str()])
        .await?;
    tx.execute(
        "DELETE FROM ironclaw.user_roles WHERE role = ?2 \
         AND owner_no IN (SELECT owner_no FROM ironclaw.users WHERE tenant = ?1)",
        params![tenant.as_str(), name.as_str()],
    )
    .await?;
    Ok(deleted)
}

async fn place_hold(tx: &dyn Transaction, hold: &Hold) -> Result<u64, StoreError> {
    // A hold may come before the user's first write: then it protects that.
    let owner_no = lock(tx, &hold.tenant, &hold.owner).await?;
    tx.execute(
        "INSERT INTO ironclaw.holds (id, owner_no, reason, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![Id(hold.id.as_bytes()), owner_no, hold.reason.as_str(), tx.now()],
    )
    .await?;
    Ok(0)
}

async fn release_hold(tx: &dyn Transaction, id: HoldId) -> Result<u64, StoreError> {
    // The user before the hold, as an erasure locks them.
    held_owner(tx, id).await?;
    let released = tx
        .execute(
            "UPDATE ironclaw.holds SET released_at = ?2 WHERE id = ?1 AND released_at IS NULL",
            params![Id(id.as_bytes()), tx.now()],
        )
        .await?;
    match released {
        0 => Err(tx.not_found("no such hold stands")),
        _ => Ok(0),
    }
}

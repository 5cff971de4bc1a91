//! Spaces: who is a member, as what, and until when.

use ironclaw_core::Owner;
use ironclaw_core::id::{MembershipId, TenantId, UserId};
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::codes::space_role_code;
use crate::copy::STOPPED;
use crate::copy::end::staged_status;
use crate::reserved::STAGED;
use crate::sql::{Id, Standing, Transaction, params};

/// Makes whoever writes the first manager of the space that the transaction makes.
pub(super) async fn create(
    tx: &dyn Transaction,
    tenant: &TenantId,
    person: &UserId,
    id: MembershipId,
) -> Result<u64, StoreError> {
    match tx.standing() {
        Standing::Founder if members(tx).await? == 0 => {
            put(tx, tx.owner_no(), tenant, person, SpaceRole::Manager, id).await.map(|()| 0)
        }
        _ => Err(tx.error(StoreErrorKind::AlreadyExists, "a space of this name; use another name")),
    }
}

/// Makes a user a member, or something else than before.
pub(super) async fn put_member(
    tx: &dyn Transaction,
    tenant: &TenantId,
    user: &UserId,
    role: SpaceRole,
    id: MembershipId,
) -> Result<u64, StoreError> {
    if role != SpaceRole::Manager {
        check_not_last(tx, user).await?;
    }
    put(tx, tx.owner_no(), tenant, user, role, id).await.map(|()| 0)
}

/// Ends a membership: whoever writes is a manager, or ends their own.
pub(super) async fn remove_member(tx: &dyn Transaction, person: &UserId, id: MembershipId) -> Result<u64, StoreError> {
    let member = tx
        .query_row(
            "SELECT id, member, valid_until FROM ironclaw.members WHERE owner_no = ?1 AND id = ?2",
            params![tx.owner_no(), Id(id.as_bytes())],
            |row| Ok((row.parsed::<UserId>(1)?, row.is_null(2))),
        )
        .await?;
    let (member, in_force) = member.ok_or_else(|| tx.not_found("the membership"))?;
    let is_manager = matches!(tx.standing(), Standing::Founder | Standing::Member(SpaceRole::Manager));
    if member != *person && !is_manager {
        let why = "only a manager of the space may end somebody else's membership";
        return Err(tx.error(StoreErrorKind::Denied, why));
    }
    if !in_force {
        return Ok(0);
    }
    check_not_last(tx, &member).await?;
    end(tx, tx.owner_no(), &member).await.map(|()| 0)
}

/// Makes a user a manager of a space, in an operator's transaction.
pub(crate) async fn appoint(
    tx: &dyn Transaction,
    space_no: i64,
    tenant: &TenantId,
    user: &UserId,
    id: MembershipId,
) -> Result<(), StoreError> {
    put(tx, space_no, tenant, user, SpaceRole::Manager, id).await
}

/// Takes a user who is erased out of all spaces and what tells of them there, in an operator's transaction. How many rows.
/// What a legal hold on a space keeps can't be taken out of it.
pub(crate) async fn leave_all(tx: &dyn Transaction, tenant: &TenantId, owner: &Owner) -> Result<u64, StoreError> {
    let Some(user) = owner.user() else {
        return Ok(0);
    };
    // The spaces are locked, in one order, so that no hold is placed and nobody changes a membership meanwhile. What a copy has
    // not finished is nobody's space yet.
    tx.query(
        "SELECT owner_no FROM ironclaw.users WHERE tenant = ?1 AND owner_no IN (SELECT owner_no FROM ironclaw.members \
         WHERE tenant = ?1 AND member = ?2) ORDER BY owner_no FOR NO KEY UPDATE",
        params![tenant.as_str(), user.as_str()],
        |_| Ok(()),
    )
    .await?;
    let held = tx
        .number(
            "SELECT count(*) FROM ironclaw.members m JOIN ironclaw.holds h ON h.owner_no = m.owner_no \
             JOIN ironclaw.users u ON u.owner_no = m.owner_no AND u.tenant = m.tenant \
             WHERE m.tenant = ?1 AND m.member = ?2 AND h.released_at IS NULL",
            params![tenant.as_str(), user.as_str()],
        )
        .await?;
    if held > 0 {
        let why = "a hold stands on a space that the user is or was a member of: release it first";
        return Err(tx.error(StoreErrorKind::LegalHold, why));
    }
    // What a copy has not finished may be a space of this tenant: nothing is added to it any more, and the copy begins anew.
    tx.execute(
        "UPDATE ironclaw.users SET pseudonym = ?2 WHERE tenant = ?1 AND status = ?3",
        params![STAGED, &STOPPED, staged_status(true)],
    )
    .await?;
    // Spaces come first in the order of owners: their keys begin with what no user's name has.
    let named = tx
        .execute(
            "DELETE FROM ironclaw.audit_pseudonyms WHERE kind = 1 AND name = ?2 AND owner_no IN \
             (SELECT owner_no FROM ironclaw.users WHERE tenant = ?1 AND owner < ' ' OR tenant = ?3)",
            params![tenant.as_str(), user.as_str(), STAGED],
        )
        .await?;
    let memberships = tx
        .execute(
            "DELETE FROM ironclaw.members WHERE tenant = ?1 AND member = ?2",
            params![tenant.as_str(), user.as_str()],
        )
        .await?;
    Ok(named + memberships)
}

async fn members(tx: &dyn Transaction) -> Result<i64, StoreError> {
    tx.number("SELECT count(*) FROM ironclaw.members WHERE owner_no = ?1", params![tx.owner_no()]).await
}

async fn put(
    tx: &dyn Transaction,
    space_no: i64,
    tenant: &TenantId,
    user: &UserId,
    role: SpaceRole,
    id: MembershipId,
) -> Result<(), StoreError> {
    end(tx, space_no, user).await?;
    // Clocks go back; intervals do not.
    tx.execute(
        "INSERT INTO ironclaw.members (owner_no, id, tenant, member, role, valid_from) SELECT ?1, ?2, ?3, ?4, ?5, \
         CASE WHEN max(valid_until) > ?6 THEN max(valid_until) ELSE ?6 END FROM ironclaw.members \
         WHERE owner_no = ?1 AND member = ?4",
        params![space_no, Id(id.as_bytes()), tenant.as_str(), user.as_str(), space_role_code(role), tx.now()],
    )
    .await
    .map(drop)
}

async fn end(tx: &dyn Transaction, space_no: i64, user: &UserId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE ironclaw.members SET valid_until = CASE WHEN valid_from > ?3 THEN valid_from ELSE ?3 END \
         WHERE owner_no = ?1 AND member = ?2 AND valid_until IS NULL",
        params![space_no, user.as_str(), tx.now()],
    )
    .await
    .map(drop)
}

/// Refuses to leave a space without a manager. The transaction has locked the space, and with it all who are members.
async fn check_not_last(tx: &dyn Transaction, user: &UserId) -> Result<(), StoreError> {
    let (all, others) = tx
        .query_row(
            "SELECT count(*), coalesce(sum(CASE WHEN member <> ?2 THEN 1 ELSE 0 END), 0) FROM ironclaw.members \
             WHERE owner_no = ?1 AND role = ?3 AND valid_until IS NULL",
            params![tx.owner_no(), user.as_str(), space_role_code(SpaceRole::Manager)],
            |row| Ok((row.i64(0)?, row.i64(1)?)),
        )
        .await?
        .unwrap_or_default();
    match (all, others) {
        (1.., 0) => Err(tx.conflict("the space's last manager stays one: make somebody else a manager first")),
        _ => Ok(()),
    }
}

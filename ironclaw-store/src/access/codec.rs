//! Access from rows.

use ironclaw_core::id::{ApiKeyId, ApprovalId, LeaseId, MembershipId, PolicyId, TokenId, ToolGrantId};
use ironclaw_core::model::access::{Agent, ApiKey, Approval, Lease, Policy, Token, ToolGrant, UserRole};
use ironclaw_core::model::spaces::Membership;
use ironclaw_core::store::StoreError;

use crate::codes;
use crate::sql::Row;

/// The columns that [`agent`] reads.
macro_rules! agent_columns {
    () => {
        "name, active, policy_epoch, created_at, updated_at"
    };
}

/// The columns that [`policy`] reads.
macro_rules! policy_columns {
    () => {
        "id, agent, resource, actions, conditions, valid_from, valid_until"
    };
}

/// The columns that [`api_key`] reads.
macro_rules! api_key_columns {
    () => {
        "id, label, hash, created_at, expires_at, revoked_at"
    };
}

/// The columns that [`approval`] reads.
macro_rules! approval_columns {
    () => {
        "id, agent, action, details, state, created_at, expires_at, decided_at"
    };
}

/// The columns that [`membership`] reads, of `members m` and `users u`.
macro_rules! membership_columns {
    () => {
        "m.id, u.owner, m.member, m.role, m.valid_from, m.valid_until"
    };
}

pub(super) use membership_columns;
pub(super) use {agent_columns, api_key_columns, approval_columns, policy_columns};

pub(crate) fn membership(row: &dyn Row) -> Result<Membership, StoreError> {
    let id = MembershipId::from_bytes(row.id(0)?);
    let space = row.owner(1)?.into_space().ok_or_else(|| row.corrupt(1))?;
    let membership = Membership::new(id, space, row.parsed(2)?, row.code(3, codes::space_role)?, row.time(4)?);
    Ok(membership.until(row.optional(5, <dyn Row>::time)?))
}

pub(super) fn agent(row: &dyn Row) -> Result<Agent, StoreError> {
    Ok(Agent::new(row.parsed(0)?, row.time(3)?)
        .active(row.bool(1)?)
        .policy_epoch(row.count(2)?)
        .updated_at(row.time(4)?))
}

pub(super) fn policy(row: &dyn Row) -> Result<Policy, StoreError> {
    Ok(Policy::new(PolicyId::from_bytes(row.id(0)?), row.parsed(1)?, row.text(2)?, row.json(3)?, row.time(5)?)
        .conditions(row.json(4)?)
        .valid_until(row.optional(6, Row::time)?))
}

/// Of the columns id, agent, policy_epoch, hash, created_at, expires_at, revoked_at.
pub(super) fn token(row: &dyn Row) -> Result<Token, StoreError> {
    Ok(Token::new(
        TokenId::from_bytes(row.id(0)?),
        row.parsed(1)?,
        row.u64(2)?,
        row.bytes(3)?,
        row.time(4)?,
        row.time(5)?,
    )
    .revoked_at(row.optional(6, Row::time)?))
}

pub(super) fn api_key(row: &dyn Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey::new(ApiKeyId::from_bytes(row.id(0)?), row.text(1)?, row.bytes(2)?, row.time(3)?)
        .expires_at(row.optional(4, Row::time)?)
        .revoked_at(row.optional(5, Row::time)?))
}

/// Of the columns id, secret, agent, uses_left, created_at, expires_at, revoked_at.
pub(super) fn lease(row: &dyn Row) -> Result<Lease, StoreError> {
    Ok(Lease::new(
        LeaseId::from_bytes(row.id(0)?),
        row.parsed(1)?,
        row.parsed(2)?,
        row.u32(3)?,
        row.time(4)?,
        row.time(5)?,
    )
    .revoked_at(row.optional(6, Row::time)?))
}

pub(super) fn approval(row: &dyn Row) -> Result<Approval, StoreError> {
    Ok(Approval::new(ApprovalId::from_bytes(row.id(0)?), row.parsed(1)?, row.text(2)?, row.time(5)?, row.time(6)?)
        .details(row.json(3)?)
        .state(row.code(4, codes::approval_state)?)
        .decided_at(row.optional(7, Row::time)?))
}

/// Of the columns id, tool, capability, parameters, created_at, expires_at, revoked_at.
pub(super) fn tool_grant(row: &dyn Row) -> Result<ToolGrant, StoreError> {
    Ok(ToolGrant::new(ToolGrantId::from_bytes(row.id(0)?), row.parsed(1)?, row.text(2)?, row.time(4)?)
        .parameters(row.json(3)?)
        .expires_at(row.optional(5, Row::time)?)
        .revoked_at(row.optional(6, Row::time)?))
}

/// Of the columns name, permissions, updated_at.
pub(super) fn role(row: &dyn Row) -> Result<UserRole, StoreError> {
    Ok(UserRole::new(row.parsed(0)?, row.json(1)?, row.time(2)?))
}

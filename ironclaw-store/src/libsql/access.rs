//! Who may do what, and until when.

use ironclaw_core::change::AccessOp;
use ironclaw_core::id::{AgentName, ApprovalId, LeaseId, PolicyId};
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::access::{Approval, ApprovalState, Lease, Policy, Token, ToolGrant};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::removal::{sized, some};
use super::row::params;
use super::tx::Tx;
use crate::codes;

mod codec;
mod read;

#[cfg(test)]
mod tests;

/// Applies one operation; the number is the operation's in the receipt.
pub(super) fn apply(tx: &Tx<'_>, op: &AccessOp) -> Result<u64, StoreError> {
    match op {
        AccessOp::PutAgent { name, active } => put_agent(tx, name, *active),
        AccessOp::PutPolicy { policy } => put_policy(tx, policy),
        AccessOp::RevokePolicy { id } => revoke_policy(tx, *id),
        AccessOp::IssueToken { token } => issue_token(tx, token),
        AccessOp::RevokeToken { id } => revoke(
            tx,
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
            id.as_bytes(),
            "the token",
        ),
        AccessOp::MakeApiKey { key } => tx
            .db
            .execute(
                "INSERT INTO api_keys (owner_no, id, label, hash, created_at, expires_at, revoked_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    tx.owner_no,
                    key.id.as_bytes(),
                    key.label.as_str(),
                    &key.hash,
                    key.created_at,
                    key.expires_at,
                    key.revoked_at,
                ],
            )
            .map(|_| 0),
        AccessOp::RevokeApiKey { id } => revoke(
            tx,
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
            id.as_bytes(),
            "the API key",
        ),
        AccessOp::GrantLease { lease } => grant_lease(tx, lease),
        AccessOp::RedeemLease { id } => redeem_lease(tx, *id),
        AccessOp::RevokeLease { id } => revoke(
            tx,
            "UPDATE leases SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
            id.as_bytes(),
            "the lease",
        ),
        AccessOp::RequestApproval { approval } => request_approval(tx, approval),
        AccessOp::DecideApproval { id, approved } => decide_approval(tx, *id, *approved),
        AccessOp::GrantTool { grant } => grant_tool(tx, grant),
        AccessOp::RevokeToolGrant { id } => revoke(
            tx,
            "UPDATE tool_grants SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
            id.as_bytes(),
            "the tool grant",
        ),
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// Fails with `PreconditionFailed` unless the agent is active and at this epoch.
pub(super) fn check_policy_epoch(tx: &Tx<'_>, agent: &AgentName, epoch: u64) -> Result<(), StoreError> {
    let holds = tx.db.number(
        "SELECT count(*) FROM agents WHERE owner_no = ?1 AND name = ?2 AND active = 1 AND policy_epoch = ?3",
        params![tx.owner_no, agent.as_str(), epoch],
    )?;
    match holds {
        0 => Err(tx.error(StoreErrorKind::PreconditionFailed, "the agent is not active, or its policies have changed")),
        _ => Ok(()),
    }
}

/// Fails with `PreconditionFailed` unless the lease has a use left, has not expired and was not revoked.
pub(super) fn check_uses_left(tx: &Tx<'_>, lease: LeaseId) -> Result<(), StoreError> {
    let holds = tx.db.number(
        "SELECT count(*) FROM leases WHERE owner_no = ?1 AND id = ?2 AND uses_left > 0 AND revoked_at IS NULL \
         AND expires_at > ?3",
        params![tx.owner_no, lease.as_bytes(), tx.now],
    )?;
    match holds {
        0 => Err(lease_is_spent(tx)),
        _ => Ok(()),
    }
}

/// Deletes some of what a user has, but for the rows of `users` and `user_roles`. How many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for (sql, weight) in [
        (
            "DELETE FROM agents WHERE owner_no = ?1 AND name IN (SELECT name FROM agents WHERE owner_no = ?1 LIMIT ?2)",
            1,
        ),
        (
            "DELETE FROM policies WHERE owner_no = ?1 AND id IN (SELECT id FROM policies WHERE owner_no = ?1 LIMIT ?2)",
            8,
        ),
        ("DELETE FROM tokens WHERE owner_no = ?1 AND id IN (SELECT id FROM tokens WHERE owner_no = ?1 LIMIT ?2)", 1),
        (
            "DELETE FROM api_keys WHERE owner_no = ?1 AND id IN (SELECT id FROM api_keys WHERE owner_no = ?1 LIMIT ?2)",
            1,
        ),
        ("DELETE FROM leases WHERE owner_no = ?1 AND id IN (SELECT id FROM leases WHERE owner_no = ?1 LIMIT ?2)", 1),
        (
            "DELETE FROM tool_grants WHERE owner_no = ?1 AND id IN (SELECT id FROM tool_grants WHERE owner_no = ?1 LIMIT ?2)",
            8,
        ),
    ] {
        rows += some(db, sql, owner_no, weight)?;
    }
    rows += sized(
        db,
        "SELECT id, octet_length(details) FROM approvals WHERE owner_no = ?1 LIMIT ?2",
        params![owner_no],
        "DELETE FROM approvals WHERE id = ?1 AND owner_no = ?2",
        owner_no,
    )?;
    Ok(rows)
}

fn put_agent(tx: &Tx<'_>, name: &AgentName, active: bool) -> Result<u64, StoreError> {
    tx.db.execute(
        "INSERT INTO agents (owner_no, name, active, policy_epoch, created_at, updated_at) \
         VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT (owner_no, name) DO UPDATE SET active = excluded.active, \
         policy_epoch = policy_epoch + 1, updated_at = excluded.updated_at",
        params![tx.owner_no, name.as_str(), active, tx.now],
    )?;
    Ok(0)
}

fn put_policy(tx: &Tx<'_>, policy: &Policy) -> Result<u64, StoreError> {
    count_epoch(tx, policy.agent.as_str())?;
    tx.db.execute(
        "INSERT INTO policies (owner_no, id, agent, resource, actions, conditions, valid_from, valid_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no,
            policy.id.as_bytes(),
            policy.agent.as_str(),
            policy.resource.as_str(),
            serde_json::Value::from(policy.actions.as_slice()).to_string(),
            policy.conditions.to_string(),
            policy.valid_from,
            policy.valid_until,
        ],
    )?;
    Ok(0)
}

fn revoke_policy(tx: &Tx<'_>, id: PolicyId) -> Result<u64, StoreError> {
    let agent = tx.db.query_row(
        "SELECT id, agent FROM policies WHERE owner_no = ?1 AND id = ?2",
        params![tx.owner_no, id.as_bytes()],
        |row| row.text(1),
    )?;
    let agent = agent.ok_or_else(|| tx.not_found("the policy"))?;
    let ended = tx.db.execute(
        "UPDATE policies SET valid_until = ?3 WHERE owner_no = ?1 AND id = ?2 \
         AND (valid_until IS NULL OR valid_until > ?3)",
        params![tx.owner_no, id.as_bytes(), tx.now],
    )?;
    // What had ended before keeps its end: who had access on a day must not change afterwards.
    if ended > 0 {
        count_epoch(tx, &agent)?;
    }
    Ok(0)
}

fn issue_token(tx: &Tx<'_>, token: &Token) -> Result<u64, StoreError> {
    check_agent(tx, &token.agent)?;
    tx.db.execute(
        "INSERT INTO tokens (owner_no, id, agent, policy_epoch, hash, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no,
            token.id.as_bytes(),
            token.agent.as_str(),
            token.policy_epoch,
            &token.hash,
            token.created_at,
            token.expires_at,
            token.revoked_at,
        ],
    )?;
    Ok(0)
}

fn grant_lease(tx: &Tx<'_>, lease: &Lease) -> Result<u64, StoreError> {
    check_agent(tx, &lease.agent)?;
    tx.db.execute(
        "INSERT INTO leases (owner_no, id, secret, agent, uses_left, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no,
            lease.id.as_bytes(),
            lease.secret.as_str(),
            lease.agent.as_str(),
            lease.uses_left,
            lease.created_at,
            lease.expires_at,
            lease.revoked_at,
        ],
    )?;
    Ok(0)
}

fn redeem_lease(tx: &Tx<'_>, id: LeaseId) -> Result<u64, StoreError> {
    let taken = tx.db.execute(
        "UPDATE leases SET uses_left = uses_left - 1 WHERE owner_no = ?1 AND id = ?2 AND uses_left > 0 \
         AND revoked_at IS NULL AND expires_at > ?3",
        params![tx.owner_no, id.as_bytes(), tx.now],
    )?;
    if taken > 0 {
        return Ok(0);
    }
    let leases = tx
        .db
        .number("SELECT count(*) FROM leases WHERE owner_no = ?1 AND id = ?2", params![tx.owner_no, id.as_bytes()])?;
    match leases {
        0 => Err(tx.not_found("the lease")),
        _ => Err(lease_is_spent(tx)),
    }
}

fn lease_is_spent(tx: &Tx<'_>) -> StoreError {
    tx.error(StoreErrorKind::PreconditionFailed, "the lease is used up, expired, revoked or not there")
}

fn request_approval(tx: &Tx<'_>, approval: &Approval) -> Result<u64, StoreError> {
    // Answers are operations of their own, with an event that says so.
    if approval.state != ApprovalState::Pending || approval.decided_at.is_some() {
        let problem = Problem::Malformed { expected: "a question that is not decided" };
        return Err(StoreError::invalid_input(tx.db.operation(), InputError::new("approval state", problem)));
    }
    check_agent(tx, &approval.agent)?;
    tx.db.execute(
        "INSERT INTO approvals (owner_no, id, agent, action, format, details, state, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no,
            approval.id.as_bytes(),
            approval.agent.as_str(),
            approval.action.as_str(),
            approval.details.to_string(),
            codes::approval_state_code(approval.state),
            approval.created_at,
            approval.expires_at,
        ],
    )?;
    Ok(0)
}

fn decide_approval(tx: &Tx<'_>, id: ApprovalId, approved: bool) -> Result<u64, StoreError> {
    let state = if approved { ApprovalState::Approved } else { ApprovalState::Denied };
    let decided = tx.db.execute(
        "UPDATE approvals SET state = ?3, decided_at = ?4 WHERE owner_no = ?1 AND id = ?2 AND state = ?5 \
         AND expires_at > ?4",
        params![
            tx.owner_no,
            id.as_bytes(),
            codes::approval_state_code(state),
            tx.now,
            codes::approval_state_code(ApprovalState::Pending),
        ],
    )?;
    if decided > 0 {
        return Ok(0);
    }
    let questions = tx.db.number(
        "SELECT count(*) FROM approvals WHERE owner_no = ?1 AND id = ?2",
        params![tx.owner_no, id.as_bytes()],
    )?;
    match questions {
        0 => Err(tx.not_found("the approval")),
        _ => Err(tx.conflict("the approval was decided or has lapsed")),
    }
}

fn grant_tool(tx: &Tx<'_>, grant: &ToolGrant) -> Result<u64, StoreError> {
    tx.db.execute(
        "INSERT INTO tool_grants (owner_no, id, tool, capability, parameters, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no,
            grant.id.as_bytes(),
            grant.tool.as_str(),
            grant.capability.as_str(),
            grant.parameters.to_string(),
            grant.created_at,
            grant.expires_at,
            grant.revoked_at,
        ],
    )?;
    Ok(0)
}

/// Sets the time of revocation; revoking again leaves the first.
fn revoke(tx: &Tx<'_>, sql: &'static str, id: &[u8; 16], what: &str) -> Result<u64, StoreError> {
    match tx.db.execute(sql, params![tx.owner_no, id, tx.now])? {
        0 => Err(tx.not_found(what)),
        _ => Ok(0),
    }
}

/// Counts up the policy epoch of an agent, which must exist.
fn count_epoch(tx: &Tx<'_>, agent: &str) -> Result<(), StoreError> {
    let agents = tx.db.execute(
        "UPDATE agents SET policy_epoch = policy_epoch + 1, updated_at = ?3 WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no, agent, tx.now],
    )?;
    match agents {
        0 => Err(tx.not_found("the agent")),
        _ => Ok(()),
    }
}

fn check_agent(tx: &Tx<'_>, agent: &AgentName) -> Result<(), StoreError> {
    let agents = tx.db.number(
        "SELECT count(*) FROM agents WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no, agent.as_str()],
    )?;
    match agents {
        0 => Err(tx.not_found("the agent")),
        _ => Ok(()),
    }
}

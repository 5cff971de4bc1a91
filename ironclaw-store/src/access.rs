//! Who may do what, and until when.

use ironclaw_core::Scope;
use ironclaw_core::change::AccessOp;
use ironclaw_core::id::{AgentName, ApprovalId, LeaseId, PolicyId};
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::access::{Approval, ApprovalState, Lease, Policy, Token, ToolGrant};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::codes;
use crate::sql::{Id, Json, Owned, Transaction, owned, params};

mod codec;
mod read;
mod spaces;

pub(crate) use codec::membership;
pub(crate) use read::MEMBERS_OF_SPACE;
pub(crate) use spaces::{appoint, leave_all};

/// What goes with a user, but for the rows of `users` and `user_roles`.
pub(crate) const OWNED: [Owned; 8] = [
    owned!("members", "id"),
    owned!("agents", "name"),
    owned!("policies", "id", 8),
    owned!("tokens", "id"),
    owned!("api_keys", "id"),
    owned!("leases", "id"),
    owned!("tool_grants", "id", 8),
    owned!("approvals", "id", bytes of "details"),
];

/// Applies one operation; the number is the operation's in the receipt.
pub(crate) async fn apply(tx: &dyn Transaction, scope: &Scope, op: &AccessOp) -> Result<u64, StoreError> {
    match op {
        AccessOp::CreateSpace { .. } | AccessOp::PutMember { .. } | AccessOp::RemoveMember { .. }
            if !scope.is_in_person() =>
        {
            Err(tx.error(StoreErrorKind::Denied, "only a user in person may: use a scope without agents"))
        }
        AccessOp::CreateSpace { membership } => spaces::create(tx, scope.tenant(), scope.person(), *membership).await,
        AccessOp::PutMember { id, user, role } => spaces::put_member(tx, scope.tenant(), user, *role, *id).await,
        AccessOp::RemoveMember { id } => spaces::remove_member(tx, scope.person(), *id).await,
        AccessOp::PutAgent { name, active } => put_agent(tx, name, *active).await,
        AccessOp::PutPolicy { policy } => put_policy(tx, policy).await,
        AccessOp::RevokePolicy { id } => revoke_policy(tx, *id).await,
        AccessOp::IssueToken { token } => issue_token(tx, token).await,
        AccessOp::RevokeToken { id } => {
            revoke(
                tx,
                "UPDATE ironclaw.tokens SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
                id.as_bytes(),
                "the token",
            )
            .await
        }
        AccessOp::MakeApiKey { key } => tx
            .execute(
                "INSERT INTO ironclaw.api_keys (owner_no, id, label, hash, created_at, expires_at, revoked_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    tx.owner_no(),
                    Id(key.id.as_bytes()),
                    key.label.as_str(),
                    &key.hash,
                    key.created_at,
                    key.expires_at,
                    key.revoked_at,
                ],
            )
            .await
            .map(|_| 0),
        AccessOp::RevokeApiKey { id } => {
            revoke(
                tx,
                "UPDATE ironclaw.api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
                id.as_bytes(),
                "the API key",
            )
            .await
        }
        AccessOp::GrantLease { lease } => grant_lease(tx, lease).await,
        AccessOp::RedeemLease { id } => redeem_lease(tx, *id).await,
        AccessOp::RevokeLease { id } => {
            revoke(
                tx,
                "UPDATE ironclaw.leases SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 AND id = ?2",
                id.as_bytes(),
                "the lease",
            )
            .await
        }
        AccessOp::RequestApproval { approval } => request_approval(tx, approval).await,
        AccessOp::DecideApproval { id, approved } => decide_approval(tx, *id, *approved).await,
        AccessOp::GrantTool { grant } => grant_tool(tx, grant).await,
        AccessOp::RevokeToolGrant { id } => {
            revoke(
                tx,
                "UPDATE ironclaw.tool_grants SET revoked_at = coalesce(revoked_at, ?3) WHERE owner_no = ?1 \
                 AND id = ?2",
                id.as_bytes(),
                "the tool grant",
            )
            .await
        }
    }
}

/// Fails with `PreconditionFailed` unless the agent is active and at this epoch.
pub(crate) async fn check_policy_epoch(tx: &dyn Transaction, agent: &AgentName, epoch: u64) -> Result<(), StoreError> {
    let holds = tx
        .number(
            "SELECT count(*) FROM ironclaw.agents WHERE owner_no = ?1 AND name = ?2 AND active AND policy_epoch = ?3",
            params![tx.owner_no(), agent.as_str(), epoch],
        )
        .await?;
    match holds {
        0 => Err(tx.error(StoreErrorKind::PreconditionFailed, "the agent is not active, or its policies have changed")),
        _ => Ok(()),
    }
}

/// Fails with `PreconditionFailed` unless the lease has a use left, has not expired and was not revoked.
pub(crate) async fn check_uses_left(tx: &dyn Transaction, lease: LeaseId) -> Result<(), StoreError> {
    let holds = tx
        .number(
            "SELECT count(*) FROM ironclaw.leases WHERE owner_no = ?1 AND id = ?2 AND uses_left > 0 \
             AND revoked_at IS NULL AND expires_at > ?3",
            params![tx.owner_no(), Id(lease.as_bytes()), tx.now()],
        )
        .await?;
    match holds {
        0 => Err(lease_is_spent(tx)),
        _ => Ok(()),
    }
}

async fn put_agent(tx: &dyn Transaction, name: &AgentName, active: bool) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.agents AS a (owner_no, name, active, policy_epoch, created_at, updated_at) \
         VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT (owner_no, name) DO UPDATE \
         SET active = excluded.active, policy_epoch = a.policy_epoch + 1, updated_at = excluded.updated_at",
        params![tx.owner_no(), name.as_str(), active, tx.now()],
    )
    .await?;
    Ok(0)
}

async fn put_policy(tx: &dyn Transaction, policy: &Policy) -> Result<u64, StoreError> {
    count_epoch(tx, policy.agent.as_str()).await?;
    tx.execute(
        "INSERT INTO ironclaw.policies (owner_no, id, agent, resource, actions, conditions, valid_from, valid_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no(),
            Id(policy.id.as_bytes()),
            policy.agent.as_str(),
            policy.resource.as_str(),
            Json::of(&policy.actions.as_slice().into()),
            Json::of(&policy.conditions),
            policy.valid_from,
            policy.valid_until,
        ],
    )
    .await?;
    Ok(0)
}

async fn revoke_policy(tx: &dyn Transaction, id: PolicyId) -> Result<u64, StoreError> {
    let agent = tx
        .query_row(
            "SELECT id, agent FROM ironclaw.policies WHERE owner_no = ?1 AND id = ?2",
            params![tx.owner_no(), Id(id.as_bytes())],
            |row| row.text(1),
        )
        .await?;
    let agent = agent.ok_or_else(|| tx.not_found("the policy"))?;
    let ended = tx
        .execute(
            "UPDATE ironclaw.policies SET valid_until = ?3 WHERE owner_no = ?1 AND id = ?2 AND (valid_until IS NULL \
             OR valid_until > ?3)",
            params![tx.owner_no(), Id(id.as_bytes()), tx.now()],
        )
        .await?;
    // What had ended before keeps its end: who had access on a day must not change afterwards.
    if ended > 0 {
        count_epoch(tx, &agent).await?;
    }
    Ok(0)
}

async fn issue_token(tx: &dyn Transaction, token: &Token) -> Result<u64, StoreError> {
    check_agent(tx, &token.agent).await?;
    tx.execute(
        "INSERT INTO ironclaw.tokens (owner_no, id, agent, policy_epoch, hash, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no(),
            Id(token.id.as_bytes()),
            token.agent.as_str(),
            token.policy_epoch,
            &token.hash,
            token.created_at,
            token.expires_at,
            token.revoked_at,
        ],
    )
    .await?;
    Ok(0)
}

async fn grant_lease(tx: &dyn Transaction, lease: &Lease) -> Result<u64, StoreError> {
    check_agent(tx, &lease.agent).await?;
    tx.execute(
        "INSERT INTO ironclaw.leases (owner_no, id, secret, agent, uses_left, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no(),
            Id(lease.id.as_bytes()),
            lease.secret.as_str(),
            lease.agent.as_str(),
            lease.uses_left,
            lease.created_at,
            lease.expires_at,
            lease.revoked_at,
        ],
    )
    .await?;
    Ok(0)
}

async fn redeem_lease(tx: &dyn Transaction, id: LeaseId) -> Result<u64, StoreError> {
    let taken = tx
        .execute(
            "UPDATE ironclaw.leases SET uses_left = uses_left - 1 WHERE owner_no = ?1 AND id = ?2 AND uses_left > 0 \
             AND revoked_at IS NULL AND expires_at > ?3",
            params![tx.owner_no(), Id(id.as_bytes()), tx.now()],
        )
        .await?;
    if taken > 0 {
        return Ok(0);
    }
    let leases = tx
        .number(
            "SELECT count(*) FROM ironclaw.leases WHERE owner_no = ?1 AND id = ?2",
            params![tx.owner_no(), Id(id.as_bytes())],
        )
        .await?;
    match leases {
        0 => Err(tx.not_found("the lease")),
        _ => Err(lease_is_spent(tx)),
    }
}

fn lease_is_spent(tx: &dyn Transaction) -> StoreError {
    tx.error(StoreErrorKind::PreconditionFailed, "the lease is used up, expired, revoked or not there")
}

async fn request_approval(tx: &dyn Transaction, approval: &Approval) -> Result<u64, StoreError> {
    // Answers are operations of their own, with an event that says so.
    if approval.state != ApprovalState::Pending || approval.decided_at.is_some() {
        let problem = Problem::Malformed { expected: "a question that is not decided" };
        return Err(StoreError::invalid_input(tx.operation(), InputError::new("approval state", problem)));
    }
    check_agent(tx, &approval.agent).await?;
    tx.execute(
        "INSERT INTO ironclaw.approvals (owner_no, id, agent, action, content_format, details, state, created_at, \
         expires_at) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no(),
            Id(approval.id.as_bytes()),
            approval.agent.as_str(),
            approval.action.as_str(),
            Json::of(&approval.details),
            codes::approval_state_code(approval.state),
            approval.created_at,
            approval.expires_at,
        ],
    )
    .await?;
    Ok(0)
}

async fn decide_approval(tx: &dyn Transaction, id: ApprovalId, approved: bool) -> Result<u64, StoreError> {
    let state = if approved { ApprovalState::Approved } else { ApprovalState::Denied };
    let decided = tx
        .execute(
            "UPDATE ironclaw.approvals SET state = ?3, decided_at = ?4 WHERE owner_no = ?1 AND id = ?2 AND state = ?5 \
             AND expires_at > ?4",
            params![
                tx.owner_no(),
                Id(id.as_bytes()),
                codes::approval_state_code(state),
                tx.now(),
                codes::approval_state_code(ApprovalState::Pending),
            ],
        )
        .await?;
    if decided > 0 {
        return Ok(0);
    }
    let questions = tx
        .number(
            "SELECT count(*) FROM ironclaw.approvals WHERE owner_no = ?1 AND id = ?2",
            params![tx.owner_no(), Id(id.as_bytes())],
        )
        .await?;
    match questions {
        0 => Err(tx.not_found("the approval")),
        _ => Err(tx.conflict("the approval was decided or has lapsed")),
    }
}

async fn grant_tool(tx: &dyn Transaction, grant: &ToolGrant) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.tool_grants (owner_no, id, tool, capability, parameters, created_at, expires_at, \
         revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            tx.owner_no(),
            Id(grant.id.as_bytes()),
            grant.tool.as_str(),
            grant.capability.as_str(),
            Json::of(&grant.parameters),
            grant.created_at,
            grant.expires_at,
            grant.revoked_at,
        ],
    )
    .await?;
    Ok(0)
}

/// Sets the time of revocation; revoking again leaves the first.
async fn revoke(tx: &dyn Transaction, sql: &'static str, id: &[u8; 16], what: &str) -> Result<u64, StoreError> {
    match tx.execute(sql, params![tx.owner_no(), Id(id), tx.now()]).await? {
        0 => Err(tx.not_found(what)),
        _ => Ok(0),
    }
}

/// Counts up the policy epoch of an agent, which must exist.
async fn count_epoch(tx: &dyn Transaction, agent: &str) -> Result<(), StoreError> {
    let agents = tx
        .execute(
            "UPDATE ironclaw.agents SET policy_epoch = policy_epoch + 1, updated_at = ?3 WHERE owner_no = ?1 \
             AND name = ?2",
            params![tx.owner_no(), agent, tx.now()],
        )
        .await?;
    match agents {
        0 => Err(tx.not_found("the agent")),
        _ => Ok(()),
    }
}

async fn check_agent(tx: &dyn Transaction, agent: &AgentName) -> Result<(), StoreError> {
    let agents = tx
        .number(
            "SELECT count(*) FROM ironclaw.agents WHERE owner_no = ?1 AND name = ?2",
            params![tx.owner_no(), agent.as_str()],
        )
        .await?;
    match agents {
        0 => Err(tx.not_found("the agent")),
        _ => Ok(()),
    }
}

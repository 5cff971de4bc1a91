//! What may be done by whom, and until when.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{
    AgentName, ApiKeyId, ApprovalId, LeaseId, PolicyId, RoleName, SecretName, TokenId, ToolGrantId, ToolName, UserId,
};
use crate::setters::setters;

/// A user that the store knows: one who was given a status or roles by an operator, or wrote something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// Whether the user may act.
    pub status: UserStatus,
    /// The roles held.
    pub roles: Vec<RoleName>,
    /// When the user was first seen.
    pub created_at: Timestamp,
    /// When status or roles last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// An active user without roles.
    pub fn new(id: UserId, created_at: Timestamp) -> Self {
        Self { id, status: UserStatus::Active, roles: Vec::new(), created_at, updated_at: created_at }
    }
}

setters! {
    User:
    status: UserStatus,
    roles: Vec<RoleName>,
    updated_at: Timestamp,
}

/// Whether a user may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every store keeps each of them by a code of its own: one that a store forgot must not compile"
)]
pub enum UserStatus {
    /// Yes.
    Active,
    /// No: every write is refused.
    Suspended,
}

/// A role of a tenant: a named set of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserRole {
    /// Its name.
    pub name: RoleName,
    /// What it permits, in the host's words.
    pub permissions: Vec<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl UserRole {
    /// A role that permits this.
    pub fn new(name: RoleName, permissions: Vec<String>, updated_at: Timestamp) -> Self {
        Self { name, permissions, updated_at }
    }
}

/// An agent of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// Whether it may act.
    pub active: bool,
    /// Counted up with each change of its policies or of itself: what was issued under an older epoch is void.
    pub policy_epoch: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Agent {
    /// An active agent as it is when it was made.
    pub fn new(name: AgentName, created_at: Timestamp) -> Self {
        Self { name, active: true, policy_epoch: 1, created_at, updated_at: created_at }
    }
}

setters! {
    Agent:
    active: bool,
    policy_epoch: u64,
    updated_at: Timestamp,
}

/// What an agent may do with which secrets, from when until when. A changed policy is a revoked one and a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// The agent.
    pub agent: AgentName,
    /// The secrets: an exact name, or a pattern in the host's words.
    pub resource: String,
    /// What is allowed: `reveal`, `use`.
    pub actions: Vec<String>,
    /// Further conditions: an object, or null.
    pub conditions: Value,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when; absent while it is in force.
    pub valid_until: Option<Timestamp>,
}

impl Policy {
    /// A policy without conditions, in force from then on.
    pub fn new(
        id: PolicyId,
        agent: AgentName,
        resource: impl Into<String>,
        actions: Vec<String>,
        valid_from: Timestamp,
    ) -> Self {
        Self { id, agent, resource: resource.into(), actions, conditions: Value::Null, valid_from, valid_until: None }
    }
}

setters! {
    Policy:
    conditions: Value,
    valid_until: into Option<Timestamp>,
}

/// A token that an agent proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The agent.
    pub agent: AgentName,
    /// The agent's policy epoch when it was issued.
    pub policy_epoch: u64,
    /// Keyed hash of the token; never the token.
    pub hash: [u8; 32],
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// A token that is not revoked.
    pub fn new(
        id: TokenId,
        agent: AgentName,
        policy_epoch: u64,
        hash: [u8; 32],
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { id, agent, policy_epoch, hash, created_at, expires_at, revoked_at: None }
    }
}

setters! {
    Token:
    revoked_at: into Option<Timestamp>,
}

/// A key that a program proves itself with for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for, in the user's words.
    pub label: String,
    /// Keyed hash of the key; never the key.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// A key that never ends and is not revoked.
    pub fn new(id: ApiKeyId, label: impl Into<String>, hash: [u8; 32], created_at: Timestamp) -> Self {
        Self { id, label: label.into(), hash, created_at, expires_at: None, revoked_at: None }
    }
}

setters! {
    ApiKey:
    expires_at: into Option<Timestamp>,
    revoked_at: into Option<Timestamp>,
}

/// A right to use a secret a number of times until a point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// The secret.
    pub secret: SecretName,
    /// The agent that holds it.
    pub agent: AgentName,
    /// How many uses are left.
    pub uses_left: u32,
    /// When it was granted.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Lease {
    /// A lease that is not revoked.
    pub fn new(
        id: LeaseId,
        secret: SecretName,
        agent: AgentName,
        uses_left: u32,
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { id, secret, agent, uses_left, created_at, expires_at, revoked_at: None }
    }
}

setters! {
    Lease:
    revoked_at: into Option<Timestamp>,
}

/// A question to a person: may this be done?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The agent that asks.
    pub agent: AgentName,
    /// What it wants to do, in the host's words.
    pub action: String,
    /// What with: anything the person needs to decide, without secrets.
    pub details: Value,
    /// Where it stands.
    pub state: ApprovalState,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When it was decided, if it was.
    pub decided_at: Option<Timestamp>,
}

impl Approval {
    /// A question without details, not decided yet.
    pub fn new(
        id: ApprovalId,
        agent: AgentName,
        action: impl Into<String>,
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            id,
            agent,
            action: action.into(),
            details: Value::Null,
            state: ApprovalState::Pending,
            created_at,
            expires_at,
            decided_at: None,
        }
    }
}

setters! {
    Approval:
    details: Value,
    state: ApprovalState,
    decided_at: into Option<Timestamp>,
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every store keeps each of them by a code of its own: one that a store forgot must not compile"
)]
pub enum ApprovalState {
    /// Not decided.
    Pending,
    /// Yes.
    Approved,
    /// No.
    Denied,
}

/// One capability granted to a tool by its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolGrant {
    /// Its id.
    pub id: ToolGrantId,
    /// The tool.
    pub tool: ToolName,
    /// Which capability: `clock`, `read_dir`, `http`.
    pub capability: String,
    /// Its parameters.
    pub parameters: Value,
    /// When it was granted.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl ToolGrant {
    /// A capability without parameters, which never ends.
    pub fn new(id: ToolGrantId, tool: ToolName, capability: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            id,
            tool,
            capability: capability.into(),
            parameters: Value::Null,
            created_at,
            expires_at: None,
            revoked_at: None,
        }
    }
}

setters! {
    ToolGrant:
    parameters: Value,
    expires_at: into Option<Timestamp>,
    revoked_at: into Option<Timestamp>,
}

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::forward::forward;
use crate::id::{AgentName, ApiKeyId, ApprovalId, LeaseId, TokenId, ToolName};
use crate::model::access::{Agent, ApiKey, Approval, Lease, Policy, Token, ToolGrant, User, UserRole};
use crate::model::spaces::Membership;
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads who may do what.
///
/// Every method fails with a [`StoreError`] only when the store itself does; absence is `None` or an empty page.
/// Pages are in the order of ids (names for agents). Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::change::AccessOp;
/// use ironclaw_core::id::AgentName;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let name = AgentName::parse("assistant")?;
/// store.apply(&ada, Change::new().with(AccessOp::PutAgent { name: name.clone(), active: true })).await?;
/// assert!(store.access().agent(&ada, &name).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Access: Send + Sync {
    /// The owner, or `None` if nothing was ever written for them, or if it is a space.
    async fn user(&self, scope: &Scope) -> Result<Option<User>, StoreError>;

    /// The roles that the owner holds, ordered by name.
    async fn roles(&self, scope: &Scope) -> Result<Vec<UserRole>, StoreError>;

    /// The memberships of the user in spaces that are in force, whatever space the scope is in.
    async fn spaces(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Membership>, StoreError>;

    /// The memberships of the scope's space that were in force at a time (ever, if absent). Those of users who were erased are
    /// gone.
    async fn members(
        &self,
        scope: &Scope,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError>;

    /// An agent, or `None`.
    async fn agent(&self, scope: &Scope, name: &AgentName) -> Result<Option<Agent>, StoreError>;

    /// The owner's agents.
    async fn agents(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Agent>, StoreError>;

    /// The policies of an agent (of all if absent) that were in force at a time (ever, if absent).
    async fn policies(
        &self,
        scope: &Scope,
        agent: Option<&AgentName>,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Policy>, StoreError>;

    /// A token, or `None`.
    async fn token(&self, scope: &Scope, id: TokenId) -> Result<Option<Token>, StoreError>;

    /// An API key, or `None`.
    async fn api_key(&self, scope: &Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;

    /// The owner's API keys.
    async fn api_keys(&self, scope: &Scope, page: &PageRequest) -> Result<Page<ApiKey>, StoreError>;

    /// A lease, or `None`.
    async fn lease(&self, scope: &Scope, id: LeaseId) -> Result<Option<Lease>, StoreError>;

    /// An approval, or `None`.
    async fn approval(&self, scope: &Scope, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// The owner's approvals.
    async fn approvals(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Approval>, StoreError>;

    /// The capabilities granted to a tool, ended ones included.
    async fn tool_grants(
        &self,
        scope: &Scope,
        tool: &ToolName,
        page: &PageRequest,
    ) -> Result<Page<ToolGrant>, StoreError>;
}

forward! {
    Access access:
    async fn user(&self, scope: &Scope) -> Result<Option<User>, StoreError>;
    async fn roles(&self, scope: &Scope) -> Result<Vec<UserRole>, StoreError>;
    async fn spaces(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Membership>, StoreError>;
    async fn members(&self, scope: &Scope, at: Option<Timestamp>, page: &PageRequest) -> Result<Page<Membership>, StoreError>;
    async fn agent(&self, scope: &Scope, name: &AgentName) -> Result<Option<Agent>, StoreError>;
    async fn agents(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Agent>, StoreError>;
    async fn policies(&self, scope: &Scope, agent: Option<&AgentName>, at: Option<Timestamp>, page: &PageRequest) -> Result<Page<Policy>, StoreError>;
    async fn token(&self, scope: &Scope, id: TokenId) -> Result<Option<Token>, StoreError>;
    async fn api_key(&self, scope: &Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;
    async fn api_keys(&self, scope: &Scope, page: &PageRequest) -> Result<Page<ApiKey>, StoreError>;
    async fn lease(&self, scope: &Scope, id: LeaseId) -> Result<Option<Lease>, StoreError>;
    async fn approval(&self, scope: &Scope, id: ApprovalId) -> Result<Option<Approval>, StoreError>;
    async fn approvals(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Approval>, StoreError>;
    async fn tool_grants(&self, scope: &Scope, tool: &ToolName, page: &PageRequest) -> Result<Page<ToolGrant>, StoreError>;
}

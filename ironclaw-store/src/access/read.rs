use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::{AgentName, ApiKeyId, ApprovalId, LeaseId, TokenId, ToolName};
use ironclaw_core::model::access::{Agent, ApiKey, Approval, Lease, Policy, Token, ToolGrant, User, UserRole};
use ironclaw_core::model::spaces::Membership;
use ironclaw_core::store::{Access, StoreError};
use ironclaw_core::{Owner, Page, PageRequest, Scope, Timestamp};

use super::codec::{self, agent_columns, api_key_columns, approval_columns, membership_columns, policy_columns};
use crate::codes;
use crate::cursor;
use crate::sql::{Categories, Engine, Freshness, Id, Query, Reach, params};

/// The memberships of the space of the tenant `?1` with the key `?2` that were in force at `?4`, from the id `?3` on.
pub(crate) const MEMBERS_OF_SPACE: &str = concat!(
    "SELECT ",
    membership_columns!(),
    " FROM ironclaw.members m JOIN ironclaw.users u ON u.owner_no = m.owner_no WHERE u.tenant = ?1 AND u.owner = ?2 \
     AND m.id >= ?3 AND (?4 IS NULL OR (m.valid_from <= ?4 AND (m.valid_until IS NULL OR m.valid_until > ?4))) \
     ORDER BY m.id LIMIT ?5"
);

#[async_trait]
impl<E: Engine> Access for Categories<E> {
    async fn user(&self, scope: &Scope) -> Result<Option<User>, StoreError> {
        let scope = Reach::User(scope.clone());
        self.0
            .read("user", scope, Freshness::Newest, (), |tx, ()| {
                async move {
                    let roles = tx
                        .query(
                            "SELECT role FROM ironclaw.user_roles WHERE owner_no = ?1 ORDER BY role",
                            params![tx.owner_no()],
                            |row| row.parsed(0),
                        )
                        .await?;
                    tx.query_row(
                    "SELECT owner_no, owner, status, created_at, updated_at FROM ironclaw.users WHERE owner_no = ?1 \
                     AND owner >= ' '",
                    params![tx.owner_no()],
                    |row| {
                        Ok(User::new(row.parsed(1)?, row.time(3)?)
                            .status(row.code(2, codes::user_status)?)
                            .roles(roles)
                            .updated_at(row.time(4)?))
                    },
                )
                .await
                }
                .boxed()
            })
            .await
    }

    async fn roles(&self, scope: &Scope) -> Result<Vec<UserRole>, StoreError> {
        let query = Query::to_decide(
            scope,
            "SELECT r.name, r.permissions, r.updated_at FROM ironclaw.user_roles h JOIN ironclaw.users u \
             ON u.owner_no = h.owner_no JOIN ironclaw.roles r ON r.tenant = u.tenant AND r.name = h.role \
             WHERE h.owner_no = ?1 ORDER BY r.name",
            params![],
            codec::role,
        );
        self.list("roles", query).await
    }

    async fn spaces(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Membership>, StoreError> {
        let after: Option<String> = cursor::after("spaces", page)?;
        let sql = concat!(
            "SELECT ",
            membership_columns!(),
            " FROM ironclaw.members m JOIN ironclaw.users u ON u.owner_no = m.owner_no AND u.tenant = m.tenant \
             WHERE m.tenant = ?1 AND m.member = ?2 AND m.valid_until IS NULL AND u.owner > ?3 ORDER BY u.owner LIMIT ?4"
        );
        // No key is empty.
        let params = params![scope.tenant().as_str(), scope.person().as_str(), after.unwrap_or_default()];
        let query = Query::of_person(scope, sql, params, codec::membership);
        self.page("spaces", page, query, |membership| Owner::from(membership.space.clone()).key().into_owned()).await
    }

    async fn members(
        &self,
        scope: &Scope,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("members", page)?;
        // In a user's own place there is no space of the key.
        let key = scope.space().map(|_| scope.owner().key().into_owned());
        let params = params![scope.tenant().as_str(), key, Id(&cursor::from(after)), at];
        let query = Query::to_decide(scope, MEMBERS_OF_SPACE, params, codec::membership).without_owner();
        self.page("members", page, query, |membership| *membership.id.as_bytes()).await
    }

    async fn agent(&self, scope: &Scope, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        let sql = concat!("SELECT ", agent_columns!(), " FROM ironclaw.agents WHERE owner_no = ?1 AND name = ?2");
        self.find("agent", Query::to_decide(scope, sql, params![name.as_str()], codec::agent)).await
    }

    async fn agents(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        let after: Option<String> = cursor::after("agents", page)?;
        let sql = concat!(
            "SELECT ",
            agent_columns!(),
            " FROM ironclaw.agents WHERE owner_no = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
        );
        // No name is empty.
        let query = Query::to_decide(scope, sql, params![after.unwrap_or_default()], codec::agent);
        self.page("agents", page, query, |agent| agent.name.as_str().to_owned()).await
    }

    async fn policies(
        &self,
        scope: &Scope,
        agent: Option<&AgentName>,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Policy>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("policies", page)?;
        let (sql, filter) = match agent {
            Some(agent) => (
                concat!(
                    "SELECT ",
                    policy_columns!(),
                    " FROM ironclaw.policies WHERE owner_no = ?1 AND id >= ?2 AND (?3 IS NULL \
                     OR (valid_from <= ?3 AND (valid_until IS NULL OR valid_until > ?3))) AND agent = ?4 \
                     ORDER BY id LIMIT ?5"
                ),
                params![agent.as_str()],
            ),
            None => (
                concat!(
                    "SELECT ",
                    policy_columns!(),
                    " FROM ironclaw.policies WHERE owner_no = ?1 AND id >= ?2 AND (?3 IS NULL \
                     OR (valid_from <= ?3 AND (valid_until IS NULL OR valid_until > ?3))) ORDER BY id LIMIT ?4"
                ),
                params![],
            ),
        };
        let mut params = params![Id(&cursor::from(after)), at];
        params.extend(filter);
        let query = Query::to_decide(scope, sql, params, codec::policy);
        self.page("policies", page, query, |policy| *policy.id.as_bytes()).await
    }

    async fn token(&self, scope: &Scope, id: TokenId) -> Result<Option<Token>, StoreError> {
        let query = Query::to_decide(
            scope,
            "SELECT id, agent, policy_epoch, hash, created_at, expires_at, revoked_at FROM ironclaw.tokens \
             WHERE owner_no = ?1 AND id = ?2",
            params![Id(id.as_bytes())],
            codec::token,
        );
        self.find("token", query).await
    }

    async fn api_key(&self, scope: &Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let sql = concat!("SELECT ", api_key_columns!(), " FROM ironclaw.api_keys WHERE owner_no = ?1 AND id = ?2");
        self.find("api_key", Query::to_decide(scope, sql, params![Id(id.as_bytes())], codec::api_key)).await
    }

    async fn api_keys(&self, scope: &Scope, page: &PageRequest) -> Result<Page<ApiKey>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("api_keys", page)?;
        let sql = concat!(
            "SELECT ",
            api_key_columns!(),
            " FROM ironclaw.api_keys WHERE owner_no = ?1 AND id >= ?2 ORDER BY id LIMIT ?3"
        );
        let query = Query::to_decide(scope, sql, params![Id(&cursor::from(after))], codec::api_key);
        self.page("api_keys", page, query, |key| *key.id.as_bytes()).await
    }

    async fn lease(&self, scope: &Scope, id: LeaseId) -> Result<Option<Lease>, StoreError> {
        let query = Query::to_decide(
            scope,
            "SELECT id, secret, agent, uses_left, created_at, expires_at, revoked_at FROM ironclaw.leases \
             WHERE owner_no = ?1 AND id = ?2",
            params![Id(id.as_bytes())],
            codec::lease,
        );
        self.find("lease", query).await
    }

    async fn approval(&self, scope: &Scope, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let sql = concat!("SELECT ", approval_columns!(), " FROM ironclaw.approvals WHERE owner_no = ?1 AND id = ?2");
        self.find("approval", Query::to_decide(scope, sql, params![Id(id.as_bytes())], codec::approval)).await
    }

    async fn approvals(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Approval>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("approvals", page)?;
        let sql = concat!(
            "SELECT ",
            approval_columns!(),
            " FROM ironclaw.approvals WHERE owner_no = ?1 AND id >= ?2 ORDER BY id LIMIT ?3"
        );
        let query = Query::to_decide(scope, sql, params![Id(&cursor::from(after))], codec::approval);
        self.page("approvals", page, query, |approval| *approval.id.as_bytes()).await
    }

    async fn tool_grants(
        &self,
        scope: &Scope,
        tool: &ToolName,
        page: &PageRequest,
    ) -> Result<Page<ToolGrant>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("tool_grants", page)?;
        let query = Query::to_decide(
            scope,
            "SELECT id, tool, capability, parameters, created_at, expires_at, revoked_at FROM ironclaw.tool_grants \
             WHERE owner_no = ?1 AND tool = ?2 AND id >= ?3 ORDER BY id LIMIT ?4",
            params![tool.as_str(), Id(&cursor::from(after))],
            codec::tool_grant,
        );
        self.page("tool_grants", page, query, |grant| *grant.id.as_bytes()).await
    }
}

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::{AgentName, ApiKeyId, ApprovalId, LeaseId, TokenId, ToolName};
use ironclaw_core::model::access::{Agent, ApiKey, Approval, Lease, Policy, Token, ToolGrant, User, UserRole};
use ironclaw_core::store::{Access, StoreError};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};

use super::codec::{self, agent_columns, api_key_columns, approval_columns, policy_columns};
use crate::codes;
use crate::cursor;
use crate::sql::{Categories, Engine, Id, params};

#[async_trait]
impl<E: Engine> Access for Categories<E> {
    async fn user(&self, scope: &Scope) -> Result<Option<User>, StoreError> {
        self.read_to_decide("user", scope, (), |tx, ()| {
            async move {
                let roles = tx
                    .query(
                        "SELECT role FROM ironclaw.user_roles WHERE owner_no = ?1 ORDER BY role",
                        params![tx.owner_no()],
                        |row| row.parsed(0),
                    )
                    .await?;
                tx.query_row(
                    "SELECT owner_no, owner, status, created_at, updated_at FROM ironclaw.users WHERE owner_no = ?1",
                    params![tx.owner_no()],
                    |row| {
                        Ok(User {
                            id: row.parsed(1)?,
                            status: row.code(2, codes::user_status)?,
                            roles,
                            created_at: row.time(3)?,
                            updated_at: row.time(4)?,
                        })
                    },
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn roles(&self, scope: &Scope) -> Result<Vec<UserRole>, StoreError> {
        self.read_to_decide("roles", scope, (), |tx, ()| {
            async move {
                tx.query(
                    "SELECT r.name, r.permissions, r.updated_at FROM ironclaw.user_roles h JOIN ironclaw.users u \
                     ON u.owner_no = h.owner_no JOIN ironclaw.roles r ON r.tenant = u.tenant AND r.name = h.role \
                     WHERE h.owner_no = ?1 ORDER BY r.name",
                    params![tx.owner_no()],
                    codec::role,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn agent(&self, scope: &Scope, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        let name = name.clone();
        self.read_to_decide("agent", scope, name, |tx, name| {
            async move {
                tx.query_row(
                    concat!("SELECT ", agent_columns!(), " FROM ironclaw.agents WHERE owner_no = ?1 AND name = ?2"),
                    params![tx.owner_no(), name.as_str()],
                    codec::agent,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn agents(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        let page = page.clone();
        let after: Option<String> = cursor::after("agents", &page)?;
        self.read_to_decide("agents", scope, (after, page), |tx, (after, page)| {
            async move {
                let agents = tx
                    .query(
                        concat!(
                            "SELECT ",
                            agent_columns!(),
                            " FROM ironclaw.agents WHERE owner_no = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
                        ),
                        // No name is empty.
                        params![tx.owner_no(), after.as_deref().unwrap_or_default(), cursor::rows(&page)],
                        codec::agent,
                    )
                    .await?;
                Ok(cursor::page(&page, agents, |agent| agent.name.as_str().to_owned()))
            }
            .boxed()
        })
        .await
    }

    async fn policies(
        &self,
        scope: &Scope,
        agent: Option<&AgentName>,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Policy>, StoreError> {
        let (agent, page) = (agent.cloned(), page.clone());
        let after: Option<[u8; 16]> = cursor::after("policies", &page)?;
        self.read_to_decide("policies", scope, (agent, after, at, page), |tx, (agent, after, at, page)| {
            async move {
                let (sql, filter) = match &agent {
                    Some(agent) => (
                        concat!(
                            "SELECT ",
                            policy_columns!(),
                            " FROM ironclaw.policies WHERE owner_no = ?1 AND id >= ?2 AND (?3 IS NULL \
                             OR (valid_from <= ?3 AND (valid_until IS NULL OR valid_until > ?3))) AND agent = ?5 \
                             ORDER BY id LIMIT ?4"
                        ),
                        params![agent.as_str()],
                    ),
                    None => (
                        concat!(
                            "SELECT ",
                            policy_columns!(),
                            " FROM ironclaw.policies WHERE owner_no = ?1 AND id >= ?2 AND (?3 IS NULL \
                             OR (valid_from <= ?3 AND (valid_until IS NULL OR valid_until > ?3))) ORDER BY id \
                             LIMIT ?4"
                        ),
                        params![],
                    ),
                };
                let mut params = params![tx.owner_no(), Id(&cursor::from(after)), at, cursor::rows(&page)];
                params.extend(filter);
                let policies = tx.query(sql, params, codec::policy).await?;
                Ok(cursor::page(&page, policies, |policy| *policy.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }

    async fn token(&self, scope: &Scope, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.read_to_decide("token", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    "SELECT id, agent, policy_epoch, hash, created_at, expires_at, revoked_at FROM ironclaw.tokens \
                     WHERE owner_no = ?1 AND id = ?2",
                    params![tx.owner_no(), Id(id.as_bytes())],
                    codec::token,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn api_key(&self, scope: &Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read_to_decide("api_key", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    concat!("SELECT ", api_key_columns!(), " FROM ironclaw.api_keys WHERE owner_no = ?1 AND id = ?2"),
                    params![tx.owner_no(), Id(id.as_bytes())],
                    codec::api_key,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn api_keys(&self, scope: &Scope, page: &PageRequest) -> Result<Page<ApiKey>, StoreError> {
        let page = page.clone();
        let after: Option<[u8; 16]> = cursor::after("api_keys", &page)?;
        self.read_to_decide("api_keys", scope, (after, page), |tx, (after, page)| {
            async move {
                let keys = tx
                    .query(
                        concat!(
                            "SELECT ",
                            api_key_columns!(),
                            " FROM ironclaw.api_keys WHERE owner_no = ?1 AND id >= ?2 ORDER BY id LIMIT ?3"
                        ),
                        params![tx.owner_no(), Id(&cursor::from(after)), cursor::rows(&page)],
                        codec::api_key,
                    )
                    .await?;
                Ok(cursor::page(&page, keys, |key| *key.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }

    async fn lease(&self, scope: &Scope, id: LeaseId) -> Result<Option<Lease>, StoreError> {
        self.read_to_decide("lease", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    "SELECT id, secret, agent, uses_left, created_at, expires_at, revoked_at FROM ironclaw.leases \
                     WHERE owner_no = ?1 AND id = ?2",
                    params![tx.owner_no(), Id(id.as_bytes())],
                    codec::lease,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn approval(&self, scope: &Scope, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.read_to_decide("approval", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    concat!("SELECT ", approval_columns!(), " FROM ironclaw.approvals WHERE owner_no = ?1 AND id = ?2"),
                    params![tx.owner_no(), Id(id.as_bytes())],
                    codec::approval,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn approvals(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Approval>, StoreError> {
        let page = page.clone();
        let after: Option<[u8; 16]> = cursor::after("approvals", &page)?;
        self.read_to_decide("approvals", scope, (after, page), |tx, (after, page)| {
            async move {
                let approvals = tx
                    .query(
                        concat!(
                            "SELECT ",
                            approval_columns!(),
                            " FROM ironclaw.approvals WHERE owner_no = ?1 AND id >= ?2 ORDER BY id LIMIT ?3"
                        ),
                        params![tx.owner_no(), Id(&cursor::from(after)), cursor::rows(&page)],
                        codec::approval,
                    )
                    .await?;
                Ok(cursor::page(&page, approvals, |approval| *approval.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }

    async fn tool_grants(
        &self,
        scope: &Scope,
        tool: &ToolName,
        page: &PageRequest,
    ) -> Result<Page<ToolGrant>, StoreError> {
        let (tool, page) = (tool.clone(), page.clone());
        let after: Option<[u8; 16]> = cursor::after("tool_grants", &page)?;
        self.read_to_decide("tool_grants", scope, (tool, after, page), |tx, (tool, after, page)| {
            async move {
                let grants = tx
                    .query(
                        "SELECT id, tool, capability, parameters, created_at, expires_at, revoked_at \
                         FROM ironclaw.tool_grants WHERE owner_no = ?1 AND tool = ?2 AND id >= ?3 ORDER BY id \
                         LIMIT ?4",
                        params![tx.owner_no(), tool.as_str(), Id(&cursor::from(after)), cursor::rows(&page)],
                        codec::tool_grant,
                    )
                    .await?;
                Ok(cursor::page(&page, grants, |grant| *grant.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }
}

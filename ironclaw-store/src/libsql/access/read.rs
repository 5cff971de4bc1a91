use async_trait::async_trait;
use ironclaw_core::id::{AgentName, ApiKeyId, ApprovalId, LeaseId, TokenId, ToolName};
use ironclaw_core::model::access::{Agent, ApiKey, Approval, Lease, Policy, Token, ToolGrant, User, UserRole};
use ironclaw_core::store::{Access, StoreError};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};

use super::codec::{self, agent_columns, api_key_columns, approval_columns, policy_columns};
use crate::codes;
use crate::libsql::LibsqlStore;
use crate::libsql::cursor;
use crate::libsql::row::params;

#[async_trait]
impl Access for LibsqlStore {
    async fn user(&self, scope: &Scope) -> Result<Option<User>, StoreError> {
        self.read("user", scope, |tx| {
            let roles = tx.db.query(
                "SELECT role FROM user_roles WHERE owner_no = ?1 ORDER BY role",
                params![tx.owner_no],
                |row| row.parsed(0),
            )?;
            tx.db.query_row(
                "SELECT owner_no, owner, status, created_at, updated_at FROM users WHERE owner_no = ?1",
                params![tx.owner_no],
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
        })
        .await
    }

    async fn roles(&self, scope: &Scope) -> Result<Vec<UserRole>, StoreError> {
        self.read("roles", scope, |tx| {
            tx.db.query(
                "SELECT r.name, r.permissions, r.updated_at FROM user_roles h JOIN users u ON u.owner_no = h.owner_no \
                 JOIN roles r ON r.tenant = u.tenant AND r.name = h.role WHERE h.owner_no = ?1 ORDER BY r.name",
                params![tx.owner_no],
                codec::role,
            )
        })
        .await
    }

    async fn agent(&self, scope: &Scope, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        let name = name.clone();
        self.read("agent", scope, move |tx| {
            tx.db.query_row(
                concat!("SELECT ", agent_columns!(), " FROM agents WHERE owner_no = ?1 AND name = ?2"),
                params![tx.owner_no, name.as_str()],
                codec::agent,
            )
        })
        .await
    }

    async fn agents(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        let page = page.clone();
        let after: Option<String> = cursor::after("agents", &page)?;
        self.read("agents", scope, move |tx| {
            let agents = tx.db.query(
                concat!(
                    "SELECT ",
                    agent_columns!(),
                    " FROM agents WHERE owner_no = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
                ),
                // No name is empty.
                params![tx.owner_no, after.as_deref().unwrap_or_default(), cursor::rows(&page)],
                codec::agent,
            )?;
            Ok(cursor::page(&page, agents, |agent| agent.name.as_str().to_owned()))
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
        let after = cursor::after("policies", &page)?;
        self.read("policies", scope, move |tx| {
            let policies = match &agent {
                Some(agent) => tx.db.query(
                    concat!(
                        "SELECT ",
                        policy_columns!(),
                        " FROM policies WHERE owner_no = ?1 AND agent = ?2 AND id > ?3 AND (?4 IS NULL OR \
                         (valid_from <= ?4 AND (valid_until IS NULL OR valid_until > ?4))) ORDER BY id LIMIT ?5"
                    ),
                    params![tx.owner_no, agent.as_str(), cursor::from(after), at, cursor::rows(&page)],
                    codec::policy,
                ),
                None => tx.db.query(
                    concat!(
                        "SELECT ",
                        policy_columns!(),
                        " FROM policies WHERE owner_no = ?1 AND id > ?2 AND (?3 IS NULL OR \
                         (valid_from <= ?3 AND (valid_until IS NULL OR valid_until > ?3))) ORDER BY id LIMIT ?4"
                    ),
                    params![tx.owner_no, cursor::from(after), at, cursor::rows(&page)],
                    codec::policy,
                ),
            }?;
            Ok(cursor::page(&page, policies, |policy| *policy.id.as_bytes()))
        })
        .await
    }

    async fn token(&self, scope: &Scope, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.read("token", scope, move |tx| {
            tx.db.query_row(
                "SELECT id, agent, policy_epoch, hash, created_at, expires_at, revoked_at FROM tokens \
                 WHERE owner_no = ?1 AND id = ?2",
                params![tx.owner_no, id.as_bytes()],
                codec::token,
            )
        })
        .await
    }

    async fn api_key(&self, scope: &Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read("api_key", scope, move |tx| {
            tx.db.query_row(
                concat!("SELECT ", api_key_columns!(), " FROM api_keys WHERE owner_no = ?1 AND id = ?2"),
                params![tx.owner_no, id.as_bytes()],
                codec::api_key,
            )
        })
        .await
    }

    async fn api_keys(&self, scope: &Scope, page: &PageRequest) -> Result<Page<ApiKey>, StoreError> {
        let page = page.clone();
        let after = cursor::after("api_keys", &page)?;
        self.read("api_keys", scope, move |tx| {
            let keys = tx.db.query(
                concat!(
                    "SELECT ",
                    api_key_columns!(),
                    " FROM api_keys WHERE owner_no = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
                ),
                params![tx.owner_no, cursor::from(after), cursor::rows(&page)],
                codec::api_key,
            )?;
            Ok(cursor::page(&page, keys, |key| *key.id.as_bytes()))
        })
        .await
    }

    async fn lease(&self, scope: &Scope, id: LeaseId) -> Result<Option<Lease>, StoreError> {
        self.read("lease", scope, move |tx| {
            tx.db.query_row(
                "SELECT id, secret, agent, uses_left, created_at, expires_at, revoked_at FROM leases \
                 WHERE owner_no = ?1 AND id = ?2",
                params![tx.owner_no, id.as_bytes()],
                codec::lease,
            )
        })
        .await
    }

    async fn approval(&self, scope: &Scope, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.read("approval", scope, move |tx| {
            tx.db.query_row(
                concat!("SELECT ", approval_columns!(), " FROM approvals WHERE owner_no = ?1 AND id = ?2"),
                params![tx.owner_no, id.as_bytes()],
                codec::approval,
            )
        })
        .await
    }

    async fn approvals(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Approval>, StoreError> {
        let page = page.clone();
        let after = cursor::after("approvals", &page)?;
        self.read("approvals", scope, move |tx| {
            let approvals = tx.db.query(
                concat!(
                    "SELECT ",
                    approval_columns!(),
                    " FROM approvals WHERE owner_no = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
                ),
                params![tx.owner_no, cursor::from(after), cursor::rows(&page)],
                codec::approval,
            )?;
            Ok(cursor::page(&page, approvals, |approval| *approval.id.as_bytes()))
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
        let after = cursor::after("tool_grants", &page)?;
        self.read("tool_grants", scope, move |tx| {
            let grants = tx.db.query(
                "SELECT id, tool, capability, parameters, created_at, expires_at, revoked_at FROM tool_grants \
                 WHERE owner_no = ?1 AND tool = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
                params![tx.owner_no, tool.as_str(), cursor::from(after), cursor::rows(&page)],
                codec::tool_grant,
            )?;
            Ok(cursor::page(&page, grants, |grant| *grant.id.as_bytes()))
        })
        .await
    }
}

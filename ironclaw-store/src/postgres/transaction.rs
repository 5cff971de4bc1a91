//! What the categories ask of a transaction of this engine.

use async_trait::async_trait;
use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{ConversationId, ErasureId, JobId, TenantId, UserId};
use ironclaw_core::model::conversations::{MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Owner, Timestamp};

use super::row::arguments;
use super::text::numbered;
use super::tx::Tx;
use super::{audit, conversations, privacy, removal, workspace};
use crate::prepared::PreparedEvent;
use crate::sql::{self, Standing, Take, Transaction};

#[async_trait]
impl Transaction for Tx {
    async fn execute(&self, sql: &'static str, params: sql::Params) -> Result<u64, StoreError> {
        Tx::execute(self, numbered(sql), arguments(params)).await
    }

    async fn for_each(&self, sql: &'static str, params: sql::Params, take: Take<'_>) -> Result<(), StoreError> {
        self.query(numbered(sql), arguments(params), |row| take(row)).await.map(drop)
    }

    fn owner_no(&self) -> i64 {
        Tx::owner_no(self)
    }

    fn content_no(&self) -> i64 {
        Tx::owner_no(self)
    }

    fn standing(&self) -> Standing {
        Tx::standing(self)
    }

    fn now(&self) -> Timestamp {
        Tx::now(self)
    }

    fn operation(&self) -> &'static str {
        Tx::operation(self)
    }

    async fn is_held(&self) -> Result<bool, StoreError> {
        Ok(Tx::is_held(self))
    }

    async fn delete_job(&self, id: JobId) -> Result<u64, StoreError> {
        self.take_time().await?;
        removal::delete_job(self, Tx::owner_no(self), id).await
    }

    async fn delete_conversation(&self, id: ConversationId) -> Result<u64, StoreError> {
        self.take_time().await?;
        conversations::delete(self, Tx::owner_no(self), id).await
    }

    async fn forget(&self) -> Result<u64, StoreError> {
        self.take_time().await?;
        privacy::forget(self).await
    }

    async fn append_message(
        &self,
        conversation: ConversationId,
        message: &NewMessage,
        terms: Option<&Terms>,
    ) -> Result<Option<u64>, StoreError> {
        conversations::append(self, conversation, message, terms).await
    }

    async fn search_messages(&self, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError> {
        conversations::search(self, query, limit).await
    }

    async fn apply_to_workspace(&self, op: &WorkspaceOp, terms: &[Terms]) -> Result<u64, StoreError> {
        workspace::apply(self, op, terms).await
    }

    async fn lock_user(&self, tenant: &TenantId, user: &UserId) -> Result<i64, StoreError> {
        Tx::lock_user(self, tenant, user).await.map(|entered| entered.owner_no)
    }

    async fn append_system(&self, operator: &str, about: Option<i64>, event: PreparedEvent) -> Result<(), StoreError> {
        audit::append_system(self, operator, about, event).await
    }

    async fn erase_user(
        &self,
        _: &str,
        tenant: &TenantId,
        owner: &Owner,
        id: ErasureId,
        rows: u64,
    ) -> Result<Option<u64>, StoreError> {
        privacy::erase_user(self, tenant, owner, id, rows).await.map(Some)
    }
}

//! What the categories ask of a transaction of this engine.

use async_trait::async_trait;
use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{ConversationId, ErasureId, JobId, TenantId, UserId};
use ironclaw_core::model::conversations::{MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Owner, Timestamp};

use super::row::values;
use super::tx::Tx;
use super::{audit, conversations, privacy, removal, remove, users, workspace};
use crate::prepared::PreparedEvent;
use crate::sql::{Params, Standing, Take, Transaction};

/// SQLite is done when its calls return, so nothing here ever waits.
#[async_trait]
impl Transaction for Tx<'_> {
    async fn execute(&self, sql: &'static str, params: Params) -> Result<u64, StoreError> {
        self.db.execute(sql, values(params))
    }

    async fn for_each(&self, sql: &'static str, params: Params, take: Take<'_>) -> Result<(), StoreError> {
        self.db.for_each(sql, values(params), |row| take(row))
    }

    fn owner_no(&self) -> i64 {
        self.owner_no
    }

    fn content_no(&self) -> i64 {
        Tx::content_no(self)
    }

    fn standing(&self) -> Standing {
        self.standing
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn operation(&self) -> &'static str {
        self.db.operation()
    }

    async fn is_held(&self) -> Result<bool, StoreError> {
        Tx::is_held(self)
    }

    async fn delete_job(&self, id: JobId) -> Result<u64, StoreError> {
        remove::delete(self, removal::Kind::Job, *id.as_bytes())
    }

    async fn delete_conversation(&self, id: ConversationId) -> Result<u64, StoreError> {
        remove::delete(self, removal::Kind::Conversation, *id.as_bytes())
    }

    async fn forget(&self) -> Result<u64, StoreError> {
        privacy::forget(self)
    }

    async fn append_message(
        &self,
        conversation: ConversationId,
        message: &NewMessage,
        terms: Option<&Terms>,
    ) -> Result<Option<u64>, StoreError> {
        conversations::append(self, conversation, message, terms)
    }

    async fn search_messages(&self, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError> {
        conversations::search(self, query, limit)
    }

    async fn apply_to_workspace(&self, op: &WorkspaceOp, terms: &[Terms]) -> Result<u64, StoreError> {
        workspace::apply(self, op, terms)
    }

    async fn forgotten_until(&self, owner_no: i64) -> Result<u64, StoreError> {
        removal::forgotten_until(self.db, owner_no)
    }

    async fn lock_user(&self, tenant: &TenantId, user: &UserId) -> Result<i64, StoreError> {
        users::find_or_make(self.db, tenant.as_str(), user.as_str(), self.now).map(|user| user.owner_no)
    }

    async fn append_system(&self, operator: &str, about: Option<i64>, event: PreparedEvent) -> Result<(), StoreError> {
        audit::append_to_system(self.db, operator, &event, about, self.now)
    }

    async fn erase_user(
        &self,
        operator: &str,
        tenant: &TenantId,
        owner: &Owner,
        id: ErasureId,
        rows: u64,
    ) -> Result<Option<u64>, StoreError> {
        privacy::erase(self.db, operator, (tenant, owner), id, rows, self.now)
    }
}

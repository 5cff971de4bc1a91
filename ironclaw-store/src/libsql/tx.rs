//! What the categories see of a transaction.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{ConversationId, ErasureId, JobId, TenantId, UserId};
use ironclaw_core::model::conversations::{MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};

use super::db::Db;
use super::locked::Locked;
use super::row::{params, values};
use super::users::{self, Numbers};
use super::{audit, conversations, privacy, removal, workspace};
use crate::prepared::PreparedEvent;
use crate::sql::{Params, Take, Transaction};

/// One user's part of a transaction.
pub(super) struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) db: &'a Db,
    /// The user: it stands for tenant and owner in every key.
    pub(super) owner_no: i64,
    /// The same for conversations, jobs, workspace and receipts. Forgetting changes it.
    content_no: Locked<i64>,
    /// The time that the change's rows carry.
    pub(super) now: Timestamp,
    /// What is accepted.
    pub(super) limits: &'a Limits,
    held: Locked<Option<bool>>,
    /// The removal that forgetting began and could not end.
    forgetting: Locked<Option<i64>>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(db: &'a Db, user: Numbers, now: Timestamp, limits: &'a Limits) -> Self {
        let Numbers { owner_no, content_no } = user;
        let (content_no, held, forgetting) = (Locked::new(content_no), Locked::default(), Locked::default());
        Self { db, owner_no, content_no, now, limits, held, forgetting }
    }

    /// The transaction of an operator, or of what is no user's.
    pub(super) fn of_all(db: &'a Db, now: Timestamp, limits: &'a Limits) -> Self {
        Self::new(db, Numbers { owner_no: 0, content_no: 0 }, now, limits)
    }

    /// The number that the user's conversations, jobs, workspace and receipts are kept under.
    pub(super) fn content_no(&self) -> i64 {
        self.content_no.get()
    }

    /// Goes on under another number for content, while a removal takes what is under the old one.
    pub(super) fn forget(&self, content_no: i64, removal_no: i64) {
        self.content_no.set(content_no);
        self.forgetting.set(Some(removal_no));
    }

    /// The removal of what the change forgets, if that is not done yet.
    pub(super) fn forgetting(&self) -> Option<i64> {
        self.forgetting.get()
    }

    /// Whether a legal hold stands on the user.
    pub(super) fn is_held(&self) -> Result<bool, StoreError> {
        if let Some(held) = self.held.get() {
            return Ok(held);
        }
        let held = self.db.number(
            "SELECT EXISTS (SELECT 1 FROM holds WHERE owner_no = ?1 AND released_at IS NULL)",
            params![self.owner_no],
        )? != 0;
        self.held.set(Some(held));
        Ok(held)
    }

    /// Refuses to delete or overwrite what a legal hold protects. Whatever loses a value calls this first.
    pub(super) fn check_not_held(&self) -> Result<(), StoreError> {
        if self.is_held()? {
            return Err(self.error(StoreErrorKind::LegalHold, "ask the operator to release the hold first"));
        }
        Ok(())
    }

    /// An error of this kind in the operation that is under way.
    pub(super) fn error(&self, kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        self.db.error(kind, context)
    }

    /// Says that what the change is about is not there.
    pub(super) fn not_found(&self, what: &str) -> StoreError {
        self.error(StoreErrorKind::NotFound, what)
    }

    /// Says that the change came too late.
    pub(super) fn conflict(&self, why: &str) -> StoreError {
        self.error(StoreErrorKind::Conflict, why)
    }
}

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
        self.content_no.get()
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
        removal::delete(self, removal::Kind::Job, *id.as_bytes())
    }

    async fn delete_conversation(&self, id: ConversationId) -> Result<u64, StoreError> {
        removal::delete(self, removal::Kind::Conversation, *id.as_bytes())
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

    async fn lock_user(&self, tenant: &TenantId, owner: &UserId) -> Result<i64, StoreError> {
        users::find_or_make(self.db, tenant.as_str(), owner.as_str(), self.now).map(|user| user.owner_no)
    }

    async fn append_system(&self, operator: &str, about: Option<i64>, event: PreparedEvent) -> Result<(), StoreError> {
        audit::append_to_system(self.db, operator, &event, about, self.now)
    }

    async fn erase_user(
        &self,
        operator: &str,
        tenant: &TenantId,
        owner: &UserId,
        id: ErasureId,
    ) -> Result<Option<u64>, StoreError> {
        privacy::erase(self.db, operator, tenant, owner, id, self.now)
    }
}

/// What is asked of a transaction of this engine, which is done when it is first asked.
pub(super) fn at_once<T>(tx: &Tx<'_>, done: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let waiting = || tx.error(StoreErrorKind::Internal, "a call of a local database had to wait");
    done.now_or_never().unwrap_or_else(|| Err(waiting()))
}

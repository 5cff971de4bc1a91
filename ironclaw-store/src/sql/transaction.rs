//! An open transaction, whichever engine it is of.

use async_trait::async_trait;
use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{ConversationId, ErasureId, JobId, TenantId, UserId};
use ironclaw_core::model::conversations::{MessageHit, NewMessage};
use ironclaw_core::search::{Terms, TextQuery};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Owner, Timestamp};

use super::{Params, Row, Standing};
use crate::prepared::PreparedEvent;

/// What takes the rows of a query, one after the other.
pub(crate) type Take<'a> = &'a mut (dyn FnMut(&dyn Row) -> Result<(), StoreError> + Send);

/// An open transaction in the scope of one user, or an operator's.
///
/// Statements are texts of the program. Each engine makes its own of them, once: `?1` is the first parameter, `ironclaw.`
/// the schema, `ironclaw.visible_…` a table without what is being removed little by little, and `FOR NO KEY UPDATE`,
/// `FOR SHARE` or `FOR KEY SHARE` at the end locks the rows.
#[async_trait]
pub(crate) trait Transaction: Send + Sync {
    /// Runs a statement that gives no rows. How many rows it inserted, changed or deleted.
    async fn execute(&self, sql: &'static str, params: Params) -> Result<u64, StoreError>;

    /// Runs a statement and hands out each of its rows.
    async fn for_each(&self, sql: &'static str, params: Params, take: Take<'_>) -> Result<(), StoreError>;

    /// The user's number: it stands for tenant and owner in every key. 0 for an operator.
    fn owner_no(&self) -> i64;

    /// The number that the user's conversations, jobs, workspace and receipts are kept under.
    fn content_no(&self) -> i64;

    /// As what whoever writes is in the place that they write in.
    fn standing(&self) -> Standing;

    /// The time that the change's rows carry.
    fn now(&self) -> Timestamp;

    /// The operation that is under way, for errors.
    fn operation(&self) -> &'static str;

    /// Whether a legal hold stands on the user.
    async fn is_held(&self) -> Result<bool, StoreError>;

    /// Deletes a job with all in it: 1 if it was there, otherwise 0. What is too much for one transaction is hidden by
    /// it, and removed later.
    async fn delete_job(&self, id: JobId) -> Result<u64, StoreError>;

    /// Deletes a conversation with its messages and jobs in the same way.
    async fn delete_conversation(&self, id: ConversationId) -> Result<u64, StoreError>;

    /// Deletes conversations, jobs, workspace and receipts of the user in the same way, and the private parts of the
    /// events about them. How many rows, if that is all.
    async fn forget(&self) -> Result<u64, StoreError>;

    /// Appends a message to a conversation, with the terms that it is found by, if it is one that is searched. Its place;
    /// `None` if the conversation is not there.
    async fn append_message(
        &self,
        conversation: ConversationId,
        message: &NewMessage,
        terms: Option<&Terms>,
    ) -> Result<Option<u64>, StoreError>;

    /// The messages that fit a query best; equal scores newest first.
    async fn search_messages(&self, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError>;

    /// Applies one operation on the workspace, with the terms of its texts; the number is the operation's in the receipt.
    async fn apply_to_workspace(&self, op: &WorkspaceOp, terms: &[Terms]) -> Result<u64, StoreError>;

    /// Up to which event of a chain what is forgotten is still being removed; 0 if nothing is.
    async fn forgotten_until(&self, _owner_no: i64) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Locks a user in an operator's transaction until the transaction ends, who is made known if they are not. Their
    /// number.
    async fn lock_user(&self, tenant: &TenantId, user: &UserId) -> Result<i64, StoreError>;

    /// Appends an event to the system's chain. `about` is the user whom its private part names, if it names one.
    async fn append_system(&self, operator: &str, about: Option<i64>, event: PreparedEvent) -> Result<(), StoreError>;

    /// Erases a user or a space on which no hold stands, in an operator's transaction. How many rows, if that is all; otherwise
    /// the rest is hidden, and goes later. `rows` went before.
    async fn erase_user(
        &self,
        operator: &str,
        tenant: &TenantId,
        owner: &Owner,
        id: ErasureId,
        rows: u64,
    ) -> Result<Option<u64>, StoreError>;
}

impl<'t> dyn Transaction + 't {
    /// All rows of a query, each read by `read`.
    pub(crate) async fn query<T: Send>(
        &self,
        sql: &'static str,
        params: Params,
        mut read: impl FnMut(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        self.for_each(sql, params, &mut |row| {
            items.push(read(row)?);
            Ok(())
        })
        .await?;
        Ok(items)
    }

    /// The first row of a query, or `None`. It should be the only one: all others are fetched too.
    pub(crate) async fn query_row<T: Send>(
        &self,
        sql: &'static str,
        params: Params,
        read: impl FnOnce(&dyn Row) -> Result<T, StoreError> + Send,
    ) -> Result<Option<T>, StoreError> {
        let (mut read, mut found) = (Some(read), None);
        self.for_each(sql, params, &mut |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// The number in the one row of a query; 0 if there is no row.
    pub(crate) async fn number(&self, sql: &'static str, params: Params) -> Result<i64, StoreError> {
        Ok(self.query_row(sql, params, |row| row.i64(0)).await?.unwrap_or_default())
    }

    /// Refuses to delete or overwrite what a legal hold protects. Whatever loses a value calls this first.
    pub(crate) async fn check_not_held(&self) -> Result<(), StoreError> {
        match self.is_held().await? {
            true => Err(self.error(StoreErrorKind::LegalHold, "ask the operator to release the hold first")),
            false => Ok(()),
        }
    }

    /// An error of this kind in the operation that is under way.
    pub(crate) fn error(&self, kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        StoreError::new(kind, self.operation(), context)
    }

    /// Says that what the change is about is not there.
    pub(crate) fn not_found(&self, what: &str) -> StoreError {
        self.error(StoreErrorKind::NotFound, what)
    }

    /// Says that the change came too late.
    pub(crate) fn conflict(&self, why: &str) -> StoreError {
        self.error(StoreErrorKind::Conflict, why)
    }
}

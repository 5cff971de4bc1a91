use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::id::ConversationId;
use crate::model::conversations::{Conversation, Message, MessageHit};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::search::TextQuery;

/// Reads conversations and their messages.
///
/// Every method fails with a [`StoreError`] only when the store itself does; absence is `None` or an empty page.
/// Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::Limits;
/// use ironclaw_core::id::{ConversationId, MessageId};
/// use ironclaw_core::model::conversations::{NewMessage, Role};
/// use ironclaw_core::prelude::*;
/// use ironclaw_core::search::TextQuery;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let id = ConversationId::make(&SystemClock);
/// store.create_conversation(&ada, id, "Launch").await?;
/// let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "We launch on Friday.");
/// store.append_message(&ada, id, message).await?;
///
/// let query = TextQuery::new("When do we launch?", &Limits::default());
/// let hits = store.conversations().search_messages(&ada, &query, 10).await?;
/// assert_eq!(hits[0].message.conversation, id);
/// assert_eq!(store.conversations().recent_messages(&ada, id, 1).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Conversations: Send + Sync {
    /// A conversation, or `None`.
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// The owner's conversations, newest first (by id).
    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError>;

    /// A conversation's messages in order, from the first.
    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        page: &PageRequest,
    ) -> Result<Page<Message>, StoreError>;

    /// The last messages of a conversation, at most `limit`, in order.
    async fn recent_messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError>;

    /// The messages of users and assistants, of all the owner's conversations, that fit the query best: by BM25 with
    /// this owner's own statistics, equal scores newest first. At most `limit`. An empty query finds nothing. Scores are
    /// the same on every store, within [`TEXT_TOLERANCE`](crate::search::TEXT_TOLERANCE).
    async fn search_messages(
        &self,
        scope: &Scope,
        query: &TextQuery,
        limit: u32,
    ) -> Result<Vec<MessageHit>, StoreError>;
}

forward! {
    Conversations conversations:
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError>;
    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError>;
    async fn messages(&self, scope: &Scope, conversation: ConversationId, page: &PageRequest) -> Result<Page<Message>, StoreError>;
    async fn recent_messages(&self, scope: &Scope, conversation: ConversationId, limit: u32) -> Result<Vec<Message>, StoreError>;
    async fn search_messages(&self, scope: &Scope, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError>;
}

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
    Conversations:
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError>;
    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError>;
    async fn messages(&self, scope: &Scope, conversation: ConversationId, page: &PageRequest) -> Result<Page<Message>, StoreError>;
    async fn recent_messages(&self, scope: &Scope, conversation: ConversationId, limit: u32) -> Result<Vec<Message>, StoreError>;
    async fn search_messages(&self, scope: &Scope, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError>;
}

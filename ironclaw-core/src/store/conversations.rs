use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::id::ConversationId;
use crate::model::conversations::{Conversation, Message, MessageHit};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::search::TextQuery;
use crate::setters::setters;

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
/// use ironclaw_core::store::Backwards;
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
/// let earlier = Backwards::new(20).before(hits[0].message.sequence).without_parts(true);
/// assert_eq!(store.conversations().messages_backwards(&ada, id, &earlier).await?, []);
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

    /// The last messages of a conversation, or the last before a place, in order.
    async fn messages_backwards(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        backwards: &Backwards,
    ) -> Result<Vec<Message>, StoreError>;

    /// The last messages of a conversation, at most `limit`, in order, with images and documents: each message may have
    /// [`Limits::parts_bytes`](crate::Limits::parts_bytes) of them, 8 MiB.
    async fn recent_messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        self.messages_backwards(scope, conversation, &Backwards::new(limit)).await
    }

    /// The messages of users and assistants, of all the owner's conversations, that fit the query best: by BM25 with
    /// this owner's own statistics, equal scores newest first. At most `limit`. An empty query finds nothing. Scores are
    /// the same on every store, within [`TEXT_TOLERANCE`](crate::search::TEXT_TOLERANCE).
    ///
    /// What is searched is the text, and images and documents are not read with it, as [`Backwards::without_parts`] says;
    /// `Backwards::new(1).before(sequence + 1)` reads a message that was found with all of it.
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
    async fn messages_backwards(&self, scope: &Scope, conversation: ConversationId, backwards: &Backwards) -> Result<Vec<Message>, StoreError>;
    async fn recent_messages(&self, scope: &Scope, conversation: ConversationId, limit: u32) -> Result<Vec<Message>, StoreError>;
    async fn search_messages(&self, scope: &Scope, query: &TextQuery, limit: u32) -> Result<Vec<MessageHit>, StoreError>;
}

/// Which messages of a conversation are read, from its end or from a place in it backwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backwards {
    /// At most so many.
    pub limit: u32,
    /// Only those before this place in the conversation.
    pub before: Option<u64>,
    /// Without the images and documents of users, whose bytes are not read then: a message that may have some says so
    /// with [`Message::parts_left_out`].
    pub without_parts: bool,
    /// As they are, and not as a standby that may be behind has them: what is done goes by it.
    pub newest: bool,
}

impl Backwards {
    /// The last messages of the conversation, whole, at most `limit`.
    pub fn new(limit: u32) -> Self {
        Self { limit, before: None, without_parts: false, newest: false }
    }
}

setters! {
    Backwards:
    before: into Option<u64>,
    without_parts: bool,
    newest: bool,
}

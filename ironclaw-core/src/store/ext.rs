use async_trait::async_trait;
use serde_json::Value;

use super::{AgentStore, Apply, MemoryStore, Store, StoreError, StoreErrorKind, VaultStore};
use crate::change::{Change, ConversationOp, Receipt, SettingOp};
use crate::id::{ConversationId, SettingKey};
use crate::input::{InputError, parsed};
use crate::model::audit::{AuditEntry, AuditFilter};
use crate::model::conversations::{Conversation, ExportLine, Message, NewMessage};
use crate::model::jobs::{Job, JobFilter};
use crate::model::workspace::{Entry, WorkspacePath};
use crate::page::{Page, PageRequest, PageStream, pages};
use crate::scope::Scope;

/// What is done daily, over any store: changes of one operation, and listings as streams. What reads asks for no more of a
/// store than it needs: conversations and jobs of an [`AgentStore`], files of a [`MemoryStore`].
///
/// A name may be given as text, which is then parsed, or as the type of its own.
///
/// ```
/// use ironclaw_core::id::ConversationId;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
/// let id = ConversationId::make(&SystemClock);
/// store.create_conversation(&ada, id, "Lunch").await?;
/// store.rename_conversation(&ada, id, "Launch").await?;
/// assert_eq!(store.conversation_title(&ada, id).await?.as_deref(), Some("Launch"));
///
/// let mut lines = store.export_conversation(&ada, id);
/// while let Some(line) = lines.next().await {
///     println!("{}", line?); // {"kind":"conversation","id":"…","title":"Launch",…}
/// }
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait StoreExt: Apply {
    /// Starts a conversation.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    async fn create_conversation(&self, scope: &Scope, id: ConversationId, title: &str) -> Result<Receipt, StoreError> {
        self.apply(scope, Change::new().with(ConversationOp::Create { id, title: title.to_owned() })).await
    }

    /// Changes a conversation's title; an empty one is accepted.
    ///
    /// # Errors
    /// As [`Apply::apply`]; [`StoreErrorKind::NotFound`] if there is no such conversation.
    async fn rename_conversation(&self, scope: &Scope, id: ConversationId, title: &str) -> Result<Receipt, StoreError> {
        self.apply(scope, Change::new().with(ConversationOp::Rename { id, title: title.to_owned() })).await
    }

    /// A conversation's title, or `None` if there is no such conversation.
    ///
    /// # Errors
    /// A [`StoreError`] only when the store itself fails.
    async fn conversation_title(&self, scope: &Scope, id: ConversationId) -> Result<Option<String>, StoreError>
    where
        Self: AgentStore,
    {
        Ok(self.conversations().conversation(scope, id).await?.map(|conversation| conversation.title))
    }

    /// Appends a message and gives its sequence number.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    async fn append_message(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        message: NewMessage,
    ) -> Result<u64, StoreError> {
        let change = Change::new().with(ConversationOp::AppendMessage { conversation, message });
        Ok(self.apply(scope, change).await?.numbers.first().copied().unwrap_or_default())
    }

    /// Deletes a conversation with its messages and jobs. Whether there was one.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    async fn delete_conversation(&self, scope: &Scope, id: ConversationId) -> Result<bool, StoreError> {
        let receipt = self.apply(scope, Change::new().with(ConversationOp::Delete { id })).await?;
        Ok(receipt.numbers.first().is_some_and(|&n| n > 0))
    }

    /// A conversation with all its messages as JSON Lines: each item is one line, without its line break, that reads back
    /// as an [`ExportLine`]. One page of messages is in memory at a time. Messages that are appended meanwhile are in it.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] as the first and only item if there is no such conversation; otherwise only what the
    /// store itself fails with.
    fn export_conversation(&self, scope: &Scope, id: ConversationId) -> PageStream<'_, String>
    where
        Self: AgentStore,
    {
        let (reader, scope) = (self.conversations(), scope.clone());
        pages(PageRequest::default(), move |page| {
            let scope = scope.clone();
            async move {
                let mut lines = Vec::new();
                if page.cursor().is_none() {
                    let conversation = reader.conversation(&scope, id).await?.ok_or_else(|| not_found(id))?;
                    lines.push(line(&ExportLine::Conversation(conversation))?);
                }
                let Page { items, next } = reader.messages(&scope, id, &page).await?;
                for message in items {
                    lines.push(line(&ExportLine::Message(message))?);
                }
                Ok(Page { items: lines, next })
            }
        })
    }

    /// The owner's conversations, newest first.
    fn conversations_stream(&self, scope: &Scope) -> PageStream<'_, Conversation>
    where
        Self: AgentStore,
    {
        let (reader, scope) = (self.conversations(), scope.clone());
        pages(PageRequest::default(), move |page| {
            let scope = scope.clone();
            async move { reader.conversations(&scope, &page).await }
        })
    }

    /// A conversation's messages in order, from the first.
    fn messages_stream(&self, scope: &Scope, conversation: ConversationId) -> PageStream<'_, Message>
    where
        Self: AgentStore,
    {
        let (reader, scope) = (self.conversations(), scope.clone());
        pages(PageRequest::default(), move |page| {
            let scope = scope.clone();
            async move { reader.messages(&scope, conversation, &page).await }
        })
    }

    /// The owner's files at or below `prefix` (all if absent), ordered by the bytes of their paths.
    fn entries_stream(&self, scope: &Scope, prefix: Option<&WorkspacePath>) -> PageStream<'_, Entry>
    where
        Self: MemoryStore,
    {
        let (reader, scope, prefix) = (self.workspace(), scope.clone(), prefix.cloned());
        pages(PageRequest::default(), move |page| {
            let (scope, prefix) = (scope.clone(), prefix.clone());
            async move { reader.entries(&scope, prefix.as_ref(), &page).await }
        })
    }

    /// The owner's jobs, newest first.
    fn jobs_stream(&self, scope: &Scope, filter: &JobFilter) -> PageStream<'_, Job>
    where
        Self: AgentStore,
    {
        let (reader, scope, filter) = (self.jobs(), scope.clone(), filter.clone());
        pages(PageRequest::default(), move |page| {
            let (scope, filter) = (scope.clone(), filter.clone());
            async move { reader.jobs(&scope, &filter, &page).await }
        })
    }

    /// The owner's audit events, oldest first.
    fn audit_stream(&self, scope: &Scope, filter: &AuditFilter) -> PageStream<'_, AuditEntry>
    where
        Self: VaultStore,
    {
        let (reader, scope, filter) = (self.audit(), scope.clone(), filter.clone());
        pages(PageRequest::default(), move |page| {
            let (scope, filter) = (scope.clone(), filter.clone());
            async move { reader.events(&scope, &filter, &page).await }
        })
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// As [`Apply::apply`]; [`StoreErrorKind::InvalidInput`] for text that is no key.
    async fn put_setting<K>(&self, scope: &Scope, key: K, value: Value) -> Result<Receipt, StoreError>
    where
        K: TryInto<SettingKey, Error: Into<InputError>> + Send,
    {
        let key = parsed(key).map_err(|refused| StoreError::invalid_input("put_setting", refused))?;
        self.apply(scope, Change::new().with(SettingOp::Put { key, value })).await
    }

    /// A setting's value, or `None`.
    ///
    /// # Errors
    /// [`StoreErrorKind::InvalidInput`] for text that is no key; otherwise only when the store itself fails.
    async fn setting_value<K>(&self, scope: &Scope, key: K) -> Result<Option<Value>, StoreError>
    where
        K: TryInto<SettingKey, Error: Into<InputError>> + Send,
        Self: Store,
    {
        let key = parsed(key).map_err(|refused| StoreError::invalid_input("setting_value", refused))?;
        Ok(self.settings().setting(scope, &key).await?.map(|setting| setting.value))
    }
}

impl<T: Apply + ?Sized> StoreExt for T {}

fn not_found(id: ConversationId) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, "export_conversation", format!("conversation {id}"))
}

fn line(line: &ExportLine) -> Result<String, StoreError> {
    serde_json::to_string(line)
        .map_err(|error| StoreError::new(StoreErrorKind::Internal, "export_conversation", "").with_source(error))
}

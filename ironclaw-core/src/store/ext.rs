use async_trait::async_trait;

use super::{Apply, StoreError};
use crate::change::{Change, ConversationOp, Receipt, SettingOp};
use crate::id::{ConversationId, SettingKey};
use crate::model::conversations::NewMessage;
use crate::scope::Scope;

/// Conveniences over any store: each builds a [`Change`] and applies it.
#[async_trait]
pub trait StoreExt: Apply {
    /// Starts a conversation.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    async fn create_conversation(&self, scope: &Scope, id: ConversationId, title: &str) -> Result<Receipt, StoreError> {
        self.apply(scope, Change::new().with(ConversationOp::Create { id, title: title.to_owned() })).await
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

    /// Sets a setting.
    ///
    /// # Errors
    /// As [`Apply::apply`].
    async fn put_setting(
        &self,
        scope: &Scope,
        key: SettingKey,
        value: serde_json::Value,
    ) -> Result<Receipt, StoreError> {
        self.apply(scope, Change::new().with(SettingOp::Put { key, value })).await
    }
}

impl<T: Apply + ?Sized> StoreExt for T {}

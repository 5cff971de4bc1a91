//! Conversations and messages, to rows and from them.

use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{Conversation, Message, NewMessage};
use ironclaw_core::store::StoreError;
use serde_json::Value;

use crate::codes::{role, role_code};
use crate::sql::Row;

/// The columns that [`conversation`] reads.
macro_rules! conversation_columns {
    () => {
        "id, title, created_at, updated_at, messages, version"
    };
}

/// The columns that [`message`] reads.
macro_rules! message_columns {
    () => {
        "id, conversation, sequence, created_at, role, tool_calls, tool_result, metadata, content"
    };
}

pub(super) use conversation_columns;
pub(crate) use message_columns;

pub(super) fn conversation(row: &dyn Row) -> Result<Conversation, StoreError> {
    Ok(Conversation::new(ConversationId::from_bytes(row.id(0)?), row.time(2)?)
        .title(row.text(1)?)
        .updated_at(row.time(3)?)
        .messages(row.count(4)?)
        .version(row.count(5)?))
}

/// A message, as an engine's search finds it too.
pub(crate) fn message(row: &dyn Row) -> Result<Message, StoreError> {
    Ok(Message::new(
        ConversationId::from_bytes(row.id(1)?),
        row.count(2)?,
        row.time(3)?,
        NewMessage::text(MessageId::from_bytes(row.id(0)?), row.code(4, role)?, row.text(8)?)
            .tool_calls(row.optional(5, <dyn Row>::json)?.unwrap_or_default())
            .tool_result(row.optional(6, <dyn Row>::json)?)
            .metadata(row.optional(7, <dyn Row>::json)?.unwrap_or_default()),
    ))
}

/// What the columns of a message hold that are not as the message has them: a code, and texts of JSON values.
pub(crate) struct Written {
    pub(crate) role: i64,
    pub(crate) tool_calls: Option<String>,
    pub(crate) tool_result: Option<String>,
    pub(crate) metadata: Option<String>,
}

impl Written {
    pub(crate) fn of(message: &NewMessage) -> Self {
        let json = |value: &Value| (!value.is_null()).then(|| value.to_string());
        Self {
            role: role_code(message.role),
            tool_calls: (!message.tool_calls.is_empty()).then(|| serde_json::json!(message.tool_calls).to_string()),
            tool_result: message.tool_result.as_ref().map(|result| serde_json::json!(result).to_string()),
            metadata: json(&message.metadata),
        }
    }
}

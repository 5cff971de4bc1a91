//! Conversations and messages, to rows and from them.

use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::llm::{ContentPart, ToolCall};
use ironclaw_core::model::conversations::{Conversation, Message, NewMessage};
use ironclaw_core::store::StoreError;
use serde::{Deserialize, Serialize};
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

/// The columns that [`head`] reads: those of [`message`], but what stands beside a user's text, which may be images and
/// documents of megabytes. None but a user's message has parts. SQLite asks whether a value is absent without loading it
/// only where that is a condition, and not where it is a result.
macro_rules! head_columns {
    () => {
        "id, conversation, sequence, created_at, role, CASE WHEN role = 1 THEN NULL ELSE tool_calls END AS tool_calls, \
         tool_result, metadata, content, CASE WHEN role = 1 AND tool_calls IS NOT NULL THEN TRUE ELSE FALSE END"
    };
}

pub(super) use conversation_columns;
pub(crate) use head_columns;
pub(super) use message_columns;

pub(super) fn conversation(row: &dyn Row) -> Result<Conversation, StoreError> {
    Ok(Conversation::new(ConversationId::from_bytes(row.id(0)?), row.time(2)?)
        .title(row.text(1)?)
        .updated_at(row.time(3)?)
        .messages(row.count(4)?)
        .version(row.count(5)?))
}

/// A message without parts, as an engine's search finds it too.
pub(crate) fn head(row: &dyn Row) -> Result<Message, StoreError> {
    Ok(message(row)?.parts_left_out(row.bool(9)?))
}

/// A message.
pub(super) fn message(row: &dyn Row) -> Result<Message, StoreError> {
    let (tool_calls, parts) = match row.optional(5, <dyn Row>::json)? {
        None => (Vec::new(), Vec::new()),
        Some(Beside::Calls(tool_calls)) => (tool_calls, Vec::new()),
        Some(Beside::Both { tool_calls, parts }) => (tool_calls, parts),
    };
    Ok(Message::new(
        ConversationId::from_bytes(row.id(1)?),
        row.count(2)?,
        row.time(3)?,
        NewMessage::text(MessageId::from_bytes(row.id(0)?), row.code(4, role)?, row.text(8)?)
            .parts(parts)
            .tool_calls(tool_calls)
            .tool_result(row.optional(6, <dyn Row>::json)?)
            .metadata(row.optional(7, <dyn Row>::json)?.unwrap_or_default()),
    ))
}

/// What stands beside a message's text, in the column `tool_calls`: the calls alone, as they ever were, or the calls and
/// the parts. So the column of the text holds what is searched and nothing else, and a message without parts is the same
/// as before there were any.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Beside {
    Calls(Vec<ToolCall>),
    Both {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
        parts: Vec<ContentPart>,
    },
}

impl Beside {
    fn of(message: &NewMessage) -> Option<Self> {
        match (message.tool_calls.clone(), message.parts.clone()) {
            (tool_calls, parts) if parts.is_empty() => (!tool_calls.is_empty()).then_some(Self::Calls(tool_calls)),
            (tool_calls, parts) => Some(Self::Both { tool_calls, parts }),
        }
    }
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
            tool_calls: Beside::of(message).map(|beside| serde_json::json!(beside).to_string()),
            tool_result: message.tool_result.as_ref().map(|result| serde_json::json!(result).to_string()),
            metadata: json(&message.metadata),
        }
    }
}

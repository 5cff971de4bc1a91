//! Conversations and their messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{ConversationId, MessageId, ToolName};
use crate::model::content::ContentPart;
use crate::setters::setters;

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its title; may be empty.
    pub title: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When its title or its messages last changed.
    pub updated_at: Timestamp,
    /// How many messages it has: the sequence number of the last.
    pub messages: u64,
    /// Its row version, from 1.
    pub version: u64,
}

impl Conversation {
    /// A conversation without title and messages, as it is when it was started.
    pub fn new(id: ConversationId, created_at: Timestamp) -> Self {
        Self { id, title: String::new(), created_at, updated_at: created_at, messages: 0, version: 1 }
    }
}

setters! {
    Conversation:
    title: into String,
    updated_at: Timestamp,
    messages: u64,
    version: u64,
}

/// One line of an exported conversation, as
/// [`export_conversation`](crate::StoreExt::export_conversation) writes them in JSON: an object whose `kind` says what the
/// rest is. The conversation comes first, then its messages in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExportLine {
    /// The conversation.
    Conversation(Conversation),
    /// A message of it.
    Message(Message),
}

/// A message to append.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Who says it.
    pub role: Role,
    /// The text; may be empty. It is what is searched.
    pub content: String,
    /// The images and documents that go with a user's text, in order. Together they have at most
    /// [`Limits::parts_bytes`](crate::Limits::parts_bytes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ContentPart>,
    /// The tools that an assistant's message calls.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers.
    pub tool_result: Option<ToolResult>,
    /// Anything the host keeps with it: an object, or null. The agent's own messages have the `job` here that they
    /// belong to, and an assistant's `finish`: the [word](crate::llm::FinishReason) for why the model's answer ended.
    pub metadata: Value,
}

setters! {
    NewMessage:
    parts: Vec<ContentPart>,
    tool_calls: Vec<ToolCall>,
    tool_result: into Option<ToolResult>,
    metadata: Value,
}

impl NewMessage {
    /// A message of text alone.
    pub fn text(id: MessageId, role: Role, content: impl Into<String>) -> Self {
        Self {
            id,
            role,
            content: content.into(),
            parts: Vec::new(),
            tool_calls: Vec::new(),
            tool_result: None,
            metadata: Value::Null,
        }
    }
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolCall {
    /// The model's id of the call, unique within its answer.
    pub id: String,
    /// The tool's name as the model wrote it; it may name no tool.
    pub name: String,
    /// The arguments: an object, or, if what the model wrote is none, its text as it came in a [`Value::String`].
    pub arguments: Value,
}

impl ToolCall {
    /// A call of the tool of this name.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self { id: id.into(), name: name.into(), arguments }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place in the conversation, from 1 without gaps.
    pub sequence: u64,
    /// When it was appended.
    pub created_at: Timestamp,
    /// What was appended.
    #[serde(flatten)]
    pub message: NewMessage,
    /// Whether what stands beside a user's text was not read, as [`Backwards::without_parts`] asks: then `parts` is empty,
    /// and so is `tool_calls`, whatever the message has.
    ///
    /// [`Backwards::without_parts`]: crate::store::Backwards::without_parts
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parts_left_out: bool,
}

impl Message {
    /// A message that was appended at this place.
    pub fn new(conversation: ConversationId, sequence: u64, created_at: Timestamp, message: NewMessage) -> Self {
        Self { conversation, sequence, created_at, message, parts_left_out: false }
    }
}

setters! {
    Message:
    parts_left_out: bool,
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every store keeps each of them by a code of its own: one that a store forgot must not compile"
)]
pub enum Role {
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// The host's instructions.
    System,
    /// A tool's answer.
    Tool,
}

impl Role {
    /// The word: `user`, `assistant`, `system` or `tool`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Tool => "tool",
        }
    }
}

/// Which call a tool's message answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolResult {
    /// The [`ToolCall::id`].
    pub call_id: String,
    /// The tool.
    pub name: ToolName,
    /// Whether the answer is an error.
    pub is_error: bool,
}

impl ToolResult {
    /// An answer to this call of this tool, which is no error.
    pub fn new(call_id: impl Into<String>, name: ToolName) -> Self {
        Self { call_id: call_id.into(), name, is_error: false }
    }
}

setters! {
    ToolResult:
    is_error: bool,
}

/// A message that a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MessageHit {
    /// The message, without a user's images and documents (see [`Message::parts_left_out`]).
    pub message: Message,
    /// Its BM25 score with the user's own statistics; higher is better.
    pub score: f64,
}

impl MessageHit {
    /// A message with its score.
    pub fn new(message: Message, score: f64) -> Self {
        Self { message, score }
    }
}

//! Language models.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::error::error_type;
use crate::forward::forward;
use crate::id::ToolName;
use crate::model::workspace::Passage;
use crate::setters::setters;
use crate::tool::ToolSpec;

pub(crate) mod framing;
pub(crate) mod history;

pub use history::fit_history;

pub use crate::model::conversations::ToolCall;
pub use crate::model::jobs::TokenUsage;

/// A language model, or what stands in for one.
#[async_trait]
pub trait LlmProvider: Send + Sync + std::fmt::Debug {
    /// The model's name, as it is recorded with each call.
    fn model(&self) -> &str;

    /// Starts an answer. The stream gives pieces of text as they come and ends with exactly one
    /// [`LlmEvent::Finished`], or with an error. What is finished is whole and not empty: an answer that broke off, one
    /// with neither text nor calls, and one that can't be understood in every piece are errors.
    ///
    /// Dropping the future or the stream gives up the call; a service may bill what it had already made.
    ///
    /// # Errors
    /// An [`LlmError`], here or from the stream, with the reason that the service gave. That can quote what was asked,
    /// but never holds a key.
    async fn stream(&self, request: LlmRequest) -> Result<LlmStream, LlmError>;
}

forward! {
    LlmProvider:
    fn model(&self) -> &str;
    async fn stream(&self, request: LlmRequest) -> Result<LlmStream, LlmError>;
}

/// The pieces of an answer as they come.
pub type LlmStream = Pin<Box<dyn Stream<Item = Result<LlmEvent, LlmError>> + Send>>;

/// Conveniences over any [`LlmProvider`].
#[async_trait]
pub trait LlmProviderExt: LlmProvider {
    /// The whole answer at once.
    ///
    /// # Errors
    /// As [`LlmProvider::stream`]; [`LlmErrorKind::MalformedAnswer`] when the stream ends without an answer.
    async fn complete(&self, request: LlmRequest) -> Result<LlmResponse, LlmError> {
        let mut stream = self.stream(request).await?;
        while let Some(event) = stream.next().await {
            if let LlmEvent::Finished(response) = event? {
                return Ok(response);
            }
        }
        Err(LlmError::new(LlmErrorKind::MalformedAnswer, "complete", "the stream ended without an answer"))
    }
}

impl<T: LlmProvider + ?Sized> LlmProviderExt for T {}

/// What a model is asked. Made with [`LlmRequest::new`]; the rest is added to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmRequest {
    /// The instructions, the conversation so far, and its last question.
    pub messages: Vec<LlmMessage>,
    /// What was retrieved for the question, numbered from 1 in this order; an answer cites `[1]`.
    ///
    /// A provider that has no notion of passages sends [`LlmRequest::to_messages`].
    pub passages: Vec<Passage>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// How it is to answer.
    #[serde(default)]
    pub options: LlmOptions,
}

impl LlmRequest {
    /// A request of these messages, without passages, tools and options.
    pub fn new(messages: Vec<LlmMessage>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// With these passages.
    #[must_use]
    pub fn passages(mut self, passages: Vec<Passage>) -> Self {
        self.passages = passages;
        self
    }

    /// With these tools.
    #[must_use]
    pub fn tools(mut self, tools: Vec<ToolSpec>) -> Self {
        self.tools = tools;
        self
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: LlmOptions) -> Self {
        self.options = options;
        self
    }
}

/// How a model is to answer. What is absent is the service's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LlmOptions {
    /// The most tokens of the answer, reasoning included where the service counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// How much the model reasons before it answers. A model that does not reason may refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<ReasoningEffort>,
}

impl LlmOptions {
    /// With at most this many tokens of answer.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// With this much reasoning.
    #[must_use]
    pub fn reasoning_effort(mut self, effort: ReasoningEffort) -> Self {
        self.reasoning_effort = Some(effort);
        self
    }
}

/// How much a model reasons before it answers. Services know some of these, and refuse the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as can be.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More than [`High`](Self::High).
    XHigh,
    /// As much as can be.
    Max,
}

impl ReasoningEffort {
    /// The word that services know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// One turn of the conversation, as a model is shown it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "role")]
#[non_exhaustive]
pub enum LlmMessage {
    /// Instructions of the host.
    System {
        /// The text.
        text: String,
    },
    /// What the user said.
    User {
        /// The text.
        text: String,
    },
    /// What the model said, and which tools it called.
    Assistant {
        /// The text; may be empty when tools were called.
        text: String,
        /// The calls, in order.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    Tool {
        /// The [`ToolCall::id`] that this answers.
        call_id: String,
        /// The tool.
        name: ToolName,
        /// The answer, or the error, as text.
        content: String,
        /// Whether it is an error.
        is_error: bool,
    },
}

impl LlmMessage {
    /// The message's text.
    pub fn text(&self) -> &str {
        match self {
            Self::System { text } | Self::User { text } | Self::Assistant { text, .. } => text,
            Self::Tool { content, .. } => content,
        }
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LlmEvent {
    /// More text.
    Text(String),
    /// The whole answer. Its text is all the pieces together.
    Finished(LlmResponse),
}

/// A model's whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmResponse {
    /// The text; may be empty when tools are called.
    pub text: String,
    /// The tools to call, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Why the answer ended.
    pub finish: FinishReason,
    /// What the call took.
    pub usage: TokenUsage,
    /// The model that answered, as the service named it.
    pub model: String,
}

impl LlmResponse {
    /// An answer that is this text and ended because the model was done.
    pub fn new(model: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tool_calls: Vec::new(),
            finish: FinishReason::Stop,
            usage: TokenUsage::default(),
            model: model.into(),
        }
    }
}

setters! {
    LlmResponse:
    tool_calls: Vec<ToolCall>,
    finish: FinishReason,
    usage: TokenUsage,
}

/// Why an answer ended. Serialised as a word: `stop`, `tool_calls`, `length`, `filtered`, or the service's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The model wants tools to be called.
    ToolCalls,
    /// The token limit was reached: the answer is cut.
    Length,
    /// The service withheld part of the answer, or the model refused to give it.
    Filtered,
    /// Another reason, in the service's own word, of at most [`FinishReason::OTHER_BYTES`].
    Other(String),
}

impl FinishReason {
    /// The longest word of a service's own, in bytes.
    pub const OTHER_BYTES: usize = 64;

    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::Filtered => "filtered",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for FinishReason {
    fn from(mut word: String) -> Self {
        match word.as_str() {
            "stop" => Self::Stop,
            "tool_calls" => Self::ToolCalls,
            "length" => Self::Length,
            "filtered" => Self::Filtered,
            _ => {
                word.truncate(word.floor_char_boundary(Self::OTHER_BYTES));
                Self::Other(word)
            }
        }
    }
}

impl From<FinishReason> for String {
    fn from(reason: FinishReason) -> Self {
        reason.as_str().to_owned()
    }
}

/// Which way a model's call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LlmErrorKind {
    /// The request is not one the model takes.
    #[error("invalid request")]
    InvalidRequest,
    /// The request is longer than the model's context: send less.
    #[error("context too long")]
    ContextTooLong,
    /// The model can't call tools: send none, or choose another.
    #[error("tools not supported")]
    ToolsUnsupported,
    /// The service refused the credentials.
    #[error("not authorised")]
    Unauthorised,
    /// The account has no credit or quota left: waiting won't help.
    #[error("no credit")]
    NoCredit,
    /// The service knows no such model.
    #[error("unknown model")]
    UnknownModel,
    /// The service refused the question, or withheld all of the answer.
    #[error("filtered")]
    Filtered,
    /// The service asked to slow down.
    #[error("rate limited")]
    RateLimited,
    /// The service could not be reached, failed, did not answer in time, or broke off.
    #[error("unreachable")]
    Unreachable,
    /// The answer is whole and has neither text nor calls.
    #[error("empty answer")]
    EmptyAnswer,
    /// The answer can't be understood.
    #[error("malformed answer")]
    MalformedAnswer,
}

error_type! {
    /// Why a model gave no answer.
    LlmError, LlmErrorKind, retryable: [RateLimited, Unreachable], { retry_after: Option<Duration> }
}

impl LlmError {
    /// With the time after which the service said to come back.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// After how long the service said to come back, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finish_reason_is_one_word() {
        for (reason, word) in [
            (FinishReason::ToolCalls, "\"tool_calls\""),
            (FinishReason::Filtered, "\"filtered\""),
            (FinishReason::Other("pause_turn".into()), "\"pause_turn\""),
        ] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), word);
            assert_eq!(serde_json::from_str::<FinishReason>(word).unwrap(), reason);
        }
        let long = FinishReason::from("ä".repeat(100));
        assert_eq!(long.as_str().len(), FinishReason::OTHER_BYTES);
    }

    #[test]
    fn a_request_recorded_before_options_is_read() {
        let old = r#"{"messages": [], "passages": [], "tools": [], "max_output_tokens": null}"#;
        assert_eq!(serde_json::from_str::<LlmRequest>(old).unwrap(), LlmRequest::default());
        let options = LlmOptions::default().reasoning_effort(ReasoningEffort::XHigh);
        assert_eq!(serde_json::to_string(&options).unwrap(), r#"{"reasoning_effort":"xhigh"}"#);
    }
}

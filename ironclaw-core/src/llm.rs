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
use crate::scope::Scope;
use crate::setters::setters;
use crate::tool::ToolSpec;

pub(crate) mod framing;
pub(crate) mod history;
pub(crate) mod options;

pub use history::fit_history;
pub use options::{LlmOptions, ReasoningEffort, ResponseSchema, ToolChoice};

pub use crate::model::content::{ContentPart, PartData};
pub use crate::model::conversations::ToolCall;
pub use crate::model::jobs::TokenUsage;

/// A language model, or what stands in for one.
///
/// ```
/// use async_trait::async_trait;
/// use ironclaw_core::llm::{LlmError, LlmEvent, LlmRequest, LlmResponse, LlmStream};
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// #[derive(Debug)]
/// struct Parrot;
///
/// #[async_trait]
/// impl LlmProvider for Parrot {
///     fn model(&self) -> &str {
///         "parrot-1"
///     }
///
///     async fn stream(&self, _: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
///         self.check(&request)?;
///         let text = format!("You said {} things.", request.messages.len());
///         let response = LlmResponse::new(self.model(), text.as_str());
///         Ok(Box::pin(futures::stream::iter([Ok(LlmEvent::Text(text)), Ok(LlmEvent::Finished(response))])))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let agent = Agent::builder().store(LibsqlStore::in_memory().await?).llm(Parrot).build()?;
/// let ada = Scope::user("ada")?;
/// let conversation = agent.start_conversation(&ada).await?;
/// assert!(agent.send(&ada, conversation, "Hello").await?.text.starts_with("You said"));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait LlmProvider: Send + Sync + std::fmt::Debug {
    /// The model's name, as it is recorded with each call.
    fn model(&self) -> &str;

    /// Refuses what this model can't be asked: options that its protocol can't say, and parts of messages that it
    /// doesn't read. It asks nobody. What it accepts the service may still refuse. An agent calls it before it writes
    /// anything.
    ///
    /// By default a model takes text alone, and all options that [make sense](LlmRequest::check_options).
    ///
    /// # Errors
    /// [`LlmErrorKind::InvalidRequest`], [`LlmErrorKind::OptionUnsupported`] or [`LlmErrorKind::ContentUnsupported`].
    fn check(&self, request: &LlmRequest) -> Result<(), LlmError> {
        request.check_options()?;
        request.check_content(|_| false)
    }

    /// Starts an answer for the user of this scope: whose conversation it is, and who asks. A provider may choose its
    /// key, its endpoint or its limits by it; what it answers depends on the request alone.
    ///
    /// The stream gives pieces of text as they come and ends with exactly one [`LlmEvent::Finished`], or with an error.
    /// What is finished is whole and not empty: an answer that broke off, one with neither text nor calls, and one that
    /// can't be understood in every piece are errors.
    ///
    /// Dropping the future or the stream gives up the call; a service may bill what it had already made.
    ///
    /// # Errors
    /// What [`check`](Self::check) refuses, and otherwise an [`LlmError`], here or from the stream, with the reason that
    /// the service gave. That can quote what was asked, but never holds a key.
    async fn stream(&self, scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError>;
}

forward! {
    LlmProvider:
    fn model(&self) -> &str;
    fn check(&self, request: &LlmRequest) -> Result<(), LlmError>;
    async fn stream(&self, scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError>;
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
    async fn complete(&self, scope: &Scope, request: LlmRequest) -> Result<LlmResponse, LlmError> {
        let mut stream = self.stream(scope, request).await?;
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

    /// Refuses parts of messages that [make no sense](ContentPart::check), and those that a model doesn't read, for which
    /// `takes` is false. Documents of text are always taken, since they can be sent as text.
    ///
    /// # Errors
    /// [`LlmErrorKind::InvalidRequest`] with the [`InputError`](crate::InputError) as its cause, and
    /// [`LlmErrorKind::ContentUnsupported`], which names the part's media type.
    pub fn check_content(&self, takes: impl Fn(&ContentPart) -> bool) -> Result<(), LlmError> {
        let parts = || self.messages.iter().flat_map(LlmMessage::parts);
        parts().try_for_each(ContentPart::check).map_err(|refused| {
            LlmError::new(LlmErrorKind::InvalidRequest, "check", "an image or a document").with_source(refused)
        })?;
        let refused = parts().find(|part| part.as_text().is_none() && !takes(part));
        let what = match refused {
            None => return Ok(()),
            Some(ContentPart::Image { media_type, .. } | ContentPart::Document { media_type, .. }) => media_type,
            Some(ContentPart::ImageUrl { .. }) => "an image's URL",
        };
        let context = format!("the model doesn't read {what}; send it as text, or choose another model");
        Err(LlmError::new(LlmErrorKind::ContentUnsupported, "check", context))
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
        /// The images and documents that go with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<ContentPart>,
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
    /// A user's message of text alone.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), parts: Vec::new() }
    }

    /// The images and documents of a user's message; none of any other.
    pub fn parts(&self) -> &[ContentPart] {
        match self {
            Self::User { parts, .. } => parts,
            _ => &[],
        }
    }

    /// The message's text.
    pub fn text(&self) -> &str {
        match self {
            Self::System { text } | Self::User { text, .. } | Self::Assistant { text, .. } => text,
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
    /// The provider's protocol has no such option: leave it out, or choose another provider.
    #[error("option not supported")]
    OptionUnsupported,
    /// The model does not read such images or documents: send text, or choose another.
    #[error("content not supported")]
    ContentUnsupported,
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
}

use crate::id::IdempotencyKey;
use crate::llm::{ContentPart, LlmMessage, LlmOptions};

/// A message to an agent. Text alone converts into it.
///
/// ```
/// use ironclaw_core::agent::SendRequest;
/// use ironclaw_core::llm::{ContentPart, LlmOptions};
///
/// let picture = ContentPart::image("image/png", &b"\x89PNG"[..]);
/// let request = SendRequest::new("What is on it?")
///     .part(picture)
///     .options(LlmOptions::default().max_output_tokens(200));
/// assert_eq!(request.parts.len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SendRequest {
    /// The text; empty only beside parts.
    pub text: String,
    /// Images and documents that go with it.
    pub parts: Vec<ContentPart>,
    /// How the model is to answer this; what is absent is as the agent was [built](super::AgentBuilder::llm_options).
    pub options: LlmOptions,
    /// Sends the message at most once: under a key that was used in this conversation the first reply is given again, and
    /// an answer that failed is finished, as [`Agent::retry`](super::Agent::retry) does. A key is known as long as the
    /// store knows one ([`Limits::receipts_kept`](crate::Limits::receipts_kept), 7 days by default).
    pub idempotency_key: Option<IdempotencyKey>,
}

impl SendRequest {
    /// A message of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// With one more image or document.
    #[must_use]
    pub fn part(mut self, part: ContentPart) -> Self {
        self.parts.push(part);
        self
    }

    /// With these options for this answer.
    #[must_use]
    pub fn options(mut self, options: LlmOptions) -> Self {
        self.options = options;
        self
    }

    /// Under this key.
    #[must_use]
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// As a model is shown it.
    pub(super) fn message(&self) -> LlmMessage {
        LlmMessage::User { text: self.text.clone(), parts: self.parts.clone() }
    }
}

impl From<String> for SendRequest {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SendRequest {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for SendRequest {
    fn from(text: &String) -> Self {
        Self::new(text.as_str())
    }
}

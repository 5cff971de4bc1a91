use std::time::Duration;

use thiserror::Error;

use crate::error::error_type;
use crate::input::InputError;
use crate::llm::LlmError;
use crate::memory::MemoryError;
use crate::store::{StoreError, StoreErrorKind};

/// Which way an agent failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AgentErrorKind {
    /// An argument was refused; nothing was recorded.
    #[error("invalid input: {0}")]
    InvalidInput(InputError),
    /// The model can't be asked this: an option that its protocol has no word for, an image or a document that it does
    /// not read. The cause says which; nothing was recorded.
    #[error("not supported by the model")]
    Unsupported,
    /// The message is being answered already: ask again when that has ended.
    #[error("busy")]
    Busy,
    /// Another message was sent under the same idempotency key; choose another key.
    #[error("idempotency key reused")]
    IdempotencyKeyReused,
    /// There is no such conversation of this user.
    #[error("not found")]
    NotFound,
    /// Whoever acts may not do that: a reader of a space.
    #[error("denied")]
    Denied,
    /// The agent can't be built like this.
    #[error("misconfigured")]
    Misconfigured,
    /// The store failed.
    #[error("store failed")]
    Store,
    /// The model gave no answer. The user's message is recorded, and the job failed.
    #[error("model failed")]
    Llm,
    /// The model went on calling tools beyond the limit.
    #[error("too many rounds of tool calls")]
    TooManyRounds,
    /// What the tools answered no longer fits the token budget, or the message itself with its options does not: the
    /// budget of an agent that tries again may be smaller than that of the one that was asked.
    #[error("context full")]
    ContextFull,
    /// The whole answer took longer than its deadline.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// The work was stopped before its end.
    #[error("cancelled")]
    Cancelled,
    /// A provider, an embedder or a memory panicked. The job failed.
    #[error("panicked")]
    Panicked,
    /// The agent was closed.
    #[error("closed")]
    Closed,
}

error_type! {
    /// Why an agent gave no answer.
    ///
    /// What a failed call recorded stays: unless the kind is [`AgentErrorKind::Store`], the user's message is in the
    /// conversation already, also where the call may be made again.
    AgentError, AgentErrorKind, retryable: [DeadlineExceeded, Busy], input: InvalidInput,
    causes: [StoreError, LlmError, MemoryError]
}

impl AgentError {
    /// After how long the model's service said to come back, if that is what failed and it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.cause()?.downcast_ref::<LlmError>()?.retry_after()
    }

    pub(super) fn refused(operation: &'static str, error: InputError) -> Self {
        Self::new(AgentErrorKind::InvalidInput(error), operation, "")
    }

    pub(super) fn unsupported(operation: &'static str, error: LlmError) -> Self {
        Self::new(AgentErrorKind::Unsupported, operation, "").with_source(error)
    }

    pub(super) fn store(operation: &'static str, error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::InvalidInput(input) => return Self::refused(operation, input.clone()),
            StoreErrorKind::NotFound => AgentErrorKind::NotFound,
            StoreErrorKind::Denied => AgentErrorKind::Denied,
            StoreErrorKind::Closed => AgentErrorKind::Closed,
            _ => AgentErrorKind::Store,
        };
        Self::new(kind, operation, "").with_source(error)
    }
}

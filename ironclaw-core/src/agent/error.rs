use thiserror::Error;

use crate::error::error_type;
use crate::input::InputError;
use crate::llm::LlmError;
use crate::store::{StoreError, StoreErrorKind};

/// Which way an agent failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AgentErrorKind {
    /// An argument was refused; nothing was recorded.
    #[error("invalid input: {0}")]
    InvalidInput(InputError),
    /// There is no such conversation of this user.
    #[error("not found")]
    NotFound,
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
    /// What the tools answered no longer fits the token budget.
    #[error("context full")]
    ContextFull,
    /// The whole answer took longer than its deadline.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// The work was stopped before its end.
    #[error("cancelled")]
    Cancelled,
    /// The agent was closed.
    #[error("closed")]
    Closed,
}

error_type! {
    /// Why an agent gave no answer.
    AgentError, AgentErrorKind
}

impl AgentError {
    /// Whether the same call may succeed later without a change. What the failed call recorded stays: unless the kind
    /// is [`AgentErrorKind::Store`], the user's message is in the conversation already.
    pub fn is_retryable(&self) -> bool {
        let source = std::error::Error::source(self);
        match self.kind() {
            AgentErrorKind::DeadlineExceeded => true,
            AgentErrorKind::Llm => {
                source.and_then(|s| s.downcast_ref::<LlmError>()).is_some_and(LlmError::is_retryable)
            }
            AgentErrorKind::Store => {
                source.and_then(|s| s.downcast_ref::<StoreError>()).is_some_and(StoreError::is_retryable)
            }
            _ => false,
        }
    }

    pub(super) fn input(operation: &'static str, error: InputError) -> Self {
        Self::new(AgentErrorKind::InvalidInput(error), operation, "")
    }

    pub(super) fn store(operation: &'static str, error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::InvalidInput(input) => AgentErrorKind::InvalidInput(input.clone()),
            StoreErrorKind::NotFound => AgentErrorKind::NotFound,
            StoreErrorKind::Closed => AgentErrorKind::Closed,
            _ => AgentErrorKind::Store,
        };
        Self::new(kind, operation, "").with_source(error)
    }
}

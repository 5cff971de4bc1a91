//! The suite of [`LlmProvider`].

use std::sync::Arc;

use async_trait::async_trait;

use super::check::Failure;
use super::run::{Case, Subject, cases};
use crate::llm::LlmProvider;

mod answers;

/// What an implementor of [`LlmProvider`] writes to run its suite.
#[async_trait]
pub trait LlmHarness: Send + Sync {
    /// The model, or a recorded service behind it that answers any request.
    async fn open(&self) -> Result<Arc<dyn LlmProvider>, Failure>;
}

pub(crate) type LlmSubject = Subject<dyn LlmHarness>;

pub(crate) fn cases() -> Vec<Case<dyn LlmHarness>> {
    cases![dyn LlmHarness;
        answers {
            ends_with_one_whole_answer, any_text_in_messages, passages_are_taken, no_message_is_no_panic,
            many_at_once, dropped_at_every_await,
        }
    ]
}

//! The suite of [`LlmProvider`].

use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Capability, Case, Subject, cases};
use super::check::Failure;
use crate::llm::LlmProvider;

mod answers;
mod services;

/// What an implementor of [`LlmProvider`] writes to run its suite.
#[async_trait]
pub trait LlmHarness: Send + Sync {
    /// The model, or a recorded service behind it that answers any request.
    async fn open(&self) -> Result<Arc<dyn LlmProvider>, Failure>;

    /// What it can do besides: [`Capability::Service`] or nothing.
    fn capabilities(&self) -> &'static [Capability];

    /// With [`Capability::Service`]: the model with a service behind it that answers every request like this, or `None`
    /// if its protocol can't say it.
    async fn serving(&self, says: Says) -> Result<Option<Arc<dyn LlmProvider>>, Failure>;
}

/// What a service that a model is asked from says, in its own protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an answer that a harness forgot must not compile")]
pub enum Says {
    /// [`TEXT`](Self::TEXT), whole.
    Text,
    /// [`TEXT`](Self::TEXT), cut by the token limit.
    Cut,
    /// [`TEXT`](Self::TEXT), cut by a filter.
    Filtered,
    /// [`TEXT`](Self::TEXT), and then the connection ends without a sign that the answer did.
    BrokenOff,
    /// A call of the tool `count` with the id `call_1` and this text for arguments. A protocol whose arguments are an
    /// object can say only that.
    Call(&'static str),
    /// Nothing, and that this was all.
    Nothing,
    /// Reasoning, no text, and that this was all.
    Reasoning,
    /// Nothing, because a filter withheld it.
    Withheld,
    /// No answer, but an error with this reason. It is not one that passes.
    Error(&'static str),
}

impl Says {
    /// The text of an answer that has one.
    pub const TEXT: &'static str = "Forty ships pass the lighthouse, 四十隻 🚢.";
    /// The key that the model's service is to be asked with.
    pub const KEY: &'static str = "sk-conformance-4f9aQ7712";
}

pub(crate) type LlmSubject = Subject<dyn LlmHarness>;

impl LlmSubject {
    /// The model, behind one pointer more: what points to a model is one.
    pub(crate) async fn fresh(&self) -> Result<Arc<dyn LlmProvider>, Failure> {
        Ok(Arc::new(self.harness.open().await?))
    }
}

pub(crate) fn cases() -> Vec<Case<dyn LlmHarness>> {
    cases![dyn LlmHarness;
        answers {
            ends_with_one_whole_answer, any_text_in_messages, passages_are_taken, no_message_is_no_panic,
            what_it_can_t_be_asked_is_refused,
            many_at_once, dropped_at_every_await,
        }
        services {
            says_why_an_answer_ended [Service], nothing_is_no_answer [Service], what_breaks_off_is_no_answer [Service],
            arguments_are_kept_as_they_came [Service], the_reason_of_an_error_is_told [Service], no_key_is_told [Service],
        }
    ]
}

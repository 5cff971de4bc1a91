//! How an answer begins: with a message that is recorded now, or with one that was recorded before.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Turn;
use crate::agent::reply::Reply;
use crate::agent::request::SendRequest;
use crate::agent::resume;
use crate::agent::retrieval::{self, Retrieved};
use crate::agent::{AgentError, AgentErrorKind, JOB_KIND, history};
use crate::change::{Change, ConversationOp, JobOp};
use crate::llm::{LlmMessage, LlmOptions};
use crate::model::conversations::{NewMessage, Role};
use crate::model::jobs::{JobState, NewJob};
use crate::store::{StoreError, StoreErrorKind};

/// How much longer than the answer's deadline its job stays claimed.
const CLAIM_GRACE: Duration = Duration::from_secs(60);

/// How an answer began.
pub(super) enum Begun {
    /// It was there already.
    Answered(Box<Reply>),
    /// There is a job, and what to begin with; with an error it must end.
    Working(Result<Box<Work>, AgentError>),
}

/// What an answer is made of.
pub(super) struct Work {
    pub(super) message: SendRequest,
    /// What models and tools said in an answer to it that stopped.
    pub(super) said: Vec<LlmMessage>,
    pub(super) retrieved: Retrieved,
}

impl Turn {
    /// The first commit, and retrieval meanwhile: that only reads, and what the commit adds is sorted out afterwards.
    ///
    /// # Errors
    /// The error means that nothing was committed; with an error in what is given there is a job, which must end.
    pub(super) async fn begin(&mut self, message: SendRequest) -> Result<Begun, AgentError> {
        let mut metadata = json!({ "job": self.job });
        let mut change = Change::new();
        if let Some(key) = &message.idempotency_key {
            metadata["key"] = json!(key);
            let key =
                resume::key_of_message(self.conversation, key).map_err(|error| AgentError::refused("send", error))?;
            change = change.idempotent(key);
        }
        let question = NewMessage {
            parts: message.parts.clone(),
            metadata,
            ..NewMessage::text(self.question, Role::User, message.text.clone())
        };
        change = change.with(ConversationOp::AppendMessage { conversation: self.conversation, message: question });
        let change = self.with_job(change, &message.options);
        let (committed, retrieved) = futures::join!(
            self.inner.store.apply(&self.scope, change),
            self.wait(retrieval::retrieve(&self.inner, &self.scope, self.conversation, &message.text, 0)),
        );
        let receipt = match committed {
            Err(error)
                if *error.kind() == StoreErrorKind::IdempotencyKeyReused && message.idempotency_key.is_some() =>
            {
                return self.resume(Some(message)).await;
            }
            committed => committed.map_err(|error| AgentError::store("send", error))?,
        };
        let sequence = receipt.numbers.first().copied().unwrap_or_default();
        Ok(self.working(message, Vec::new(), sequence, retrieved))
    }

    /// Answers what was recorded, the message of this key or the user's last: with the reply that there is, or else from
    /// where the last answer stopped.
    pub(super) async fn resume(&mut self, sent: Option<SendRequest>) -> Result<Begun, AgentError> {
        let failed = |error| AgentError::store("send", error);
        let inner = Arc::clone(&self.inner);
        let key = sent.as_ref().and_then(|sent| sent.idempotency_key.as_ref());
        let recorded = inner.recorded(&self.scope, self.conversation, key).await.map_err(failed)?;
        let reused = |context| AgentError::new(AgentErrorKind::IdempotencyKeyReused, "send", context);
        let Some(recorded) = recorded else {
            return Err(match key {
                Some(_) => reused("another change was applied under this key; choose another"),
                None => AgentError::new(AgentErrorKind::NotFound, "retry", "the user has said nothing to answer"),
            });
        };
        let asked = &recorded.question.message;
        if sent.as_ref().is_some_and(|sent| sent.text != asked.content || sent.parts != asked.parts) {
            return Err(reused("another message was sent under this key; choose another"));
        }
        if let Some(reply) = inner.replay(&self.scope, &recorded).await? {
            return Ok(Begun::Answered(Box::new(reply)));
        }
        for job in recorded.jobs.iter().filter(|job| !job.state.is_ended()) {
            if inner.is_held(job) || !inner.end_interrupted(&self.scope, job).await.map_err(failed)? {
                return Err(resume::busy());
            }
        }
        self.question = asked.id;
        let options = sent.map(|sent| sent.options).or_else(|| recorded.options());
        let options = options.unwrap_or_else(|| inner.config.llm_options.clone());
        let attempt = resume::key_of_attempt(&recorded).map_err(|error| AgentError::refused("send", error))?;
        let change = self.with_job(Change::new().idempotent(attempt), &options);
        match inner.store.apply(&self.scope, change).await {
            Err(error) if *error.kind() == StoreErrorKind::IdempotencyKeyReused => return Err(resume::busy()),
            begun => begun.map_err(failed)?,
        };
        let (sequence, newer) = (recorded.question.sequence, recorded.after.len());
        let said = history::turns(recorded.said(), &*inner.llm);
        let message = SendRequest { parts: asked.parts.clone(), options, ..SendRequest::new(asked.content.clone()) };
        let search = retrieval::retrieve(&inner, &self.scope, self.conversation, &message.text, newer);
        let retrieved = self.wait(search).await;
        Ok(self.working(message, said, sequence, retrieved))
    }

    /// The job of this answer, claimed and running.
    fn with_job(&self, change: Change, options: &LlmOptions) -> Change {
        let inner = &self.inner;
        let mut input = json!({ "message": self.question });
        if *options != LlmOptions::default() {
            input["options"] = json!(options);
        }
        let job = NewJob {
            id: self.job,
            kind: JOB_KIND.to_owned(),
            conversation: Some(self.conversation),
            agent: Some(inner.name.clone()),
            input,
        };
        let until = inner.clock.now().after(inner.config.deadline + CLAIM_GRACE);
        change
            .with(JobOp::Create { job })
            .with(JobOp::Claim { job: self.job, worker: inner.worker.clone(), until })
            .with(resume::state_event(self.job, JobState::Running))
    }

    fn working(
        &self,
        message: SendRequest,
        said: Vec<LlmMessage>,
        sequence: u64,
        retrieved: Result<Result<Retrieved, StoreError>, AgentError>,
    ) -> Begun {
        let retrieved = retrieved.and_then(|found| found.map_err(|error| AgentError::store("send", error)));
        Begun::Working(retrieved.map(|mut retrieved| {
            let limits = (self.inner.config.recent_messages, self.inner.config.past_messages);
            retrieved.before(self.question, self.conversation, sequence, limits);
            Box::new(Work { message, said, retrieved })
        }))
    }
}

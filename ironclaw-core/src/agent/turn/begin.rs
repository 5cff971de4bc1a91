//! How an answer begins: with a message that is recorded now, or with one that was recorded before.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Live, Turn};
use crate::agent::reply::Reply;
use crate::agent::request::SendRequest;
use crate::agent::resume::{self, Recorded};
use crate::agent::retrieval::{self, Retrieved};
use crate::agent::{AgentError, AgentErrorKind, JOB_KIND, history, ids};
use crate::change::{Change, ConversationOp, JobOp, Receipt};
use crate::id::{IdempotencyKey, MessageId};
use crate::llm::{LlmMessage, LlmOptions};
use crate::model::conversations::{Message, NewMessage, Role};
use crate::model::jobs::{Job, JobState, NewJob};
use crate::store::{StoreError, StoreErrorKind};

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
        if let Some(key) = self.key_of(&message)? {
            if self.inner.check(&message).is_err() {
                return self.resume(Some(message)).await;
            }
            metadata["key"] = json!(key);
            change = change.idempotent(key);
        }
        let question = NewMessage {
            parts: message.parts.clone(),
            metadata,
            ..NewMessage::text(self.question, Role::User, message.text.clone())
        };
        change = change.with(ConversationOp::AppendMessage { conversation: self.conversation, message: question });
        let change = self.with_job(change, 0, &message.options);
        let (committed, retrieved) = futures::join!(
            self.inner.store.apply(&self.scope, change),
            self.wait(retrieval::retrieve(&self.inner, &self.scope, self.conversation, &message.text, None)),
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
        self.begun_at(&receipt);
        Ok(self.working(message, Vec::new(), sequence, retrieved))
    }

    /// Answers what was recorded, the message of this key or the user's last: with the reply that there is, or else from
    /// where the last answer stopped.
    pub(super) async fn resume(&mut self, sent: Option<SendRequest>) -> Result<Begun, AgentError> {
        let inner = Arc::clone(&self.inner);
        let Some(recorded) = self.wait(self.recorded(sent.as_ref())).await?? else {
            let Some(sent) = sent else {
                return Err(AgentError::new(AgentErrorKind::NotFound, "retry", "the user has said nothing to answer"));
            };
            inner.check(&sent)?;
            return Err(resume::unseen());
        };
        let asked = &recorded.question.message;
        if sent.as_ref().is_some_and(|sent| sent.text != asked.content || sent.parts != asked.parts) {
            let context = "another message was sent under this key; choose another";
            return Err(AgentError::new(AgentErrorKind::IdempotencyKeyReused, "send", context));
        }
        if let Some(reply) = self.wait(inner.replay(&self.scope, &recorded)).await?? {
            return Ok(Begun::Answered(Box::new(reply)));
        }
        if recorded.jobs.iter().any(|job| job.state == JobState::Succeeded) {
            return Err(resume::unseen());
        }
        if sent.is_none() && recorded.is_hosts() {
            return Err(AgentError::new(AgentErrorKind::NotFound, "retry", "the host answered the message itself"));
        }
        let options = sent.map(|sent| sent.options).or_else(|| recorded.options());
        let options = options.unwrap_or_else(|| inner.config.llm_options.clone());
        let message = SendRequest { parts: asked.parts.clone(), options, ..SendRequest::new(asked.content.clone()) };
        inner.check(&message)?;
        (self.called, self.usage) = self.wait(inner.taken(&self.scope, &recorded)).await??;
        let attempt = recorded.next_attempt();
        self.take(asked.id, attempt);
        let change = self.with_job(Change::new(), attempt, &message.options);
        match inner.store.apply(&self.scope, change).await {
            // Somebody else began it since the jobs were read.
            Err(error) if *error.kind() == StoreErrorKind::AlreadyExists => return Err(resume::busy()),
            begun => self.begun_at(&begun.map_err(|error| AgentError::store("send", error))?),
        }
        let sequence = recorded.question.sequence;
        let said = history::turns(recorded.said(), &*inner.llm);
        let search = retrieval::retrieve(&inner, &self.scope, self.conversation, &message.text, Some(sequence));
        let retrieved = self.wait(search).await;
        Ok(self.working(message, said, sequence, retrieved))
    }

    /// What was recorded of the message of this key, or of the user's last. Nobody works on its answer any more: jobs that were
    /// left behind are ended before what they said is read, and add nothing after that.
    async fn recorded(&self, sent: Option<&SendRequest>) -> Result<Option<Recorded>, AgentError> {
        let failed = |error| AgentError::store("send", error);
        let (inner, scope) = (&self.inner, &self.scope);
        let key = sent.map(|sent| self.key_of(sent)).transpose()?.flatten();
        let is_it = |message: &Message| {
            let named = || message.message.metadata.get("key").and_then(Value::as_str);
            let is_asked = |key: &IdempotencyKey| named() == Some(key.as_str());
            message.message.role == Role::User && key.as_ref().is_none_or(is_asked)
        };
        let found = inner.find(scope, self.conversation, &is_it).await.map_err(failed)?;
        let Some((question, after)) = found else {
            let conversation =
                inner.store.conversations().conversation(scope, self.conversation).await.map_err(failed)?;
            let gone = || AgentError::new(AgentErrorKind::NotFound, "send", "the conversation");
            return conversation.map(|_| None).ok_or_else(gone);
        };
        let id = question.message.id;
        let jobs = inner.answering(scope, self.conversation).await.map_err(failed)?;
        let is_seen = |id| id <= question.message.id || after.iter().any(|message| message.message.id == id);
        if key.is_none() && !jobs.iter().filter_map(resume::question_of).all(is_seen) {
            return Err(resume::unseen());
        }
        let mut jobs: Vec<Job> = jobs.into_iter().filter(|job| resume::question_of(job) == Some(id)).collect();
        jobs.sort_by_key(resume::attempt);
        for job in jobs.iter().filter(|job| !job.state.is_ended()) {
            if inner.is_held(job) || !inner.end_interrupted(scope, job).await.map_err(failed)? {
                return Err(resume::busy());
            }
        }
        let found = inner.find(scope, self.conversation, is_it).await.map_err(failed)?;
        match found {
            // Another was sent since, or was there and not to be seen.
            Some((last, _)) if last.message.id != id => Err(resume::unseen()),
            found => Ok(found.map(|(question, after)| Recorded { question, after, jobs })),
        }
    }

    fn key_of(&self, sent: &SendRequest) -> Result<Option<IdempotencyKey>, AgentError> {
        let key = sent.idempotency_key.as_ref();
        let key = key.map(|key| resume::key_of_message(&self.scope, self.conversation, key)).transpose();
        key.map_err(|error| AgentError::refused("send", error))
    }

    /// Works on this question from now on.
    fn take(&mut self, question: MessageId, attempt: u64) {
        self.question = question;
        self.job = ids::of_attempt(question, attempt);
        self.live = Live::new(&self.inner, self.job);
    }

    /// The job is there, and ours as long as its row is as the claim left it.
    fn begun_at(&mut self, receipt: &Receipt) {
        let claim = receipt.numbers.len().saturating_sub(2);
        self.version = receipt.numbers.get(claim).copied().unwrap_or_default();
    }

    /// The job of this answer, claimed and running.
    fn with_job(&self, change: Change, attempt: u64, options: &LlmOptions) -> Change {
        let inner = &self.inner;
        let input = json!({ "message": self.question, "attempt": attempt, "options": options });
        let job = NewJob {
            id: self.job,
            kind: JOB_KIND.to_owned(),
            conversation: Some(self.conversation),
            agent: Some(inner.name.clone()),
            input,
        };
        change
            .with(JobOp::Create { job })
            .with(JobOp::Claim { job: self.job, worker: inner.worker.clone(), until: self.until })
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

//! The answer to one message, from its first commit to its last.

use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::json;

use super::bounds::reason;
use super::citations::cited;
use super::context::Prompt;
use super::reply::{AgentEvent, CalledTool, Citation, Reply, Timings};
use super::request::SendRequest;
use super::resume::{Kept, state_event};
use super::{AgentError, AgentErrorKind, Events, Inner, ids};
use crate::change::{Change, ConversationOp, JobOp, Operation, Precondition, Receipt, Row};
use crate::clock::Timestamp;
use crate::id::{ConversationId, JobId, MessageId};
use crate::llm::{LlmError, LlmResponse, TokenUsage};
use crate::model::conversations::{NewMessage, Role};
use crate::model::jobs::{JobState, JobStep};
use crate::scope::Scope;
use crate::store::{StoreError, StoreErrorKind};

mod begin;
mod model;
mod tools;
mod waiting;

use begin::{Begun, Work};
use waiting::panicked;

/// How much longer than the answer's deadline its job stays claimed.
const CLAIM_GRACE: Duration = Duration::from_secs(60);

/// One answer in the making.
pub(super) struct Turn {
    inner: Arc<Inner>,
    scope: Scope,
    conversation: ConversationId,
    /// What is sent; `None` to answer what was recorded.
    message: Option<SendRequest>,
    events: Events,
    job: JobId,
    /// Keeps the job among those that are worked on.
    live: Live,
    /// Until when the job is ours alone, by the clock, and its row's version while it is; 0 before there is one.
    until: Timestamp,
    version: u64,
    question: MessageId,
    begun: Instant,
    /// What goes into the next commit.
    pending: Vec<Operation>,
    called: Vec<CalledTool>,
    /// What retrieval left out, and why.
    degraded: Vec<String>,
    usage: TokenUsage,
    timings: Timings,
    /// How many calls of the last answer were not even kept.
    not_kept: usize,
}

/// A job among those that this agent works on, for as long as this is there.
struct Live(Arc<Inner>, JobId);

impl Live {
    fn new(inner: &Arc<Inner>, job: JobId) -> Self {
        *inner.live().entry(job).or_default() += 1;
        Self(Arc::clone(inner), job)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut live = self.0.live();
        if let Entry::Occupied(mut count) = live.entry(self.1) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Turn {
    pub(super) fn new(
        inner: Arc<Inner>,
        scope: Scope,
        conversation: ConversationId,
        message: Option<SendRequest>,
        events: Events,
    ) -> Self {
        let question = MessageId::make(&*inner.clock);
        let job = ids::of_attempt(question, 0);
        let until = inner.clock.now().after(inner.config.deadline + CLAIM_GRACE);
        let live = Live::new(&inner, job);
        Self {
            inner,
            scope,
            conversation,
            message,
            events,
            job,
            live,
            until,
            version: 0,
            question,
            begun: Instant::now(),
            pending: Vec::new(),
            called: Vec::new(),
            degraded: Vec::new(),
            usage: TokenUsage::default(),
            timings: Timings::default(),
            not_kept: 0,
        }
    }

    /// Answers, or records why not. A caller who has gone is not waited for.
    pub(super) async fn run(mut self) {
        // Whatever is the host's may panic, and the job must end all the same.
        let answer = AssertUnwindSafe(self.answer()).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
        if let Err(error) = &answer
            && self.version > 0
        {
            self.end_without_answer(error).await;
        }
        let last = answer.map(|reply| AgentEvent::Finished(Box::new(reply)));
        // The answer is recorded; whether anybody still wants to hear it makes no difference.
        let _ = self.events.send(last).await;
    }

    async fn answer(&mut self) -> Result<Reply, AgentError> {
        let begun = match self.message.take() {
            Some(message) => self.begin(message).await?,
            None => self.resume(None).await?,
        };
        match begun {
            Begun::Answered(reply) => {
                self.tell(AgentEvent::Text(reply.text.clone())).await?;
                Ok(*reply)
            }
            Begun::Working(work) => self.rounds(*work?).await,
        }
    }

    async fn rounds(&mut self, work: Work) -> Result<Reply, AgentError> {
        let Work { message, said, mut retrieved } = work;
        self.timings.retrieval = retrieved.took;
        self.degraded = std::mem::take(&mut retrieved.degraded).into_iter().map(reason).collect();
        let inner = Arc::clone(&self.inner);
        let tools = inner.toolbox.specs();
        let mut prompt = Prompt::new(&inner, retrieved, message);
        if !said.is_empty() {
            prompt.extend(said);
            prompt.called_tools();
        }
        let degraded: Vec<String> = self.degraded.iter().cloned().chain(prompt.omissions()).collect();
        let degraded = (!degraded.is_empty()).then(|| degraded.join("; "));
        let messages = prompt.sources().iter().filter(|source| source.message.is_some()).count();
        self.note(JobStep::Retrieved {
            passages: (prompt.sources().len() - messages) as u64,
            messages: messages as u64,
            degraded,
        });
        let mut round = 0;
        loop {
            let request = prompt.request(tools)?;
            let response = self.ask(request).await?;
            if response.tool_calls.is_empty() {
                return self.finish(response, &prompt).await;
            }
            if round == inner.config.tool_rounds {
                let context =
                    format!("the model wants more than {round} of them; raise `tool_rounds` or change the tools");
                return Err(AgentError::new(AgentErrorKind::TooManyRounds, "send", context));
            }
            round += 1;
            prompt.extend(self.run_tools(response, prompt.tool_choice()).await?);
            prompt.called_tools();
        }
    }

    /// The last commit: the answer and the job's success.
    async fn finish(&mut self, response: LlmResponse, prompt: &Prompt) -> Result<Reply, AgentError> {
        let sources = prompt.sources();
        let texts: Vec<&str> = sources.iter().map(|source| source.passage.text.as_str()).collect();
        let citations: Vec<Citation> = prompt
            .is_cited()
            .then(|| cited(&response.text, &texts))
            .into_iter()
            .flatten()
            .filter_map(|cited| {
                let mut source = sources.get(cited.number - 1)?.clone();
                // JSON has no number that is none.
                if !source.passage.score.is_finite() {
                    source.passage.score = 0.0;
                }
                let (number, places) = (cited.number, cited.places);
                Some(Citation { number, places, passage: source.passage, message: source.message })
            })
            .collect();
        let message = ids::of_answer(self.question);
        let degraded = std::mem::take(&mut self.degraded).into_iter().chain(prompt.omissions()).collect();
        let kept = Kept { citations, degraded, left_out: prompt.left_out() };
        let mut metadata =
            json!({ "job": self.job, "answers": self.question, "model": response.model, "finish": response.finish });
        if let Some(kept) = kept.to_value(self.inner.config.limits.json_bytes) {
            metadata["reply"] = kept;
        }
        self.append(NewMessage { metadata, ..NewMessage::text(message, Role::Assistant, response.text.clone()) });
        self.pending.push(state_event(self.job, JobState::Succeeded));
        self.pending.push(JobOp::SetState { job: self.job, state: JobState::Succeeded, error: None }.into());
        self.commit().await?;
        self.timings.total = self.begun.elapsed();
        Ok(Reply {
            conversation: self.conversation,
            message,
            text: response.text,
            citations: kept.citations,
            degraded: kept.degraded,
            left_out: kept.left_out,
            tool_calls: std::mem::take(&mut self.called),
            model: response.model,
            finish: response.finish,
            job: self.job,
            usage: self.usage,
            timings: self.timings,
        })
    }

    /// Ends the job without an answer, with what is still to be recorded.
    async fn end_without_answer(&mut self, error: &AgentError) {
        let (state, why) = match error.kind() {
            AgentErrorKind::Cancelled => (JobState::Cancelled, None),
            _ => (JobState::Failed, Some(reason(error.to_string()))),
        };
        let end = [state_event(self.job, state), JobOp::SetState { job: self.job, state, error: why }.into()];
        self.pending.extend(end.iter().cloned());
        let Err(error) = self.commit().await else { return };
        // What the store refused must not keep the job from ending.
        self.pending = end.into();
        if let Err(again) = self.commit().await {
            tracing::warn!(job = %self.job, error = %error, again = %again, "the end of a job could not be recorded");
        }
    }

    fn append(&mut self, message: NewMessage) {
        self.pending.push(ConversationOp::AppendMessage { conversation: self.conversation, message }.into());
    }

    fn note(&mut self, step: JobStep) {
        self.pending.push(JobOp::AppendEvent { job: self.job, step }.into());
    }

    /// Commits what is pending. It is never dropped half-way: whether it was done would be unknown.
    async fn commit(&mut self) -> Result<Receipt, AgentError> {
        // As long as nobody took the job over: a process that slept wakes, and knows nothing of it.
        let ours = Precondition::RowVersion { row: Row::Job(self.job), version: self.version };
        let pending = std::mem::take(&mut self.pending).into_iter();
        let change = pending.fold(Change::new().require(ours), |change, op| change.with(op));
        match self.inner.store.apply(&self.scope, change).await {
            Err(error) if *error.kind() == StoreErrorKind::PreconditionFailed => Err(self.taken_over().await),
            applied => applied.map_err(refused_record),
        }
    }

    /// Why the job is not ours any more.
    async fn taken_over(&self) -> AgentError {
        match self.inner.store.jobs().job(&self.scope, self.job).await {
            Ok(Some(_)) => super::resume::busy(),
            Ok(None) => {
                let context = "the conversation, or the job of the answer, was deleted meanwhile";
                AgentError::new(AgentErrorKind::NotFound, "send", context)
            }
            Err(error) => AgentError::store("send", error),
        }
    }
}

fn cancelled() -> AgentError {
    AgentError::new(AgentErrorKind::Cancelled, "send", "the caller went away")
}

/// What the store refuses of the record is no fault of the caller's input, which was taken already.
fn refused_record(error: StoreError) -> AgentError {
    match error.kind() {
        StoreErrorKind::InvalidInput(_) => {
            AgentError::new(AgentErrorKind::Store, "send", "").with_source(error.to_string())
        }
        _ => AgentError::store("send", error),
    }
}

fn failed(error: LlmError) -> AgentError {
    AgentError::new(AgentErrorKind::Llm, "send", "").with_source(error)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

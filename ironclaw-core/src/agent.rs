//! The agent: it retrieves, asks the model, calls tools, and records all of it.
//!
//! [`Agent::send`] answers a message. What it does on the way is a job that anybody can look at afterwards: what was
//! retrieved, each call of the model with its request and response, each call of a tool with its arguments and result.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, mpsc};

use crate::clock::Clock;
use crate::id::{AgentName, ConversationId, JobId, WorkerName};
use crate::input::{InputError, Problem, check_text};
use crate::limits::Limits;
use crate::llm::{ContentPart, LlmOptions, LlmProvider, LlmRequest};
use crate::memory::Memory;
use crate::model::jobs::{JobFilter, JobState};
use crate::page::PageRequest;
use crate::scope::{Principal, Scope};
use crate::store::{AgentStore, StoreExt};

mod answer;
mod bounds;
mod builder;
mod citations;
mod context;
mod error;
mod history;
mod ids;
mod reply;
mod request;
mod resume;
mod retrieval;
mod tokens;
mod toolbox;
mod turn;

pub use builder::AgentBuilder;
pub use error::{AgentError, AgentErrorKind};
pub use reply::{AgentEvent, AgentStream, CalledTool, Citation, CitedMessage, LeftOut, Reply, Timings};
pub use request::SendRequest;
pub use tokens::estimate_tokens;

use toolbox::Toolbox;
use turn::Turn;

/// The kind of the jobs that an agent's answers are.
pub const JOB_KIND: &str = "send";

type Events = mpsc::Sender<Result<AgentEvent, AgentError>>;

/// Events that wait for a caller who is slower than the model.
const WAITING_EVENTS: usize = 64;

/// An agent for any number of users. Cloning it is cheap; all clones are one agent.
///
/// Every method takes the scope of the user it acts for, and acts as [`Principal::Agent`] at the end of its chain; a
/// tool acts as [`Principal::Tool`] after that.
///
/// # What is recorded, and when
///
/// 1. Before anything else, in one commit: the user's message, and a job that is claimed and running.
/// 2. For each round of tool calls two commits: the model's answer with its calls *before* any of them is made, since
///    tools may have effects, and all results before the model is asked again.
/// 3. In one last commit: the answer, the model's call and the job's success.
///
/// Whatever fails, the job ends as failed with the reason. A search that fails is noted with the job, and the answer is
/// made without it. What a tool does wrong is told to the model, and ends nothing.
///
/// Messages sent to one conversation at the same time are answered independently: each answer sees the messages that
/// were committed before its own question. After a crash a job stays running until [`Agent::recover`]; a call without a
/// result is shown to the model as interrupted. [`Agent::retry`] makes the answer that failed.
///
/// Whatever models, tools and services say is bounded before it is recorded: a text that is too long is cut with a note,
/// JSON that is too long or too deep is kept as text, and of thousands of calls in one answer the first are kept.
#[derive(Debug, Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AgentStore>,
    memory: Option<Arc<dyn Memory>>,
    llm: Arc<dyn LlmProvider>,
    toolbox: Toolbox,
    name: AgentName,
    worker: WorkerName,
    clock: Arc<dyn Clock>,
    config: Config,
    closed: AtomicBool,
    /// The jobs of the answers that are being made, and by how many: of two who begin the same, one does. What `recover` finds
    /// beside them under our name was left behind.
    live: Mutex<HashMap<JobId, usize>>,
    /// Read by each answer for as long as it is being made; whoever can write knows that none is.
    running: Arc<RwLock<()>>,
}

#[derive(Debug)]
struct Config {
    limits: Limits,
    instructions: String,
    context_tokens: usize,
    recent_messages: u32,
    passages: usize,
    past_messages: u32,
    tool_rounds: u32,
    tool_calls: usize,
    tool_result_bytes: usize,
    tool_deadline: Duration,
    llm_deadline: Duration,
    llm_options: LlmOptions,
    retrieval_deadline: Duration,
    deadline: Duration,
}

impl Agent {
    /// A builder; see there for the defaults.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::new()
    }

    /// The agent's name.
    pub fn name(&self) -> &AgentName {
        &self.inner.name
    }

    /// Starts a conversation without a title.
    ///
    /// Dropping the future leaves a conversation or none.
    ///
    /// # Errors
    /// [`AgentErrorKind::Store`] or [`AgentErrorKind::Closed`].
    pub async fn start_conversation(&self, scope: &Scope) -> Result<ConversationId, AgentError> {
        const OPERATION: &str = "start_conversation";
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(closed(OPERATION));
        }
        let id = ConversationId::make(&*self.inner.clock);
        let scope = self.acting(scope);
        let created = self.inner.store.create_conversation(&scope, id, "").await;
        created.map_err(|error| AgentError::store(OPERATION, error))?;
        Ok(id)
    }

    /// Answers a message.
    ///
    /// Dropping the future stops the work at the next point where it can be stopped: the user's message stays, what
    /// tools had answered is recorded, and the job ends as cancelled.
    ///
    /// # Errors
    /// An [`AgentError`]; with [`AgentErrorKind::InvalidInput`], [`AgentErrorKind::Unsupported`],
    /// [`AgentErrorKind::NotFound`] and [`AgentErrorKind::Closed`] nothing was recorded but the store's audit of the
    /// refusal.
    pub async fn send(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        message: impl Into<SendRequest>,
    ) -> Result<Reply, AgentError> {
        self.stream(scope, conversation, message).reply().await
    }

    /// Answers the user's last message, which was recorded and not answered: the model failed, the caller went away, the
    /// process was killed. The message is not recorded again. If it was answered meanwhile, that reply is given.
    ///
    /// What was done is not done again: calls of tools that were made are shown to the model with the results that were
    /// recorded. Of a call without a result nobody knows whether it took effect. It is not repeated either; the model is
    /// told so, and may call the tool again. The options are those that the message was sent with.
    ///
    /// Dropping the future is as with [`Agent::send`].
    ///
    /// # Errors
    /// As [`Agent::send`]; [`AgentErrorKind::Busy`] while somebody answers it, and [`AgentErrorKind::NotFound`] if the
    /// user has said nothing in the conversation, or the host answered it itself.
    pub async fn retry(&self, scope: &Scope, conversation: ConversationId) -> Result<Reply, AgentError> {
        self.stream_retry(scope, conversation).reply().await
    }

    /// The same, telling what happens on the way, as [`Agent::stream`] does. A reply that is there already comes as one
    /// text.
    pub fn stream_retry(&self, scope: &Scope, conversation: ConversationId) -> AgentStream {
        self.streaming(|events| self.start(scope, conversation, None, events))
    }

    /// Answers a message, telling what happens on the way. The work begins now, on the current tokio runtime, and
    /// waits when the caller does not take the events; dropping the stream stops it, as with [`Agent::send`].
    ///
    /// All errors come from the stream, as its last item.
    pub fn stream(&self, scope: &Scope, conversation: ConversationId, message: impl Into<SendRequest>) -> AgentStream {
        self.streaming(|events| self.begin(scope, conversation, message.into(), events))
    }

    /// Ends the jobs that were interrupted: those of this agent's answers for this user that are still running, though
    /// nobody works on them. They fail with the error `interrupted`. Gives their ids.
    ///
    /// Nobody works on a job whose claim has run out, and on one that is claimed under this agent's own
    /// [worker name](AgentBuilder::worker) though this agent isn't making its answer: a process of that name was killed.
    /// The name is all that tells who is alive, so two agents that are alive must never share one.
    ///
    /// Call it when a process starts. Jobs that somebody else ends or claims meanwhile are left alone.
    ///
    /// # Errors
    /// [`AgentErrorKind::Store`] or [`AgentErrorKind::Closed`]; those ended so far stay ended.
    pub async fn recover(&self, scope: &Scope) -> Result<Vec<JobId>, AgentError> {
        let failed = |error| AgentError::store("recover", error);
        let (store, scope) = (&self.inner.store, self.acting(scope));
        let filter = JobFilter { state: Some(JobState::Running), conversation: None };
        let mut recovered = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let jobs = store.jobs().jobs(&scope, &filter, &page).await.map_err(failed)?;
            for job in jobs.items {
                let ours = job.job.kind == JOB_KIND && job.job.agent.as_ref() == Some(&self.inner.name);
                if !ours || self.inner.is_held(&job) {
                    continue;
                }
                if self.inner.end_interrupted(&scope, &job).await.map_err(failed)? {
                    recovered.push(job.job.id);
                }
            }
            match jobs.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(recovered),
            }
        }
    }

    /// Takes no more messages and waits for the answers that are being made. The store, the memory and the sandbox are
    /// the host's to close. Closing again is no error; dropping the future leaves the agent closed to new messages.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        let _all_done = self.inner.running.write().await;
    }

    fn streaming(&self, begin: impl FnOnce(Events) -> Result<(), AgentError>) -> AgentStream {
        let (events, receiver) = mpsc::channel(WAITING_EVENTS);
        if let Err(error) = begin(events.clone()) {
            // The channel is new and empty.
            let _ = events.try_send(Err(error));
        }
        AgentStream::new(receiver)
    }

    fn begin(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        message: SendRequest,
        events: Events,
    ) -> Result<(), AgentError> {
        const OPERATION: &str = "send";
        let refused = |error| AgentError::refused(OPERATION, error);
        if message.text.trim().is_empty() && message.parts.is_empty() {
            return Err(refused(InputError::new("message", Problem::Empty)));
        }
        check_text("message", &message.text, usize::MAX).map_err(refused)?;
        message.parts.iter().try_for_each(ContentPart::check).map_err(refused)?;
        let options = message.options.clone().or(&self.inner.config.llm_options);
        let message = SendRequest { options, ..message };
        // Under a key there may be an answer already, of another model.
        if message.idempotency_key.is_none() {
            self.inner.check(&message)?;
        }
        self.start(scope, conversation, Some(message), events)
    }

    /// Starts the work on a message, or on the last one that was recorded.
    fn start(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        message: Option<SendRequest>,
        events: Events,
    ) -> Result<(), AgentError> {
        const OPERATION: &str = "send";
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(closed(OPERATION));
        }
        // Only `close` writes, so that a lock that can't be read means that the agent is closing.
        let running = Arc::clone(&self.inner.running).try_read_owned().map_err(|_| closed(OPERATION))?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            AgentError::new(AgentErrorKind::Misconfigured, OPERATION, "an agent works within a tokio runtime")
        })?;
        let turn = Turn::new(Arc::clone(&self.inner), self.acting(scope), conversation, message, events);
        runtime.spawn(async move {
            turn.run().await;
            drop(running);
        });
        Ok(())
    }

    fn acting(&self, scope: &Scope) -> Scope {
        scope.acting(Principal::Agent(self.inner.name.clone()))
    }
}

impl Inner {
    /// Refuses what does not fit beside instructions and tools, and what the model can't be asked.
    fn check(&self, message: &SendRequest) -> Result<(), AgentError> {
        let tools = self.toolbox.specs();
        context::check_fits(&self.config, tools, message).map_err(|error| AgentError::refused("send", error))?;
        let asked = LlmRequest::new(vec![message.message()]).tools(tools.to_vec()).options(message.options.clone());
        self.llm.check(&asked).map_err(|error| AgentError::unsupported("send", error))
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, usize>> {
        // Counts of ids are whole whoever panicked.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(operation: &'static str) -> AgentError {
    AgentError::new(AgentErrorKind::Closed, operation, "the agent was closed")
}

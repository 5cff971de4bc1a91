//! The answer to one message, from its first commit to its last.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::answer::{add, fit, malformed, unnamed};
use super::bounds::{clean, reason, record, short};
use super::citations::cited;
use super::context::Prompt;
use super::reply::{AgentEvent, CalledTool, Citation, Reply, Timings};
use super::request::SendRequest;
use super::resume::{Kept, state_event};
use super::toolbox::Called;
use super::{AgentError, AgentErrorKind, Events, Inner, ids};
use crate::change::{Change, ConversationOp, JobOp, Operation, Precondition, Receipt, Row};
use crate::clock::Timestamp;
use crate::id::{ConversationId, JobId, LlmCallId, MessageId, NAME_BYTES, SandboxJobId, ToolName};
use crate::input::JSON_DEPTH;
use crate::limits::Limits;
use crate::llm::{
    ContentPart, LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmRequest, LlmResponse, LlmStream, TokenUsage,
    ToolCall, ToolChoice,
};
use crate::model::conversations::{NewMessage, Role, ToolResult};
use crate::model::jobs::{JobState, JobStep, LlmCall, SandboxJob};
use crate::scope::Scope;
use crate::store::{StoreError, StoreErrorKind};

mod begin;

use begin::{Begun, Work};

/// How much longer than the answer's deadline its job stays claimed.
const CLAIM_GRACE: Duration = Duration::from_secs(60);

/// Stands for the result of a call that was not made, or not waited for, since the caller had gone.
const CANCELLED: &str = "The call was cancelled. If it had begun, it may have taken effect.";
/// Stands for the result of a call that the options of the message exclude.
const NOT_ASKED_FOR: &str = "The call was not made: this tool may not be called now. Answer with what you have.";

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
        inner.live().insert(job);
        Self(Arc::clone(inner), job)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live().remove(&self.1);
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

    /// Asks the model, passes its text on, and records the call, however it ends.
    async fn ask(&mut self, request: LlmRequest) -> Result<LlmResponse, AgentError> {
        let begun = Instant::now();
        let created_at = self.inner.clock.now();
        let limits = &self.inner.config.limits;
        let recorded = to_record(recorded(&request), limits);
        let mut waited = Duration::ZERO;
        let answer = self.listen(request, &mut waited).await;
        self.timings.model += waited;
        let answer = answer.and_then(|response| fit(response, &self.inner.config).map_err(failed));
        let (response, error, usage) = match &answer {
            Ok((response, _)) => (Some(to_record(serde_json::to_value(response), limits)), None, response.usage),
            Err(error) => (None, Some(reason(error.to_string())), TokenUsage::default()),
        };
        let call = LlmCall {
            id: LlmCallId::make(&*self.inner.clock),
            job: self.job,
            model: short(self.inner.llm.model().to_owned(), NAME_BYTES),
            request: recorded,
            response,
            error,
            usage,
            latency_us: micros(begun.elapsed()),
            created_at,
        };
        add(&mut self.usage, usage);
        self.pending.push(JobOp::RecordLlmCall { call }.into());
        let (response, more) = answer?;
        if more > 0 {
            self.note(JobStep::Note { text: format!("{more} more calls of the model's answer were not kept") });
        }
        self.not_kept = more;
        Ok(response)
    }

    /// The model's answer. Its deadline counts the time that the model takes, not the time that the caller does.
    async fn listen(&self, request: LlmRequest, waited: &mut Duration) -> Result<LlmResponse, AgentError> {
        let llm = Arc::clone(&self.inner.llm);
        let mut stream: LlmStream = self.model(llm.stream(&self.scope, request), waited).await?.map_err(failed)?;
        while let Some(event) = self.model(stream.next(), waited).await? {
            match event.map_err(failed)? {
                LlmEvent::Text(text) => self.tell(AgentEvent::Text(clean(text))).await?,
                LlmEvent::Finished(response) => return Ok(response),
            }
        }
        Err(failed(malformed("the stream ended without an answer")))
    }

    /// Records the calls, makes them one after another, and records their results.
    async fn run_tools(
        &mut self,
        response: LlmResponse,
        choice: Option<&ToolChoice>,
    ) -> Result<Vec<LlmMessage>, AgentError> {
        let inner = Arc::clone(&self.inner);
        let LlmResponse { text, tool_calls, finish, .. } = response;
        let names = tool_calls.iter().map(|call| ToolName::parse(call.name.clone()).map_err(|_| failed(unnamed())));
        let names: Vec<ToolName> = names.collect::<Result<_, _>>()?;
        let message = NewMessage {
            tool_calls: tool_calls.clone(),
            metadata: json!({ "job": self.job, "answers": self.question, "finish": finish }),
            ..NewMessage::text(MessageId::make(&*inner.clock), Role::Assistant, text.clone())
        };
        self.append(message);
        self.commit().await?;

        let mut messages = vec![LlmMessage::Assistant { text, tool_calls: tool_calls.clone() }];
        let mut stopped = None;
        let calls = tool_calls.len();
        for (number, (call, name)) in tool_calls.into_iter().zip(names).enumerate() {
            let last = (number + 1 == calls).then_some(self.not_kept);
            let begun_at = inner.clock.now();
            let called = match &stopped {
                Some(_) => Called::refused("cancelled", CANCELLED),
                None if !may_call(choice, &call.name) => Called::refused("not_asked_for", NOT_ASKED_FOR),
                None if number >= inner.config.tool_calls => Called::refused("too_many_calls", &too_many(&inner, last)),
                None => match self.call_tool(&call).await {
                    Ok(called) => called,
                    Err(error) => {
                        stopped = Some(error);
                        Called::refused("cancelled", CANCELLED)
                    }
                },
            };
            self.timings.tools += called.duration;
            messages.push(self.record(call, name, called, begun_at));
        }
        self.commit().await?;
        match stopped {
            Some(error) => Err(error),
            None => Ok(messages),
        }
    }

    async fn call_tool(&self, call: &ToolCall) -> Result<Called, AgentError> {
        let config = &self.inner.config;
        self.tell(AgentEvent::ToolStarted {
            call_id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        })
        .await?;
        let run = self.inner.toolbox.call(&self.scope, call, config);
        let called = self.wait(run).await?;
        let event = AgentEvent::ToolFinished {
            call_id: call.id.clone(),
            outcome: called.outcome.clone(),
            duration: called.duration,
        };
        // The call is made, and its result is recorded even if nobody waits for it: the next wait notices.
        let _ = self.tell(event).await;
        Ok(called)
    }

    /// Puts a call's result into the next commit, and gives it as the model is shown it.
    fn record(&mut self, call: ToolCall, name: ToolName, called: Called, begun_at: Timestamp) -> LlmMessage {
        let Called { outcome, shown, is_error, duration, run } = called;
        self.note(JobStep::ToolCall {
            call_id: call.id.clone(),
            tool: call.name.clone(),
            arguments: call.arguments.clone(),
            outcome: outcome.clone(),
            duration_us: micros(duration),
        });
        if let Some((usage, log)) = run {
            let run = SandboxJob {
                id: SandboxJobId::make(&*self.inner.clock),
                job: self.job,
                tool: name.clone(),
                parameters: call.arguments.clone(),
                outcome: outcome.clone(),
                log,
                usage: Some(usage),
                created_at: begun_at,
            };
            self.pending.push(JobOp::RecordSandboxJob { run }.into());
        }
        let result = ToolResult { call_id: call.id.clone(), name: name.clone(), is_error };
        self.append(NewMessage {
            tool_result: Some(result),
            metadata: json!({ "job": self.job, "answers": self.question }),
            ..NewMessage::text(MessageId::make(&*self.inner.clock), Role::Tool, shown.clone())
        });
        self.called.push(CalledTool { call_id: call.id.clone(), name: call.name, arguments: call.arguments, outcome });
        LlmMessage::Tool { call_id: call.id, name, content: shown, is_error }
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

    async fn tell(&self, event: AgentEvent) -> Result<(), AgentError> {
        self.wait(self.events.send(Ok(event))).await?.map_err(|_| cancelled())
    }

    /// Waits for the model within its deadline.
    async fn model<T>(&self, work: impl Future<Output = T>, waited: &mut Duration) -> Result<T, AgentError> {
        let begun = Instant::now();
        let deadline = self.inner.config.llm_deadline;
        let left = deadline.saturating_sub(*waited);
        let timeout = || {
            let context = format!("no answer within {deadline:?}; raise `llm_deadline` for a slower model");
            failed(LlmError::new(LlmErrorKind::Unreachable, "stream", context))
        };
        // A stream that always has something ready never lets a timer fire.
        if left.is_zero() {
            return Err(timeout());
        }
        let work = AssertUnwindSafe(work).catch_unwind();
        let done = self.wait(tokio::time::timeout(left, work)).await?;
        *waited += begun.elapsed();
        done.map_err(|_| timeout())?.map_err(|_| failed(malformed("the provider panicked")))
    }

    /// Waits until the work is done, the caller has gone, or the answer has taken too long.
    async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, AgentError> {
        let deadline = self.inner.config.deadline;
        let left = deadline.saturating_sub(self.begun.elapsed());
        let late = || {
            let context = format!("the answer took longer than {deadline:?}");
            AgentError::new(AgentErrorKind::DeadlineExceeded, "send", context)
        };
        // Work that is always ready never lets a timer fire, and a machine that slept has no timer that tells.
        if left.is_zero() || self.inner.clock.now() >= self.until {
            return Err(late());
        }
        let waiting = async {
            let mut work = pin!(work.fuse());
            let mut gone = pin!(self.events.closed().fuse());
            let mut too_late = pin!(tokio::time::sleep(left).fuse());
            futures::select_biased! {
                done = work => Ok(done),
                () = gone => Err(cancelled()),
                () = too_late => Err(late()),
            }
        };
        AssertUnwindSafe(waiting).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// Whether a model that was asked with this choice may call this tool. A model may disregard what it was asked.
fn may_call(choice: Option<&ToolChoice>, name: &str) -> bool {
    match choice {
        Some(ToolChoice::None) => false,
        Some(ToolChoice::Tool(tool)) => tool.as_str() == name,
        Some(ToolChoice::Auto | ToolChoice::Required) | None => true,
    }
}

fn panicked() -> AgentError {
    let context = "a provider, an embedder or a memory panicked, or the runtime has no timers (`enable_all`)";
    AgentError::new(AgentErrorKind::Panicked, "send", context)
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

/// A request as it is recorded: without the bytes of images and documents, which the messages keep.
fn recorded(request: &LlmRequest) -> Result<Value, serde_json::Error> {
    let without_parts = |message: &LlmMessage| match message {
        LlmMessage::User { text, .. } => LlmMessage::user(text),
        message => message.clone(),
    };
    let messages: Vec<LlmMessage> = request.messages.iter().map(without_parts).collect();
    let mut value = serde_json::to_value(LlmRequest { messages, ..request.clone() })?;
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| !message.parts().is_empty()) {
        value["messages"][at]["parts"] = message.parts().iter().map(ContentPart::without_data).collect();
    }
    Ok(value)
}

/// A model's request or response as it is recorded. It has values inside that are as deep as a value may be.
fn to_record(value: Result<Value, serde_json::Error>, limits: &Limits) -> Value {
    const WRAPPING: usize = 16;
    record(value.unwrap_or(Value::Null), limits.json_bytes, JSON_DEPTH + WRAPPING)
}

/// What the model is told of a call that is not made since there are too many; the last is told of those that were not
/// even kept.
fn too_many(inner: &Inner, not_kept: Option<usize>) -> String {
    let most = inner.config.tool_calls;
    let more = match not_kept {
        None | Some(0) => String::new(),
        Some(more) => format!(" {more} more calls of the same answer were left out."),
    };
    format!("The call was not made: too many calls in one answer. Make at most {most} at a time.{more}")
}

fn failed(error: LlmError) -> AgentError {
    AgentError::new(AgentErrorKind::Llm, "send", "").with_source(error)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

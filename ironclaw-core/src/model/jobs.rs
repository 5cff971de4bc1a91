//! Jobs: what an agent did, step by step.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{AgentName, ConversationId, JobId, LlmCallId, SandboxJobId, ToolName, WorkerName};
use crate::setters::setters;
use crate::tool::SandboxUsage;

/// A job to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// What it does, in the host's words: `send`.
    pub kind: String,
    /// The conversation it belongs to, if any; deleting that deletes the job.
    pub conversation: Option<ConversationId>,
    /// The agent that does it, if any.
    pub agent: Option<AgentName>,
    /// Its input: anything the host keeps with it.
    pub input: Value,
}

impl NewJob {
    /// A job of this kind, of no conversation and no agent, without input.
    pub fn new(id: JobId, kind: impl Into<String>) -> Self {
        Self { id, kind: kind.into(), conversation: None, agent: None, input: Value::Null }
    }
}

setters! {
    NewJob:
    conversation: into Option<ConversationId>,
    agent: into Option<AgentName>,
    input: Value,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// What was created.
    #[serde(flatten)]
    pub job: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// Who works on it, and until when nobody else may.
    pub claim: Option<Claim>,
    /// Why it failed, if it did: a short text without secrets.
    pub error: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its row version, from 1.
    pub version: u64,
}

impl Job {
    /// A job as it is when it was created: queued, and nobody's.
    pub fn new(job: NewJob, created_at: Timestamp) -> Self {
        Self { job, state: JobState::Queued, claim: None, error: None, created_at, updated_at: created_at, version: 1 }
    }
}

setters! {
    Job:
    state: JobState,
    claim: into Option<Claim>,
    error: into Option<String>,
    updated_at: Timestamp,
    version: u64,
}

/// Who works on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Claim {
    /// The worker.
    pub worker: WorkerName,
    /// When another may take it over.
    pub until: Timestamp,
}

impl Claim {
    /// A claim of this worker.
    pub fn new(worker: WorkerName, until: Timestamp) -> Self {
        Self { worker, until }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every store keeps each of them by a code of its own: one that a store forgot must not compile"
)]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// Being worked on.
    Running,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped by its caller.
    Cancelled,
}

impl JobState {
    /// The word: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job is over; an ended job never changes again.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// Its place, from 1 without gaps.
    pub sequence: u64,
    /// When it happened.
    pub created_at: Timestamp,
    /// What happened.
    pub step: JobStep,
}

impl JobEvent {
    /// A step at this place in its job.
    pub fn new(job: JobId, sequence: u64, created_at: Timestamp, step: JobStep) -> Self {
        Self { job, sequence, created_at, step }
    }
}

/// What happened in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum JobStep {
    /// The job changed its state.
    State {
        /// The new state.
        state: JobState,
    },
    /// Something was retrieved for the model.
    Retrieved {
        /// How many passages.
        passages: u64,
        /// How many past messages.
        messages: u64,
        /// Why retrieval used full text only, if it did.
        degraded: Option<String>,
    },
    /// A tool was called.
    ToolCall {
        /// The model's id of the call.
        call_id: String,
        /// The tool's name as the model wrote it.
        tool: String,
        /// The arguments.
        arguments: Value,
        /// What it answered.
        outcome: ToolOutcome,
        /// How long it took, in microseconds.
        duration_us: u64,
    },
    /// Anything the host notes.
    Note {
        /// The host's text.
        text: String,
    },
}

impl JobStep {
    /// What kind of step it is: `state`, `retrieved`, `tool_call` or `note`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Retrieved { .. } => "retrieved",
            Self::ToolCall { .. } => "tool_call",
            Self::Note { .. } => "note",
        }
    }
}

/// How a tool's call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolOutcome {
    /// With an answer.
    Success(Value),
    /// With an error: its code and message.
    Failure {
        /// A stable code, as of [`ToolErrorKind::code`](crate::tool::ToolErrorKind::code).
        code: String,
        /// The message.
        message: String,
    },
}

/// One call of a language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmCall {
    /// Its id.
    pub id: LlmCallId,
    /// Its job.
    pub job: JobId,
    /// The model that was called.
    pub model: String,
    /// The whole request. An agent's reads back as an [`LlmRequest`](crate::llm::LlmRequest), whose images and documents
    /// have no bytes ([`PartData::is_left_out`](crate::llm::PartData::is_left_out)): the messages of the conversation keep
    /// them. One that is larger than [`Limits::json_bytes`](crate::Limits::json_bytes) is a text, its beginning.
    pub request: Value,
    /// The whole response, if there was one.
    pub response: Option<Value>,
    /// The error, if there was one.
    pub error: Option<String>,
    /// Tokens and cost.
    pub usage: TokenUsage,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// When it began.
    pub created_at: Timestamp,
}

impl LlmCall {
    /// A call that began then, with neither response nor error yet.
    pub fn new(id: LlmCallId, job: JobId, model: impl Into<String>, request: Value, created_at: Timestamp) -> Self {
        Self {
            id,
            job,
            model: model.into(),
            request,
            response: None,
            error: None,
            usage: TokenUsage::default(),
            latency_us: 0,
            created_at,
        }
    }
}

setters! {
    LlmCall:
    response: into Option<Value>,
    error: into Option<String>,
    usage: TokenUsage,
    latency_us: u64,
}

/// Tokens of one call, as the service counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenUsage {
    /// Tokens read, if known.
    pub input: Option<u64>,
    /// Tokens written, if known.
    pub output: Option<u64>,
    /// What it cost, in millionths of a US dollar, if known.
    pub cost_micro_usd: Option<u64>,
}

setters! {
    TokenUsage:
    input: Option<u64>,
    output: Option<u64>,
    cost_micro_usd: Option<u64>,
}

/// One run of a sandboxed tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxJob {
    /// Its id.
    pub id: SandboxJobId,
    /// Its job.
    pub job: JobId,
    /// The tool.
    pub tool: ToolName,
    /// The arguments.
    pub parameters: Value,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// What it logged, as lines of `level: message`.
    pub log: String,
    /// What it took, if it ran.
    pub usage: Option<SandboxUsage>,
    /// When it began.
    pub created_at: Timestamp,
}

impl SandboxJob {
    /// A run that began then and ended so, which logged nothing.
    pub fn new(
        id: SandboxJobId,
        job: JobId,
        tool: ToolName,
        parameters: Value,
        outcome: ToolOutcome,
        created_at: Timestamp,
    ) -> Self {
        Self { id, job, tool, parameters, outcome, log: String::new(), usage: None, created_at }
    }
}

setters! {
    SandboxJob:
    log: into String,
    usage: into Option<SandboxUsage>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this conversation.
    pub conversation: Option<ConversationId>,
}

setters! {
    JobFilter:
    state: into Option<JobState>,
    conversation: into Option<ConversationId>,
}

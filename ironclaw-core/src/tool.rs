//! What an agent can call: a host's own tools and sandboxed ones look alike.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::error::error_type;
use crate::forward::forward;
use crate::id::ToolName;
use crate::scope::Scope;
use crate::setters::setters;

mod arguments;
mod function;

pub use function::FnTool;

/// Something an agent can call with JSON and that answers with JSON.
///
/// A function is one: [`FnTool`]. What has a state of its own implements the trait:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use async_trait::async_trait;
/// use ironclaw_core::prelude::*;
/// use ironclaw_core::tool::{ToolOutput, ToolSpec};
/// use serde_json::{Value, json};
///
/// #[derive(Debug)]
/// struct Counter {
///     spec: ToolSpec,
///     calls: AtomicU64,
/// }
///
/// #[async_trait]
/// impl Tool for Counter {
///     fn spec(&self) -> &ToolSpec {
///         &self.spec
///     }
///
///     async fn call(&self, _scope: &Scope, _arguments: Value) -> Result<ToolOutput, ToolError> {
///         Ok(ToolOutput::new(json!(self.calls.fetch_add(1, Ordering::Relaxed) + 1)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let spec = ToolSpec::new("count".parse()?, "Says how often it was called.", json!({"type": "object"}));
/// let counter = Counter { spec, calls: AtomicU64::new(0) };
/// let tool = Scope::user("ada")?.acting(Principal::tool("count")?);
/// assert_eq!(counter.call(&tool, json!({})).await?.value, json!(1));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Tool: Send + Sync + std::fmt::Debug {
    /// What the tool is called, what it does and what it takes.
    fn spec(&self) -> &ToolSpec;

    /// Runs the tool for the scope's owner. The last principal of the scope's chain is this tool.
    ///
    /// Dropping the future stops the tool at the next point where it can be stopped; what it had already done
    /// outside stays done.
    ///
    /// # Errors
    /// A [`ToolError`] whose kind says which limit or rule stopped it, or that the tool itself failed.
    async fn call(&self, scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError>;
}

forward! {
    Tool:
    fn spec(&self) -> &ToolSpec;
    async fn call(&self, scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError>;
}

/// A tool's name, description and JSON Schemas, as a language model is told of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolSpec {
    /// The name it is called by: at most 64 of `a-z A-Z 0-9 _ -`, what every model's API accepts.
    pub name: ToolName,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments: an object.
    pub parameters: Value,
    /// JSON Schema of the result, if the tool states one.
    pub result: Option<Value>,
}

impl ToolSpec {
    /// The longest name, in bytes.
    pub const NAME_BYTES: usize = 64;

    /// A tool that states no schema of its result.
    pub fn new(name: ToolName, description: impl Into<String>, parameters: Value) -> Self {
        Self { name, description: description.into(), parameters, result: None }
    }
}

setters! {
    ToolSpec:
    result: into Option<Value>,
}

/// What a tool answered, with what it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolOutput {
    /// The answer.
    pub value: Value,
    /// What it logged, bounded by the sandbox's limits. Empty for tools that do not log.
    pub logs: Vec<LogLine>,
    /// What the run took, for a sandboxed tool.
    pub usage: Option<SandboxUsage>,
}

setters! {
    ToolOutput:
    logs: Vec<LogLine>,
    usage: into Option<SandboxUsage>,
}

impl ToolOutput {
    /// An answer with neither logs nor usage: what a host's own tool returns.
    pub fn new(value: Value) -> Self {
        Self { value, logs: Vec::new(), usage: None }
    }
}

/// One line of a tool's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// How important it is.
    pub level: LogLevel,
    /// The text, cut at a character boundary to the sandbox's limit.
    pub message: String,
}

impl LogLine {
    /// A line of this importance.
    pub fn new(level: LogLevel, message: impl Into<String>) -> Self {
        Self { level, message: message.into() }
    }
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogLevel {
    /// The finest detail.
    Trace,
    /// For whoever debugs the tool.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// What one sandboxed run took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxUsage {
    /// SHA-256 of the component that ran, in hex.
    pub component: String,
    /// Units of fuel used: about one per WebAssembly instruction.
    pub fuel: u64,
    /// The most linear memory held, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time, in microseconds.
    pub duration_us: u64,
}

setters! {
    SandboxUsage:
    component: into String,
    fuel: u64,
    memory_bytes: u64,
    duration_us: u64,
}

/// Which way a tool's call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ToolErrorKind {
    /// No tool of that name.
    #[error("unknown tool")]
    UnknownTool,
    /// The arguments are not what the tool takes.
    #[error("invalid arguments")]
    InvalidArguments,
    /// The caller or the tool may not do that.
    #[error("denied")]
    Denied,
    /// The tool ran and reported a failure of its own.
    #[error("the tool failed")]
    Failed,
    /// It ran longer than its time limit.
    #[error("time limit exceeded")]
    Timeout,
    /// It used more fuel than its limit.
    #[error("fuel limit exceeded")]
    OutOfFuel,
    /// It asked for more memory than its limit.
    #[error("memory limit exceeded")]
    OutOfMemory,
    /// It recursed deeper than its stack.
    #[error("stack limit exceeded")]
    StackOverflow,
    /// Its answer is larger than its limit.
    #[error("output limit exceeded")]
    OutputTooLarge,
    /// Its log is larger than its limit.
    #[error("log limit exceeded")]
    LogTooLarge,
    /// It crashed: a panic, an unreachable instruction, an access out of bounds.
    #[error("the tool crashed")]
    Trapped,
    /// Its answer is not JSON.
    #[error("malformed output")]
    MalformedOutput,
    /// Too many runs are going on; try again later.
    #[error("busy")]
    Busy,
    /// It was closed.
    #[error("closed")]
    Closed,
    /// What the tool needs (a store, an embedder) failed.
    #[error("unavailable")]
    Unavailable,
}

impl ToolErrorKind {
    /// A stable snake-case code, as it is stored with a job.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTool => "unknown_tool",
            Self::InvalidArguments => "invalid_arguments",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::OutOfFuel => "out_of_fuel",
            Self::OutOfMemory => "out_of_memory",
            Self::StackOverflow => "stack_overflow",
            Self::OutputTooLarge => "output_too_large",
            Self::LogTooLarge => "log_too_large",
            Self::Trapped => "trapped",
            Self::MalformedOutput => "malformed_output",
            Self::Busy => "busy",
            Self::Closed => "closed",
            Self::Unavailable => "unavailable",
        }
    }
}

error_type! {
    /// Why a tool's call failed.
    ToolError, ToolErrorKind, retryable: [Busy, Unavailable]
}

impl ToolError {
    /// The tool ran and could not do what it was asked: `why` is what the model is told, and what is kept with the job. It
    /// must hold no secret.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::new(ToolErrorKind::Failed, "call", why)
    }
}

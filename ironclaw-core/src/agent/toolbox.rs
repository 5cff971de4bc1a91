use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::Value;

use super::bounds::{REASON_BYTES, clean, cut, json, short};
use super::{AgentError, AgentErrorKind, Config};
use crate::llm::ToolCall;
use crate::model::jobs::ToolOutcome;
use crate::scope::{Principal, Scope};
use crate::tool::{LogLevel, LogLine, SandboxUsage, Tool, ToolError, ToolErrorKind, ToolOutput, ToolSpec};

/// The tools that the model may call.
#[derive(Debug, Default)]
pub(super) struct Toolbox {
    specs: Vec<ToolSpec>,
    by_name: HashMap<String, Arc<dyn Tool>>,
}

/// The largest result that is kept whole with the job, and the longest log, in bytes of JSON; what is larger is kept by
/// its beginning.
const RECORDED_BYTES: usize = 1 << 20;
/// The longest error that is kept with the job, in bytes.
const ERROR_BYTES: usize = 64 << 10;
/// The longest name of a component that is kept: its SHA-256 in hex.
const COMPONENT_BYTES: usize = 64;
/// The largest count that is kept: what a database's number holds.
const LARGEST: u64 = i64::MAX.unsigned_abs();

/// A call that ended.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) outcome: ToolOutcome,
    /// What the model is shown.
    pub(super) shown: String,
    pub(super) is_error: bool,
    pub(super) duration: Duration,
    /// What a sandboxed run took, and logged.
    pub(super) run: Option<(SandboxUsage, String)>,
}

impl Toolbox {
    pub(super) fn new(tools: Vec<Arc<dyn Tool>>) -> Result<Self, AgentError> {
        let refused = |what: String| AgentError::new(AgentErrorKind::Misconfigured, "build", what);
        let mut toolbox = Self::default();
        for tool in tools {
            let spec = tool.spec().clone();
            let name = spec.name.as_str().to_owned();
            if name.len() > ToolSpec::NAME_BYTES
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
            {
                return Err(refused(format!(
                    "tool {name:?}: a name is at most {} of a-z, A-Z, 0-9, `_` and `-`",
                    ToolSpec::NAME_BYTES
                )));
            }
            if toolbox.by_name.insert(name.clone(), tool).is_some() {
                return Err(refused(format!("tool {name:?}: two tools have this name; rename or leave out one")));
            }
            toolbox.specs.push(spec);
        }
        Ok(toolbox)
    }

    pub(super) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Calls a tool. Whatever goes wrong is an outcome that the model is told of.
    pub(super) async fn call(&self, scope: &Scope, call: &ToolCall, config: &Config) -> Called {
        let deadline = config.tool_deadline;
        let begun = Instant::now();
        let result = match (self.by_name.get(&call.name), &call.arguments) {
            (None, _) => Err(error(ToolErrorKind::UnknownTool, "call one of the tools that were given")),
            (Some(_), arguments) if !arguments.is_object() => {
                Err(error(ToolErrorKind::InvalidArguments, "the arguments must be a JSON object"))
            }
            (Some(tool), arguments) => {
                let scope = scope.acting(Principal::Tool(tool.spec().name.clone()));
                let run = AssertUnwindSafe(tool.call(&scope, arguments.clone())).catch_unwind();
                match tokio::time::timeout(deadline, run).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(error(ToolErrorKind::Trapped, "the tool panicked")),
                    Err(_) => Err(error(ToolErrorKind::Timeout, format!("it ran longer than {deadline:?}"))),
                }
            }
        };
        Called::new(result, begun.elapsed(), config)
    }
}

impl Called {
    fn new(result: Result<ToolOutput, ToolError>, duration: Duration, config: &Config) -> Self {
        let recorded_bytes = RECORDED_BYTES.min(config.limits.json_bytes);
        // Room for the note of what was cut.
        let shown_bytes = config.tool_result_bytes.min(config.limits.message_bytes.saturating_sub(128));
        match result {
            Ok(ToolOutput { value, logs, usage }) => {
                // Whole, as long as it can be read at all: what the model is shown is cut from it.
                let value = json(value, recorded_bytes.max(shown_bytes));
                let text = match &value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                Self {
                    outcome: ToolOutcome::Success(json(value, recorded_bytes)),
                    shown: cut(text, shown_bytes),
                    is_error: false,
                    duration,
                    run: usage.map(|usage| (bounded(usage), log_text(logs, recorded_bytes))),
                }
            }
            Err(error) => {
                let message = clean(cut(error.without_cause(), ERROR_BYTES.min(shown_bytes.max(REASON_BYTES))));
                Self {
                    shown: cut(message.clone(), shown_bytes),
                    outcome: ToolOutcome::Failure { code: error.kind().code().to_owned(), message },
                    is_error: true,
                    duration,
                    run: None,
                }
            }
        }
    }

    /// A call that was not made, or not waited for.
    pub(super) fn refused(code: &str, message: &str) -> Self {
        Self {
            outcome: ToolOutcome::Failure { code: code.to_owned(), message: message.to_owned() },
            shown: message.to_owned(),
            is_error: true,
            duration: Duration::ZERO,
            run: None,
        }
    }
}

/// The usage with counts that a database can hold.
fn bounded(usage: SandboxUsage) -> SandboxUsage {
    SandboxUsage {
        component: short(usage.component, COMPONENT_BYTES),
        fuel: usage.fuel.min(LARGEST),
        memory_bytes: usage.memory_bytes.min(LARGEST),
        duration_us: usage.duration_us.min(LARGEST),
    }
}

/// The lines as `level: message`.
fn log_text(logs: Vec<LogLine>, limit: usize) -> String {
    let mut text = String::new();
    for LogLine { level, message } in logs {
        let level = match level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(level);
        text.push_str(": ");
        text.push_str(&message);
        if text.len() > limit {
            break;
        }
    }
    clean(cut(text, limit.saturating_sub(128)))
}

fn error(kind: ToolErrorKind, context: impl Into<String>) -> ToolError {
    ToolError::new(kind, "call", context)
}

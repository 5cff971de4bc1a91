use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::Value;

use super::text::{clean, clean_json, cut};
use super::{AgentError, AgentErrorKind};
use crate::input::{JSON_DEPTH, json_depth};
use crate::llm::ToolCall;
use crate::model::jobs::ToolOutcome;
use crate::scope::{Principal, Scope};
use crate::tool::{LogLine, SandboxUsage, Tool, ToolError, ToolErrorKind, ToolOutput, ToolSpec};

/// The tools that the model may call.
#[derive(Debug, Default)]
pub(super) struct Toolbox {
    specs: Vec<ToolSpec>,
    by_name: HashMap<String, Arc<dyn Tool>>,
}

/// The largest result that is kept whole with the job, in bytes of JSON; what is larger is kept by its beginning.
const RECORDED_BYTES: usize = 1 << 20;
/// The longest name that every model's API takes.
const NAME_BYTES: usize = 64;

/// A call that ended.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) outcome: ToolOutcome,
    /// What the model is shown.
    pub(super) shown: String,
    pub(super) is_error: bool,
    pub(super) duration: Duration,
    /// What a sandboxed run took, and logged.
    pub(super) run: Option<(SandboxUsage, Vec<LogLine>)>,
}

impl Toolbox {
    pub(super) fn new(tools: Vec<Arc<dyn Tool>>) -> Result<Self, AgentError> {
        let refused = |what: String| AgentError::new(AgentErrorKind::Misconfigured, "build", what);
        let mut toolbox = Self::default();
        for tool in tools {
            let spec = tool.spec().clone();
            let name = spec.name.as_str().to_owned();
            if name.len() > NAME_BYTES || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
                return Err(refused(format!(
                    "tool {name:?}: a name is at most {NAME_BYTES} of a-z, A-Z, 0-9, `_` and `-`"
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
    pub(super) async fn call(&self, scope: &Scope, call: &ToolCall, deadline: Duration, shown_bytes: usize) -> Called {
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
        Called::new(result, begun.elapsed(), shown_bytes)
    }
}

impl Called {
    fn new(result: Result<ToolOutput, ToolError>, duration: Duration, shown_bytes: usize) -> Self {
        match result {
            Ok(output) if json_depth(&output.value) > JSON_DEPTH => {
                let context = "the result is nested too deeply to be kept";
                Self::new(Err(error(ToolErrorKind::MalformedOutput, context)), duration, shown_bytes)
            }
            Ok(ToolOutput { value, logs, usage }) => {
                let value = clean_json(value);
                let text = match &value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                let recorded = match text.len() > RECORDED_BYTES {
                    true => Value::String(cut(text.clone(), RECORDED_BYTES)),
                    false => value,
                };
                Self {
                    outcome: ToolOutcome::Success(recorded),
                    shown: cut(text, shown_bytes),
                    is_error: false,
                    duration,
                    run: usage.map(|usage| (usage, logs)),
                }
            }
            Err(error) => {
                let message = clean(error.to_string());
                Self {
                    shown: cut(message.clone(), shown_bytes),
                    outcome: ToolOutcome::Failure {
                        code: error.kind().code().to_owned(),
                        message: cut(message, RECORDED_BYTES / 2),
                    },
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

fn error(kind: ToolErrorKind, context: impl Into<String>) -> ToolError {
    ToolError::new(kind, "call", context)
}

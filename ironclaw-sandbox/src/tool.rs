//! One tool of the sandbox, as an agent sees it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use ironclaw_core::Scope;
use ironclaw_core::input::{InputError, JSON_DEPTH, Problem, check_json, check_size, json_depth};
use ironclaw_core::tool::{Tool, ToolError, ToolErrorKind, ToolOutput, ToolSpec};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::call::Program;
use crate::gate::closed;
use crate::limits::SandboxLimits;
use crate::log::cut;
use crate::shared::Shared;
use crate::stop::output_too_large;
use crate::wit::{Answered, Failure};

/// The most of a tool's own failure text that is told, in bytes.
const FAILURE_BYTES: usize = 4 << 10;

/// A loaded component.
#[derive(Debug)]
pub(crate) struct WasmTool {
    pub(crate) spec: ToolSpec,
    pub(crate) program: Arc<Program>,
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Tool for WasmTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let arguments = arguments_text(&arguments, &self.program.limits)?;
        let ticket = self.shared.gate.enter()?;
        let (program, shared) = (Arc::clone(&self.program), Arc::clone(&self.shared));
        let call = async move {
            let _permit = ticket.turn().await?;
            let _running = shared.ticker.run();
            program.run::<(&str,), Answered>(&program.call, (&arguments,)).await
        };
        let outcome = match EndedOnDrop(self.shared.threads.spawn(call)).await {
            Ok(outcome) => outcome?,
            Err(end) if end.is_cancelled() => return Err(closed()),
            Err(end) => {
                let error = ToolError::new(ToolErrorKind::Unavailable, "call", "the sandbox itself failed");
                return Err(error.with_source(end));
            }
        };
        let value = answer(outcome.result.0, self.program.limits.output_bytes)?;
        Ok(ToolOutput::new(value).logs(outcome.logs).usage(outcome.usage))
    }
}

/// A call on the sandbox's threads that ends, at its next tick, when nobody waits for it any more.
struct EndedOnDrop<T>(JoinHandle<T>);

impl<T> Future for EndedOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for EndedOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The arguments as the tool gets them: a JSON object within the limit.
fn arguments_text(arguments: &Value, limits: &SandboxLimits) -> Result<String, ToolError> {
    let refused = |error: InputError| ToolError::new(ToolErrorKind::InvalidArguments, "call", error.to_string());
    if !arguments.is_object() {
        return Err(refused(InputError::new("arguments", Problem::Malformed { expected: "a JSON object" })));
    }
    check_size("arguments", json_depth(arguments), JSON_DEPTH, "levels").map_err(refused)?;
    let text = arguments.to_string();
    check_size("arguments", text.len(), limits.arguments_bytes, "bytes").map_err(refused)?;
    if may_hold_nul(&text) {
        check_json("arguments", arguments, limits.arguments_bytes, JSON_DEPTH).map_err(refused)?;
    }
    Ok(text)
}

/// The answer as the caller gets it: JSON within the limit, or the failure that the tool reports.
fn answer(answered: Result<String, Failure>, limit: usize) -> Result<Value, ToolError> {
    let (kind, message) = match answered {
        Ok(text) => return parsed(&text, limit),
        Err(Failure::InvalidArguments(message)) => (ToolErrorKind::InvalidArguments, message),
        Err(Failure::Failed(message)) => (ToolErrorKind::Failed, message),
    };
    if message.len() > limit {
        return Err(output_too_large(limit));
    }
    Err(ToolError::new(kind, "call", cut(&message, FAILURE_BYTES)))
}

fn parsed(text: &str, limit: usize) -> Result<Value, ToolError> {
    if text.len() > limit {
        return Err(output_too_large(limit));
    }
    let malformed = |what: &str| ToolError::new(ToolErrorKind::MalformedOutput, "call", what);
    let value = serde_json::from_str(text).map_err(|e| malformed("the answer is no JSON").with_source(e))?;
    if json_depth(&value) > JSON_DEPTH {
        return Err(malformed("the answer is nested too deeply to be kept"));
    }
    if may_hold_nul(text) && check_json("answer", &value, usize::MAX, JSON_DEPTH).is_err() {
        return Err(malformed("the answer holds U+0000"));
    }
    Ok(value)
}

/// Serialised JSON has U+0000 only as an escape, so that most texts need no closer look.
fn may_hold_nul(text: &str) -> bool {
    text.contains("\\u0000")
}

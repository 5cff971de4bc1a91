//! Tools are called, and their results recorded.

use std::sync::Arc;

use serde_json::json;

use super::{Turn, failed, micros};
use crate::agent::answer::unnamed;
use crate::agent::reply::{AgentEvent, CalledTool};
use crate::agent::toolbox::Called;
use crate::agent::{AgentError, Inner};
use crate::change::JobOp;
use crate::clock::Timestamp;
use crate::id::{MessageId, SandboxJobId, ToolName};
use crate::llm::{LlmMessage, LlmResponse, ToolCall, ToolChoice};
use crate::model::conversations::{NewMessage, Role, ToolResult};
use crate::model::jobs::{JobStep, SandboxJob};

/// Stands for the result of a call that was not made, or not waited for, since the caller had gone.
const CANCELLED: &str = "The call was cancelled. If it had begun, it may have taken effect.";
/// Stands for the result of a call that the options of the message exclude.
const NOT_ASKED_FOR: &str = "The call was not made: this tool may not be called now. Answer with what you have.";

impl Turn {
    /// Records the calls, makes them one after another, and records their results.
    pub(super) async fn run_tools(
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
}

/// Whether a model that was asked with this choice may call this tool. A model may disregard what it was asked.
fn may_call(choice: Option<&ToolChoice>, name: &str) -> bool {
    match choice {
        Some(ToolChoice::None) => false,
        Some(ToolChoice::Tool(tool)) => tool.as_str() == name,
        Some(ToolChoice::Auto | ToolChoice::Required) | None => true,
    }
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

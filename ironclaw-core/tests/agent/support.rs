use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use ironclaw_core::agent::AgentBuilder;
use ironclaw_core::id::{AgentName, ConversationId, JobId, ToolName};
use ironclaw_core::llm::{
    FinishReason, LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmProvider, LlmRequest, LlmResponse, LlmStream,
    TokenUsage, ToolCall,
};
use ironclaw_core::model::conversations::{Message, Role};
use ironclaw_core::model::jobs::{Job, JobFilter, JobStep, LlmCall};
use ironclaw_core::tool::{SandboxUsage, ToolError, ToolErrorKind, ToolOutput, ToolSpec};
use ironclaw_core::{Agent, AgentStore, PageRequest, Scope, Tool};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

/// What a scripted model does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Answers.
    Say(&'static str),
    /// Calls tools, saying nothing.
    Call(Vec<(&'static str, Value)>),
    /// Answers exactly this.
    Raw(LlmResponse),
    /// Fails.
    Fail(LlmErrorKind),
    /// Says this, and then nothing more, for ever.
    Hang(&'static str),
    /// Says this, and ends without an answer.
    BreakOff(&'static str),
}

/// A model that follows a script and keeps what it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<Mutex<(VecDeque<Step>, Vec<LlmRequest>)>>);

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(Arc::new(Mutex::new((steps.into_iter().collect(), Vec::new()))))
    }

    pub(crate) fn requests(&self) -> Vec<LlmRequest> {
        self.0.lock().unwrap().1.clone()
    }

    pub(crate) fn last_request(&self) -> LlmRequest {
        self.requests().pop().unwrap()
    }
}

#[async_trait]
impl LlmProvider for Script {
    fn model(&self) -> &str {
        "scripted"
    }

    async fn stream(&self, _scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        let step = {
            let mut script = self.0.lock().unwrap();
            script.1.push(request);
            script.0.pop_front().expect("the script goes on")
        };
        let text = |text: &str| stream::iter([Ok(LlmEvent::Text(text.to_owned()))]);
        Ok(match step {
            Step::Say(said) => whole(response(said, Vec::new())),
            Step::Call(calls) => whole(response("", calls)),
            Step::Raw(response) => whole(response),
            Step::Fail(kind) => return Err(LlmError::new(kind, "stream", "scripted")),
            Step::Hang(said) => Box::pin(text(said).chain(stream::pending())),
            Step::BreakOff(said) => Box::pin(text(said)),
        })
    }
}

fn whole(response: LlmResponse) -> LlmStream {
    // A character at a time, to be put together again by whoever listens.
    let pieces: Vec<_> = response.text.chars().map(|c| Ok(LlmEvent::Text(c.to_string()))).collect();
    Box::pin(stream::iter(pieces).chain(stream::iter([Ok(LlmEvent::Finished(response))])))
}

pub(crate) fn response(text: &str, calls: Vec<(&str, Value)>) -> LlmResponse {
    let tool_calls: Vec<ToolCall> =
        (0..).zip(calls).map(|(n, (name, arguments))| ToolCall::new(format!("c{n}"), name, arguments)).collect();
    LlmResponse::new("scripted-2026", text)
        .finish(if tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls })
        .tool_calls(tool_calls)
        .usage(TokenUsage::default().input(Some(10)).output(Some(2)))
}

/// A tool that does what its arguments say.
#[derive(Debug)]
pub(crate) struct Echo {
    spec: ToolSpec,
    pub(crate) chains: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Echo {
    pub(crate) fn new(name: &str) -> Self {
        let spec = ToolSpec::new(ToolName::parse(name).unwrap(), "Does what it is told", json!({"type": "object"}));
        Self { spec, chains: Arc::default() }
    }
}

#[async_trait]
impl Tool for Echo {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let chain = scope.chain().iter().map(|p| format!("{}:{}", p.kind(), p.name())).collect();
        self.chains.lock().unwrap().push(chain);
        match arguments.get("do").and_then(Value::as_str) {
            Some("panic") => panic!("as told"),
            Some("hang") => std::future::pending().await,
            Some("deny") => Err(ToolError::new(ToolErrorKind::Denied, "call", "not for you")),
            Some("run") => Ok(ToolOutput::new(json!("ran")).usage(SandboxUsage::default().fuel(7))),
            _ => Ok(ToolOutput::new(arguments)),
        }
    }
}

/// One user's agent over a store of its own.
pub(crate) struct World {
    pub(crate) store: LibsqlStore,
    pub(crate) scope: Scope,
    pub(crate) agent: Agent,
    pub(crate) conversation: ConversationId,
}

impl World {
    pub(crate) async fn new(llm: impl LlmProvider + 'static) -> Self {
        Self::with(llm, |builder| builder).await
    }

    pub(crate) async fn with(
        llm: impl LlmProvider + 'static,
        adjust: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let store = LibsqlStore::in_memory().await.unwrap();
        let scope = Scope::user("ada").unwrap();
        let name = AgentName::parse("helper").unwrap();
        let builder = Agent::builder().store(store.clone()).llm(llm).name(name);
        let agent = adjust(builder).build().unwrap();
        let conversation = agent.start_conversation(&scope).await.unwrap();
        Self { store, scope, agent, conversation }
    }

    pub(crate) async fn send(
        &self,
        text: &str,
    ) -> Result<ironclaw_core::agent::Reply, ironclaw_core::agent::AgentError> {
        self.agent.send(&self.scope, self.conversation, text).await
    }

    pub(crate) async fn messages(&self) -> Vec<Message> {
        let page = PageRequest::default();
        self.store.conversations().messages(&self.scope, self.conversation, &page).await.unwrap().items
    }

    /// Roles and texts, as `user: hello`.
    pub(crate) async fn said(&self) -> Vec<String> {
        self.messages()
            .await
            .into_iter()
            .map(|message| {
                let role = match message.message.role {
                    Role::User => "user",
                    Role::Assistant => "assistant",
                    Role::System => "system",
                    Role::Tool => "tool",
                };
                format!("{role}: {}", message.message.content)
            })
            .collect()
    }

    pub(crate) async fn jobs(&self) -> Vec<Job> {
        let filter = JobFilter::default();
        self.store.jobs().jobs(&self.scope, &filter, &PageRequest::default()).await.unwrap().items
    }

    pub(crate) async fn only_job(&self) -> Job {
        let mut jobs = self.jobs().await;
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    /// Waits for the only job to end.
    pub(crate) async fn ended_job(&self) -> Job {
        loop {
            let jobs = self.jobs().await;
            if let Some(job) = jobs.into_iter().next().filter(|job| job.state.is_ended()) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn steps(&self, job: JobId) -> Vec<JobStep> {
        let events = self.store.jobs().job_events(&self.scope, job, &PageRequest::default()).await.unwrap();
        events.items.into_iter().map(|event| event.step).collect()
    }

    pub(crate) async fn llm_calls(&self, job: JobId) -> Vec<LlmCall> {
        self.store.jobs().llm_calls(&self.scope, job, &PageRequest::default()).await.unwrap().items
    }
}

/// The messages of a request as `user: hello`, without instructions.
pub(crate) fn shown(request: &LlmRequest) -> Vec<String> {
    request
        .messages
        .iter()
        .filter_map(|message| match message {
            LlmMessage::User { text, .. } => Some(format!("user: {text}")),
            LlmMessage::Assistant { text, tool_calls } => Some(match tool_calls.len() {
                0 => format!("assistant: {text}"),
                calls => format!("assistant: {text} +{calls}"),
            }),
            LlmMessage::Tool { content, is_error, .. } => Some(match is_error {
                true => format!("tool error: {content}"),
                false => format!("tool: {content}"),
            }),
            _ => None,
        })
        .collect()
}

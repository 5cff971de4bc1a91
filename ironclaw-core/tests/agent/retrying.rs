//! What was recorded and not answered is answered later, and nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream;
use ironclaw_core::agent::{AgentErrorKind, Reply, SendRequest, Timings};
use ironclaw_core::change::{Change, Receipt};
use ironclaw_core::id::{IdempotencyKey, ToolName, WorkerName};
use ironclaw_core::llm::{
    LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmOptions, LlmProvider, LlmRequest, LlmStream,
};
use ironclaw_core::model::jobs::JobState;
use ironclaw_core::store::{Conversations, Jobs, StoreError, StoreErrorKind};
use ironclaw_core::tool::{ToolError, ToolOutput, ToolSpec};
use ironclaw_core::{Agent, AgentStore, Apply, Scope, Tool};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

use crate::support::{Echo, Script, Step, World, response, shown};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn keyed(text: &str) -> SendRequest {
    SendRequest::new(text).idempotency_key(key("k"))
}

/// The reply as it is given again.
fn again(mut reply: Reply) -> Reply {
    reply.timings = Timings::default();
    reply
}

/// A process that is killed at one of its commits: that one and all later ones fail, and whether that one was made is
/// chosen.
#[derive(Debug, Clone)]
struct Dying {
    store: LibsqlStore,
    commits: Arc<AtomicUsize>,
    dies_at: usize,
    last_is_made: bool,
}

#[async_trait]
impl Apply for Dying {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        let at = self.commits.fetch_add(1, Ordering::SeqCst);
        if at < self.dies_at {
            return self.store.apply(scope, change).await;
        }
        if at == self.dies_at && self.last_is_made {
            self.store.apply(scope, change).await?;
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "apply", "the process was killed"))
    }
}

impl AgentStore for Dying {
    fn conversations(&self) -> &dyn Conversations {
        self.store.conversations()
    }

    fn jobs(&self) -> &dyn Jobs {
        self.store.jobs()
    }
}

/// A model that calls the tool first, and answers when it sees a result.
#[derive(Debug, Clone, Default)]
struct Caller {
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl LlmProvider for Caller {
    fn model(&self) -> &str {
        "caller"
    }

    async fn stream(&self, _scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = match request.messages.last() {
            Some(LlmMessage::Tool { content, .. }) => response(content, vec![]),
            _ => response("", vec![("pay", json!({}))]),
        };
        let text = LlmEvent::Text(answer.text.clone());
        Ok(Box::pin(stream::iter([Ok(text), Ok(LlmEvent::Finished(answer))])))
    }
}

/// A tool that must not run twice.
#[derive(Debug, Clone)]
struct Pay {
    spec: ToolSpec,
    runs: Arc<AtomicUsize>,
}

impl Pay {
    fn new() -> Self {
        let spec = Echo::new("pay").spec().clone();
        assert_eq!(spec.name, ToolName::parse("pay").unwrap());
        Self { spec, runs: Arc::default() }
    }
}

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _scope: &Scope, _arguments: Value) -> Result<ToolOutput, ToolError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(ToolOutput::new(json!("paid")))
    }
}

#[tokio::test]
async fn whatever_a_process_dies_at_the_message_is_answered_once() {
    // The commits: the question; the calls; their results; the answer.
    for dies_at in 0..4 {
        for last_is_made in [false, true] {
            for by_key in [false, true] {
                dies(dies_at, last_is_made, by_key).await;
            }
        }
    }
}

async fn dies(dies_at: usize, last_is_made: bool, by_key: bool) {
    let case = format!("dies at {dies_at}, made: {last_is_made}, by key: {by_key}");
    let world = World::new(Script::new([])).await;
    let (pay, model) = (Pay::new(), Caller::default());
    let worker = WorkerName::parse("one").unwrap();
    let agent = |store: Dying| {
        let builder = Agent::builder().store(store).llm(model.clone()).tool(pay.clone());
        builder.worker(worker.clone()).name(world.agent.name().clone()).build().unwrap()
    };
    let store = |dies_at| {
        let commits = Arc::default();
        Dying { store: world.store.clone(), commits, dies_at, last_is_made }
    };
    let killed = agent(store(dies_at));
    killed.send(&world.scope, world.conversation, keyed("pay the bill")).await.unwrap_err();

    let next = agent(store(usize::MAX));
    let is_recorded = dies_at > 0 || last_is_made;
    let reply = match by_key {
        true => next.send(&world.scope, world.conversation, keyed("pay the bill")).await,
        false => next.retry(&world.scope, world.conversation).await,
    };
    if !is_recorded && !by_key {
        assert_eq!(*reply.unwrap_err().kind(), AgentErrorKind::NotFound, "{case}");
        return;
    }
    let reply = reply.unwrap_or_else(|error| panic!("{case}: {error:?}"));

    // At most once; where it was called and no result is known, it isn't called again.
    let unknown = matches!((dies_at, last_is_made), (1, true) | (2, false));
    let expected = if (dies_at, last_is_made) == (1, true) { 0 } else { 1 };
    assert_eq!(pay.runs.load(Ordering::SeqCst), expected, "{case}");
    assert_eq!(reply.text.contains("interrupted"), unknown, "{case}: {}", reply.text);
    assert!(unknown || reply.text.ends_with("paid"), "{case}: {}", reply.text);
    let said = world.said().await;
    assert_eq!(said.iter().filter(|line| line.starts_with("user: ")).count(), 1, "{case}: {said:?}");
    let answers = said.iter().filter(|line| line.starts_with("assistant: ") && line.len() > "assistant: ".len());
    assert_eq!(answers.count(), 1, "{case}: {said:?}");
    assert!(world.jobs().await.iter().all(|job| job.state.is_ended()), "{case}");

    let asked = model.asked.load(Ordering::SeqCst);
    let repeated = next.send(&world.scope, world.conversation, keyed("pay the bill")).await.unwrap();
    assert_eq!(repeated, again(reply.clone()), "{case}");
    assert_eq!(next.retry(&world.scope, world.conversation).await.unwrap(), again(reply), "{case}");
    assert_eq!(model.asked.load(Ordering::SeqCst), asked, "{case}: the model is not asked again");
}

#[tokio::test]
async fn a_failed_answer_is_made_again_with_the_same_message_and_options() {
    let script = Script::new([
        Step::Fail(LlmErrorKind::Unreachable),
        Step::Fail(LlmErrorKind::RateLimited),
        Step::Say("On 3 May."),
    ]);
    let world = World::new(script.clone()).await;
    let asked = SendRequest::new("When?").options(LlmOptions::default().temperature(0.5));
    world.agent.send(&world.scope, world.conversation, asked).await.unwrap_err();
    assert_eq!(*world.agent.retry(&world.scope, world.conversation).await.unwrap_err().kind(), AgentErrorKind::Llm);
    let reply = world.agent.retry(&world.scope, world.conversation).await.unwrap();
    assert_eq!(world.said().await, ["user: When?", "assistant: On 3 May."]);
    for request in script.requests() {
        assert_eq!((shown(&request), request.options.temperature), (vec!["user: When?".to_owned()], Some(0.5)));
    }
    let states: Vec<_> = world.jobs().await.into_iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Succeeded, JobState::Failed, JobState::Failed]);
    assert_eq!(world.agent.retry(&world.scope, world.conversation).await.unwrap(), again(reply));
}

#[tokio::test]
async fn what_is_being_answered_is_not_answered_twice() {
    let script = Script::new([Step::Hang("Well"), Step::Say("done")]);
    let world = World::new(script.clone()).await;
    let mut events = world.agent.stream(&world.scope, world.conversation, keyed("hi"));
    use futures::StreamExt;
    events.next().await.unwrap().unwrap();
    let other = Agent::builder().store(world.store.clone()).llm(script.clone()).build().unwrap();
    for agent in [&world.agent, &other] {
        for refused in [
            agent.retry(&world.scope, world.conversation).await,
            agent.send(&world.scope, world.conversation, keyed("hi")).await,
        ] {
            let error = refused.unwrap_err();
            assert!(*error.kind() == AgentErrorKind::Busy && error.is_retryable(), "{error}");
        }
    }
    drop(events);
    while world.jobs().await.iter().any(|job| !job.state.is_ended()) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let both = [&world.agent, &other].map(|agent| agent.retry(&world.scope, world.conversation));
    let done = futures::future::join_all(both).await;
    let replies: Vec<&Reply> = done.iter().filter_map(|reply| reply.as_ref().ok()).collect();
    assert!(!replies.is_empty() && replies.iter().all(|reply| reply.message == replies[0].message), "{done:?}");
    assert!(done.iter().all(|reply| reply.as_ref().err().is_none_or(|error| *error.kind() == AgentErrorKind::Busy)));
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn a_key_is_of_one_message_of_one_conversation() {
    let script = Script::new([Step::Say("one"), Step::Say("two"), Step::Say("three")]);
    let world = World::new(script.clone()).await;
    let first = world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap();
    let error = world.agent.send(&world.scope, world.conversation, keyed("ho")).await.unwrap_err();
    assert_eq!(*error.kind(), AgentErrorKind::IdempotencyKeyReused);
    let other = world.agent.start_conversation(&world.scope).await.unwrap();
    assert_eq!(world.agent.send(&world.scope, other, keyed("ho")).await.unwrap().text, "two");
    // The first is given again however much was said since.
    world.send("and?").await.unwrap();
    let repeated = world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap();
    assert_eq!(repeated, again(first));
    assert_eq!(world.said().await.len(), 4);
}

#[tokio::test]
async fn two_messages_under_one_key_at_once_are_one() {
    let world = World::new(Script::new([Step::Say("hello")])).await;
    let both = [(); 2].map(|()| world.agent.send(&world.scope, world.conversation, keyed("hi")));
    let done = futures::future::join_all(both).await;
    assert!(done.iter().any(Result::is_ok), "{done:?}");
    assert!(done.iter().all(|reply| match reply {
        Ok(reply) => reply.text == "hello",
        Err(error) => *error.kind() == AgentErrorKind::Busy,
    }));
    assert_eq!(world.said().await, ["user: hi", "assistant: hello"]);
}

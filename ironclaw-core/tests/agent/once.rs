//! A message is answered once: by whom and in whatever order it is answered, repeated and recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use ironclaw_core::agent::{AgentErrorKind, Reply, SendRequest, Timings};
use ironclaw_core::id::{IdempotencyKey, MessageId, TenantId};
use ironclaw_core::llm::{
    ContentPart, LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmOptions, LlmProvider, LlmRequest, LlmStream,
};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::tool::{ToolError, ToolOutput, ToolSpec};
use ironclaw_core::{
    Agent, AgentStore, Clock, ExtractiveLlm, Maintenance, ManualClock, Scope, SpaceExt, StoreExt, SystemClock, Tool,
};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::other::{How, Other};
use crate::support::{Echo, Script, Step, World, response};

fn keyed(text: &str) -> SendRequest {
    SendRequest::new(text).idempotency_key(IdempotencyKey::parse("k").unwrap())
}

/// The reply as it is given again.
fn again(mut reply: Reply) -> Reply {
    reply.timings = Timings::default();
    reply
}

/// A tool whose every call counts.
#[derive(Debug, Clone)]
struct Pay(ToolSpec, Arc<AtomicUsize>);

impl Pay {
    fn new() -> Self {
        Self(Echo::new("pay").spec().clone(), Arc::default())
    }

    fn runs(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: &Scope, _: Value) -> Result<ToolOutput, ToolError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(ToolOutput::new(json!("paid")))
    }
}

/// A model that wants to pay, and then says what came of it. It waits where it is told to, and fails where it is told to.
#[derive(Debug, Clone)]
struct Payer {
    gate: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
    waits_at: usize,
    fails_at: usize,
    pays: bool,
}

impl Payer {
    fn new(pays: bool, waits_at: usize) -> Self {
        let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::default());
        Self { gate, asked, waits_at, fails_at: usize::MAX, pays }
    }

    /// Waits until it was asked so often.
    async fn was_asked(&self, times: usize) {
        while self.asked.load(Ordering::SeqCst) < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl LlmProvider for Payer {
    fn model(&self) -> &str {
        "payer"
    }

    async fn stream(&self, _: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        let time = self.asked.fetch_add(1, Ordering::SeqCst);
        if time == self.waits_at {
            self.gate.acquire().await.unwrap().forget();
        }
        if time == self.fails_at {
            return Err(LlmError::new(LlmErrorKind::Unreachable, "stream", "down"));
        }
        let answer = match request.messages.last() {
            Some(LlmMessage::Tool { .. }) => response("it is paid", Vec::new()),
            _ if self.pays => response("", vec![("pay", json!({}))]),
            _ => response("hello", Vec::new()),
        };
        Ok(Box::pin(stream::iter([Ok(LlmEvent::Finished(answer))])))
    }
}

/// Two agents on one store, which the second asks in its own way; a conversation; and the message sent to the first.
async fn repeated_at_the_end(
    model: Payer,
    by_key: bool,
) -> (Result<Reply, AgentErrorKind>, Result<Reply, AgentErrorKind>, usize, World) {
    let pay = Pay::new();
    let world = World::with(model.clone(), |builder| builder.tool(pay.clone()).worker("first")).await;
    let other = Other::new(&world.store, How::AfterTheEnd(model.gate.clone()));
    let second = Agent::builder().store(other).llm(model.clone()).tool(pay.clone()).worker("second").build().unwrap();
    let (agent, scope, conversation) = (world.agent.clone(), world.scope.clone(), world.conversation);
    let first = tokio::spawn(async move { agent.send(&scope, conversation, keyed("pay the bill")).await });
    model.was_asked(model.waits_at + 1).await;
    let repeated = match by_key {
        true => second.send(&world.scope, conversation, keyed("pay the bill")).await,
        false => second.retry(&world.scope, conversation).await,
    };
    let kind = |reply: Result<Reply, ironclaw_core::agent::AgentError>| reply.map_err(|error| error.kind().clone());
    (kind(first.await.unwrap()), kind(repeated), pay.runs(), world)
}

#[tokio::test]
async fn a_repeat_beside_the_last_commit_gives_the_reply() {
    for (pays, waits_at) in [(false, 0), (true, 0), (true, 1)] {
        for by_key in [true, false] {
            let (first, repeated, runs, world) = repeated_at_the_end(Payer::new(pays, waits_at), by_key).await;
            let case = format!("pays {pays}, waits at {waits_at}, by key {by_key}");
            assert_eq!(repeated, first.map(again), "{case}");
            assert_eq!(runs, usize::from(pays), "{case}");
            let said = world.said().await;
            let answers = said.iter().filter(|line| line.starts_with("assistant: ") && line.len() > 11);
            assert_eq!(answers.count(), 1, "{case}: {said:?}");
        }
    }
}

#[tokio::test]
async fn what_was_called_while_it_was_read_is_not_called_again() {
    let model = Payer { fails_at: 1, ..Payer::new(true, 0) };
    let (first, repeated, runs, _) = repeated_at_the_end(model, true).await;
    assert_eq!(first.unwrap_err(), AgentErrorKind::Llm);
    let reply = repeated.unwrap();
    assert_eq!((runs, reply.text.as_str()), (1, "it is paid"));
    assert_eq!(reply.tool_calls.len(), 1, "the reply tells of all attempts");
}

#[tokio::test]
async fn whoever_woke_after_another_took_over_does_nothing() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let (pay, model) = (Pay::new(), Payer::new(true, 0));
    let adjusted = clock.clone();
    let world = World::with(model.clone(), |builder| builder.tool(pay.clone()).clock(adjusted).worker("sleeper")).await;
    let awake = Payer::new(true, usize::MAX);
    let other = Agent::builder().store(world.store.clone()).llm(awake).tool(pay.clone());
    let other = other.clock(clock.clone()).worker("awake").build().unwrap();
    let (agent, scope, conversation) = (world.agent.clone(), world.scope.clone(), world.conversation);
    let sleeping = tokio::spawn(async move { agent.send(&scope, conversation, keyed("pay the bill")).await });
    model.was_asked(1).await;
    // The machine sleeps: its monotonic clock stands still.
    clock.advance(Duration::from_secs(20 * 60));
    let reply = other.send(&world.scope, conversation, keyed("pay the bill")).await.unwrap();
    let before = world.said().await;
    model.gate.add_permits(9);
    sleeping.await.unwrap().unwrap_err();
    assert_eq!((pay.runs(), world.said().await), (1, before));
    assert_eq!(other.retry(&world.scope, conversation).await.unwrap(), again(reply));
}

#[tokio::test]
async fn an_answer_is_an_answer_when_its_job_is_gone() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = LibsqlStore::builder().clock(clock.clone()).in_memory().await.unwrap();
    let operator = store.maintenance_by("olga").unwrap();
    let (tenant, category) = (TenantId::default_tenant(), RetainedCategory::Jobs);
    operator.apply_system(SystemChange::PutRetention { tenant, category, days: 1 }).await.unwrap();
    let pay = Pay::new();
    let agent = Agent::builder().store(store.clone()).llm(Payer::new(true, usize::MAX)).tool(pay.clone());
    let agent = agent.clock(clock.clone()).build().unwrap();
    let ada = Scope::user("ada").unwrap();
    let conversation = agent.start_conversation(&ada).await.unwrap();
    let reply = agent.send(&ada, conversation, keyed("pay the bill")).await.unwrap();
    clock.advance(Duration::from_secs(3 * 86_400));
    assert!(operator.apply_retention().await.unwrap() > 0);
    for repeated in [
        agent.send(&ada, conversation, keyed("pay the bill")).await.unwrap(),
        agent.retry(&ada, conversation).await.unwrap(),
    ] {
        assert_eq!((repeated.text, repeated.message), (reply.text.clone(), reply.message));
    }
    assert_eq!(pay.runs(), 1);
}

#[tokio::test]
async fn no_clock_keeps_a_message_from_being_answered() {
    let down = || Step::Fail(LlmErrorKind::Unreachable);
    let script = Script::new([down(), down(), down(), Step::Say("hello")]);
    let now = SystemClock.now();
    let clock = Arc::new(ManualClock::at(now.after(Duration::from_secs(3_600))));
    let shared = clock.clone();
    let world = World::with(script, |builder| builder.clock(shared)).await;
    world.send("hi").await.unwrap_err();
    // It stands still, and is then put right.
    assert_eq!(*world.agent.retry(&world.scope, world.conversation).await.unwrap_err().kind(), AgentErrorKind::Llm);
    clock.set(now);
    assert_eq!(*world.agent.retry(&world.scope, world.conversation).await.unwrap_err().kind(), AgentErrorKind::Llm);
    assert_eq!(world.agent.retry(&world.scope, world.conversation).await.unwrap().text, "hello");
}

#[tokio::test]
async fn of_two_who_send_at_once_neither_waits_for_ever() {
    let down = || Step::Fail(LlmErrorKind::Unreachable);
    let store = LibsqlStore::in_memory().await.unwrap();
    let other = Other::new(&store, How::Waiting(Semaphore::new(0), AtomicBool::new(false)));
    let agent = Agent::builder().store(other.clone()).llm(Script::new([down(), down(), Step::Say("hello")])).build();
    let (agent, ada) = (agent.unwrap(), Scope::user("ada").unwrap());
    let conversation = agent.start_conversation(&ada).await.unwrap();
    let (first, scope) = (agent.clone(), ada.clone());
    let first = tokio::spawn(async move { first.send(&scope, conversation, keyed("hi")).await });
    while !matches!(&*other.1, How::Waiting(_, was_first) if was_first.load(Ordering::SeqCst)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The first one's commit waits; the second's is made.
    assert_eq!(*agent.send(&ada, conversation, keyed("hi")).await.unwrap_err().kind(), AgentErrorKind::Llm);
    let How::Waiting(gate, _) = &*other.1 else { unreachable!() };
    gate.add_permits(1);
    assert_eq!(*first.await.unwrap().unwrap_err().kind(), AgentErrorKind::Llm);
    assert_eq!(agent.send(&ada, conversation, keyed("hi")).await.unwrap().text, "hello");
}

#[tokio::test]
async fn what_a_standby_does_not_show_yet_is_not_taken_for_absent() {
    let world = World::new(Script::new([Step::Say("3 May"), Step::Fail(LlmErrorKind::Unreachable)])).await;
    world.send("When is the launch?").await.unwrap();
    world.agent.send(&world.scope, world.conversation, keyed("Are the files deleted?")).await.unwrap_err();
    let other = Other::new(&world.store, How::Behind(AtomicU64::new(2)));
    let other = Agent::builder().store(other).llm(Script::new([])).build().unwrap();
    let by_key = other.send(&world.scope, world.conversation, keyed("Are the files deleted?")).await;
    let by_retry = other.retry(&world.scope, world.conversation).await;
    for refused in [by_key, by_retry] {
        let error = refused.unwrap_err();
        assert!(*error.kind() == AgentErrorKind::Busy && error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn reading_what_was_recorded_ends_by_the_deadline() {
    let world = World::new(Script::new([Step::Fail(LlmErrorKind::Unreachable)])).await;
    world.send("hi").await.unwrap_err();
    let builder = Agent::builder().store(Other::new(&world.store, How::NoJobs)).llm(Script::new([]));
    let agent = builder.deadline(Duration::from_millis(200)).build().unwrap();
    let error = agent.retry(&world.scope, world.conversation).await.unwrap_err();
    assert_eq!(*error.kind(), AgentErrorKind::DeadlineExceeded);
    agent.close().await;
}

#[tokio::test]
async fn under_a_key_the_reply_is_given_whatever_the_model_is_now() {
    let world = World::new(Reading(Script::new([Step::Say("a heron")]))).await;
    let message = keyed("What is it?").part(ContentPart::image("image/png", &b"x"[..]));
    let first = world.agent.send(&world.scope, world.conversation, message.clone()).await.unwrap();
    let other = Agent::builder().store(world.store.clone()).llm(ExtractiveLlm::new()).build().unwrap();
    assert_eq!(other.send(&world.scope, world.conversation, message.clone()).await.unwrap(), again(first));
    // What was never sent is refused as ever.
    let elsewhere = other.start_conversation(&world.scope).await.unwrap();
    let error = other.send(&world.scope, elsewhere, message).await.unwrap_err();
    assert_eq!(*error.kind(), AgentErrorKind::Unsupported);
    assert!(world.store.conversations().recent_messages(&world.scope, elsewhere, 9).await.unwrap().is_empty());
}

/// A model that reads images.
#[derive(Debug)]
struct Reading(Script);

#[async_trait]
impl LlmProvider for Reading {
    fn model(&self) -> &str {
        self.0.model()
    }

    fn check(&self, _: &LlmRequest) -> Result<(), LlmError> {
        Ok(())
    }

    async fn stream(&self, scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        self.0.stream(scope, request).await
    }
}

#[tokio::test]
async fn members_of_a_space_have_keys_of_their_own() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let [ada, bob] = ["ada", "bob"].map(|name| Scope::user(name).unwrap().in_space("team").unwrap());
    store.create_space(&ada).await.unwrap();
    store.put_member(&ada, "bob", SpaceRole::Writer).await.unwrap();
    let script = Script::new([Step::Say("to ada"), Step::Say("to bob")]);
    let agent = Agent::builder().store(store).llm(script).build().unwrap();
    let conversation = agent.start_conversation(&ada).await.unwrap();
    for (scope, text) in [(&ada, "to ada"), (&bob, "to bob"), (&ada, "to ada"), (&bob, "to bob")] {
        assert_eq!(agent.send(scope, conversation, keyed("What did I write?")).await.unwrap().text, text);
    }
}

#[tokio::test]
async fn what_the_host_answered_is_not_answered_again() {
    let world = World::new(Script::new([Step::Fail(LlmErrorKind::Unreachable), Step::Say("hello")])).await;
    world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap_err();
    let own = NewMessage::text(MessageId::make(&SystemClock), Role::Assistant, "We are closed.");
    world.store.append_message(&world.scope, world.conversation, own).await.unwrap();
    let error = world.agent.retry(&world.scope, world.conversation).await.unwrap_err();
    assert_eq!(*error.kind(), AgentErrorKind::NotFound);
    // By its key it is asked for by name.
    assert_eq!(world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap().text, "hello");
}

#[tokio::test]
async fn a_key_of_a_conversation_that_is_gone_is_of_none() {
    let world = World::new(Script::new([Step::Say("hello")])).await;
    world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap();
    world.store.delete_conversation(&world.scope, world.conversation).await.unwrap();
    let error = world.agent.send(&world.scope, world.conversation, keyed("hi")).await.unwrap_err();
    assert_eq!(*error.kind(), AgentErrorKind::NotFound);
}

#[tokio::test]
async fn a_retry_is_refused_before_anything_is_recorded() {
    let world =
        World::with(Script::new([Step::Fail(LlmErrorKind::ContextTooLong)]), |b| b.context_tokens(16_000)).await;
    world.send(&"word ".repeat(5_000)).await.unwrap_err();
    let small = Agent::builder().store(world.store.clone()).llm(Script::new([])).context_tokens(1_000).build().unwrap();
    let error = small.retry(&world.scope, world.conversation).await.unwrap_err();
    assert!(matches!(error.kind(), AgentErrorKind::InvalidInput(input) if input.field() == "message"), "{error}");
    assert_eq!(world.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_retry_has_the_options_of_the_message_if_they_are_none() {
    let world = World::new(Script::new([Step::Fail(LlmErrorKind::Unreachable)])).await;
    world.send("hi").await.unwrap_err();
    let script = Script::new([Step::Say("hello")]);
    let builder = Agent::builder().store(world.store.clone()).llm(script.clone());
    let warm = builder.llm_options(LlmOptions::default().temperature(1.5)).build().unwrap();
    warm.retry(&world.scope, world.conversation).await.unwrap();
    assert_eq!(script.last_request().options.temperature, None);
}

#[tokio::test]
async fn a_reader_of_a_space_is_denied() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let [ada, rea] = ["ada", "rea"].map(|name| Scope::user(name).unwrap().in_space("team").unwrap());
    store.create_space(&ada).await.unwrap();
    store.put_member(&ada, "rea", SpaceRole::Reader).await.unwrap();
    let agent = Agent::builder().store(store).llm(Script::new([])).build().unwrap();
    let conversation = agent.start_conversation(&ada).await.unwrap();
    assert_eq!(*agent.send(&rea, conversation, "hi").await.unwrap_err().kind(), AgentErrorKind::Denied);
}

#[tokio::test]
async fn whoever_lost_an_attempt_leaves_it_to_the_other() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let late = Other::new(&store, How::Late(Semaphore::new(0), AtomicBool::new(false)));
    let script = Script::new([Step::Fail(LlmErrorKind::Unreachable), Step::Hang("Well")]);
    let agent = Agent::builder().store(late.clone()).llm(script).build().unwrap();
    let ada = Scope::user("ada").unwrap();
    let conversation = agent.start_conversation(&ada).await.unwrap();
    agent.send(&ada, conversation, "hi").await.unwrap_err();
    let (other, scope) = (agent.clone(), ada.clone());
    let lost = tokio::spawn(async move { other.retry(&scope, conversation).await });
    let How::Late(gate, was_first) = &*late.1 else { unreachable!() };
    while !was_first.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut won = agent.stream_retry(&ada, conversation);
    won.next().await.unwrap().unwrap();
    gate.add_permits(1);
    for refused in [lost.await.unwrap(), agent.retry(&ada, conversation).await] {
        assert_eq!(*refused.unwrap_err().kind(), AgentErrorKind::Busy);
    }
    assert_eq!(agent.recover(&ada).await.unwrap(), []);
}

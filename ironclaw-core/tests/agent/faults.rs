use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use ironclaw_core::agent::{AgentErrorKind, AgentEvent};
use ironclaw_core::change::{Change, JobOp};
use ironclaw_core::clock::{Clock, ManualClock};
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind, EmbeddingModel, Purpose};
use ironclaw_core::id::{AgentName, ConversationId, JobId, MessageId, WorkerName};
use ironclaw_core::llm::{ContentPart, LlmError, LlmErrorKind, LlmEvent, LlmProvider, LlmRequest, LlmStream};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::jobs::{JobFilter, JobState, JobStep, NewJob};
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::store::Apply;
use ironclaw_core::{Agent, AgentStore, Embedder, Memory, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

use crate::support::{Script, Step, World, response, shown};

#[tokio::test]
async fn a_model_that_fails_fails_the_job_and_is_recorded() {
    for (kind, retryable) in [(LlmErrorKind::RateLimited, true), (LlmErrorKind::Unauthorised, false)] {
        let script = Script::new([Step::Fail(kind), Step::Say("Now.")]);
        let world = World::new(script.clone()).await;
        let error = world.send("hi").await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (&AgentErrorKind::Llm, retryable));
        let job = world.only_job().await;
        assert_eq!(job.state, JobState::Failed);
        assert!(job.error.unwrap().contains("model failed"));
        let calls = world.llm_calls(job.job.id).await;
        assert!(calls[0].response.is_none() && calls[0].error.as_ref().unwrap().contains("scripted"));
        assert_eq!(world.said().await, ["user: hi"]);
        // The conversation goes on.
        world.send("again").await.unwrap();
        assert_eq!(shown(&script.last_request()), ["user: hi\n\n---\n\nagain"]);
    }
}

#[tokio::test]
async fn a_model_that_breaks_off_leaves_no_half_answer() {
    let world = World::new(Script::new([Step::BreakOff("Half an ans")])).await;
    assert_eq!(world.send("hi").await.unwrap_err().kind(), &AgentErrorKind::Llm);
    assert_eq!(world.said().await, ["user: hi"]);
    assert_eq!(world.only_job().await.state, JobState::Failed);
}

#[tokio::test]
async fn deadlines_end_what_hangs() {
    let world = World::with(Script::new([Step::Hang("So")]), |b| b.llm_deadline(Duration::from_millis(50))).await;
    let error = world.send("hi").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (&AgentErrorKind::Llm, true));
    let world = World::with(Script::new([Step::Hang("So")]), |b| b.deadline(Duration::from_millis(50))).await;
    assert_eq!(world.send("hi").await.unwrap_err().kind(), &AgentErrorKind::DeadlineExceeded);
    assert_eq!(world.only_job().await.state, JobState::Failed);
    assert_eq!(world.said().await, ["user: hi"]);
}

/// Embeds documents, and fails or hangs on questions.
#[derive(Debug)]
struct Faulty(HashEmbedder, bool);

#[async_trait]
impl Embedder for Faulty {
    fn model(&self) -> &EmbeddingModel {
        self.0.model()
    }

    async fn embed(&self, scope: &Scope, purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        match purpose {
            Purpose::Query if self.1 => std::future::pending().await,
            Purpose::Query => Err(EmbedError::new(EmbedErrorKind::Unreachable, "embed", "scripted")),
            _ => self.0.embed(scope, purpose, texts).await,
        }
    }
}

#[tokio::test]
async fn a_search_that_fails_is_noted_and_the_answer_is_made() {
    for (hangs, found) in [(false, 1), (true, 0)] {
        let script = Script::new([Step::Say("ok")]);
        let store = LibsqlStore::in_memory().await.unwrap();
        let scope = Scope::user("ada").unwrap();
        let memory = HybridMemory::new(store.clone(), Faulty(HashEmbedder::default(), hangs));
        let path = WorkspacePath::parse("a.md").unwrap();
        memory.write(&scope, &path, b"The umbrella is red.", Value::Null).await.unwrap();
        let builder = Agent::builder().store(store.clone()).memory(memory).llm(script.clone());
        let agent = builder.retrieval_deadline(Duration::from_millis(200)).build().unwrap();
        let conversation = agent.start_conversation(&scope).await.unwrap();
        let reply = agent.send(&scope, conversation, "umbrella?").await.unwrap();
        let world = World { store, scope, agent, conversation };
        let steps = world.steps(reply.job).await;
        let noted = steps.iter().find_map(|step| match step {
            JobStep::Retrieved { passages, degraded, .. } => Some((*passages, degraded.clone())),
            _ => None,
        });
        let (passages, degraded) = noted.unwrap();
        assert_eq!(passages, found, "full text still works when only the embedder fails");
        assert_eq!(degraded, Some(reply.degraded.join("; ")));
        assert_eq!(reply.degraded.len(), 1);
        assert_eq!(script.last_request().passages.len() as u64, found);
    }
}

#[tokio::test]
async fn a_message_too_long_to_be_searched_for_is_noted_and_answered() {
    let world = World::new(Script::new([Step::Say("ok"), Step::Say("ok")])).await;
    assert_eq!(world.send("umbrella?").await.unwrap().degraded, Vec::<String>::new());
    let reply = world.send(&format!("umbrella? {}", "ä".repeat(3_000))).await.unwrap();
    assert_eq!(reply.degraded, ["only the first 4096 bytes of the message were searched for"]);
}

#[tokio::test]
async fn a_closed_store_is_an_error() {
    let world = World::new(Script::new([Step::Say("ok")])).await;
    world.store.close().await.unwrap();
    assert_eq!(world.send("hi").await.unwrap_err().kind(), &AgentErrorKind::Closed);
}

/// Leaves running jobs as processes leave them that are gone: kind, agent, worker, and for how long they are claimed.
async fn leave(
    store: &LibsqlStore,
    scope: &Scope,
    clock: &ManualClock,
    conversation: ConversationId,
    jobs: &[(&str, &str, &str, u64)],
) -> Vec<JobId> {
    let mut ids = Vec::new();
    for (kind, name, worker, seconds) in jobs {
        let id = JobId::make(clock);
        ids.push(id);
        let job =
            NewJob::new(id, *kind).conversation(conversation).agent(AgentName::parse(*name).unwrap()).input(json!({}));
        let until = clock.now().after(Duration::from_secs(*seconds));
        let claim = JobOp::Claim { job: id, worker: WorkerName::parse(*worker).unwrap(), until };
        store.apply(scope, Change::new().with(JobOp::Create { job }).with(claim)).await.unwrap();
    }
    ids
}

#[tokio::test]
async fn interrupted_jobs_are_recovered_once_their_claim_has_run_out() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = LibsqlStore::builder().clock(clock.clone()).in_memory().await.unwrap();
    let scope = Scope::user("ada").unwrap();
    let builder = Agent::builder().store(store.clone()).llm(Script::default()).clock(clock.clone());
    let agent = builder.name(AgentName::parse("helper").unwrap()).build().unwrap();
    let conversation = agent.start_conversation(&scope).await.unwrap();
    let jobs = [
        ("send", "helper", "gone", 60),
        ("send", "helper", "gone", 600),
        ("send", "other", "gone", 60),
        ("x", "helper", "gone", 60),
    ];
    let ids = leave(&store, &scope, &clock, conversation, &jobs).await;
    assert!(agent.recover(&scope).await.unwrap().is_empty(), "all are still claimed");
    clock.advance(Duration::from_secs(120));
    assert_eq!(agent.recover(&scope).await.unwrap(), [ids[0]]);
    assert!(agent.recover(&scope).await.unwrap().is_empty());
    let job = store.jobs().job(&scope, ids[0]).await.unwrap().unwrap();
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("interrupted")));
    let bob = Scope::user("bob").unwrap();
    clock.advance(Duration::from_secs(1_000));
    assert!(agent.recover(&bob).await.unwrap().is_empty(), "nobody else's jobs");
}

#[tokio::test]
async fn what_a_killed_process_of_the_same_name_left_is_ended_at_once() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = LibsqlStore::builder().clock(clock.clone()).in_memory().await.unwrap();
    let scope = Scope::user("ada").unwrap();
    let script = Script::new([Step::Hang("So"), Step::Say("Done.")]);
    let builder = Agent::builder().store(store.clone()).llm(script.clone()).clock(clock.clone());
    let agent = builder.worker(WorkerName::parse("desk").unwrap()).build().unwrap();
    let conversation = agent.start_conversation(&scope).await.unwrap();
    let jobs = [
        ("send", "assistant", "desk", 600),
        ("send", "assistant", "elsewhere", 600),
        ("send", "other", "desk", 600),
        ("x", "assistant", "desk", 600),
    ];
    let ids = leave(&store, &scope, &clock, conversation, &jobs).await;
    let mut events = agent.stream(&scope, conversation, "hi");
    assert!(matches!(events.next().await, Some(Ok(AgentEvent::Text(_)))));
    // Those of others, and what this agent itself is working on, go on.
    assert_eq!(agent.recover(&scope).await.unwrap(), [ids[0]]);
    let job = store.jobs().job(&scope, ids[0]).await.unwrap().unwrap();
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("interrupted")));
    let running = JobFilter::default().state(JobState::Running);
    assert_eq!(store.jobs().jobs(&scope, &running, &PageRequest::default()).await.unwrap().items.len(), 4);
    drop(events);
    agent.close().await;
    assert_eq!(store.jobs().jobs(&scope, &running, &PageRequest::default()).await.unwrap().items.len(), 3);
}

/// A model whose parts panic.
#[derive(Debug)]
struct Panicking(&'static str, AtomicUsize);

#[async_trait]
impl LlmProvider for Panicking {
    fn model(&self) -> &str {
        assert_ne!(self.0, "model", "as told");
        "panicking"
    }

    fn check(&self, _: &LlmRequest) -> Result<(), LlmError> {
        // The first is the caller's.
        assert!(self.0 != "check" || self.1.fetch_add(1, Ordering::SeqCst) == 0, "as told");
        Ok(())
    }

    async fn stream(&self, _: &Scope, _: LlmRequest) -> Result<LlmStream, LlmError> {
        Ok(Box::pin(stream::iter([Ok(LlmEvent::Finished(response("hello", Vec::new())))])))
    }
}

/// An embedder that panics.
#[derive(Debug)]
struct NoEmbedder(HashEmbedder);

#[async_trait]
impl Embedder for NoEmbedder {
    fn model(&self) -> &EmbeddingModel {
        self.0.model()
    }

    async fn embed(&self, _: &Scope, _: Purpose, _: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        panic!("as told")
    }
}

#[tokio::test]
async fn whatever_panics_the_job_ends() {
    for part in ["model", "check", "embedder"] {
        let store = LibsqlStore::in_memory().await.unwrap();
        let builder = Agent::builder().store(store.clone()).llm(Panicking(part, AtomicUsize::new(0)));
        let builder = match part {
            "embedder" => builder.memory(HybridMemory::new(store.clone(), NoEmbedder(HashEmbedder::default()))),
            _ => builder,
        };
        let (agent, scope) = (builder.build().unwrap(), Scope::user("ada").unwrap());
        let conversation = agent.start_conversation(&scope).await.unwrap();
        let earlier = NewMessage::text(MessageId::make(&SystemClock), Role::User, "see")
            .parts(vec![ContentPart::image("image/png", &b"x"[..])]);
        store.append_message(&scope, conversation, earlier).await.unwrap();
        let error = agent.send(&scope, conversation, "hi").await.unwrap_err();
        assert_eq!(*error.kind(), AgentErrorKind::Panicked, "{part}");
        let job = World { store, scope, agent, conversation }.only_job().await;
        assert_eq!(job.state, JobState::Failed, "{part}");
        assert!(job.error.unwrap().contains("panicked"), "{part}");
    }
}

#[test]
fn a_runtime_without_timers_is_told_of() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (error, job) = runtime.block_on(async {
        let world = World::new(Script::new([])).await;
        (world.send("hi").await.unwrap_err(), world.only_job().await)
    });
    assert_eq!((error.kind(), job.state), (&AgentErrorKind::Panicked, JobState::Failed));
    assert!(error.to_string().contains("enable_all"), "{error}");
}

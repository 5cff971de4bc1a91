//! Models and tools that say anything at all: an answer or a typed error comes of it, the job ends recorded, the
//! conversation stays readable, and the next message is answered.

use async_trait::async_trait;
use futures::stream;
use ironclaw_core::agent::{AgentError, AgentErrorKind, Reply};
use ironclaw_core::id::ToolName;
use ironclaw_core::llm::{
    FinishReason, LlmError, LlmErrorKind, LlmEvent, LlmProvider, LlmRequest, LlmResponse, LlmStream, TokenUsage,
    ToolCall,
};
use ironclaw_core::model::jobs::{JobState, JobStep, ToolOutcome};
use ironclaw_core::tool::{LogLevel, LogLine, SandboxUsage, ToolError, ToolErrorKind, ToolOutput, ToolSpec};
use ironclaw_core::{AgentStore, PageRequest, Scope, Tool};
use serde_json::{Value, json};

use crate::support::{Script, Step, World, response, shown};

/// What a test makes anew each time: a value a million levels deep can't be cloned.
type Make<T> = Box<dyn Fn() -> T + Send + Sync>;

/// A model that says this once, and is sensible afterwards.
struct Liar {
    lie: Make<Result<LlmResponse, LlmError>>,
    then: Script,
    asked: std::sync::atomic::AtomicBool,
}

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Liar")
    }
}

#[async_trait]
impl LlmProvider for Liar {
    fn model(&self) -> &str {
        "m\0del"
    }

    async fn stream(&self, scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        if self.asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return self.then.stream(scope, request).await;
        }
        let lie = (self.lie)().map(LlmEvent::Finished);
        Ok(Box::pin(stream::iter([lie])))
    }
}

/// A tool that answers this.
struct Puppet(ToolSpec, Make<Result<ToolOutput, ToolError>>);

impl Puppet {
    fn new(answer: impl Fn() -> Result<ToolOutput, ToolError> + Send + Sync + 'static) -> Self {
        let (name, parameters) = (ToolName::parse("t").unwrap(), json!({"type": "object"}));
        Self(ToolSpec::new(name, "", parameters), Box::new(answer))
    }
}

impl std::fmt::Debug for Puppet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Puppet")
    }
}

#[async_trait]
impl Tool for Puppet {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: &Scope, _: Value) -> Result<ToolOutput, ToolError> {
        (self.1)()
    }
}

fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    ToolCall::new(id, name, arguments)
}

fn calls(tool_calls: Vec<ToolCall>) -> LlmResponse {
    response("", Vec::new()).tool_calls(tool_calls)
}

fn deep(levels: usize) -> Value {
    // The macro would copy what is inside, level by level.
    (0..levels).fold(json!(1), |inner, _| Value::from_iter([("a", inner)]))
}

/// Lets a model lie, with a tool `t`, and checks what holds whatever comes of it.
async fn lies(
    lie: impl Fn() -> Result<LlmResponse, LlmError> + Send + Sync + 'static,
    tool: Puppet,
) -> (World, Script, Result<Reply, AgentError>) {
    let then = Script::new([Step::Say("Sorry."), Step::Say("Here I am.")]);
    let asked = std::sync::atomic::AtomicBool::new(false);
    let liar = Liar { lie: Box::new(lie), then: then.clone(), asked };
    let world = World::with(liar, |builder| builder.tool(tool)).await;
    let came = world.send("go").await;
    let job = world.only_job().await;
    match &came {
        Ok(_) => assert_eq!(job.state, JobState::Succeeded),
        Err(error) => {
            assert!(matches!(error.kind(), AgentErrorKind::Llm | AgentErrorKind::ContextFull), "{error:?}");
            assert_eq!(job.state, JobState::Failed);
            assert!(job.error.unwrap().len() < 8_192);
        }
    }
    assert!(!world.llm_calls(job.job.id).await.is_empty(), "the call is recorded");
    assert!(!world.steps(job.job.id).await.is_empty());
    let runs = world.store.jobs().sandbox_jobs(&world.scope, job.job.id, &PageRequest::default()).await.unwrap();
    assert!(runs.items.len() <= 1_000);
    assert!(!world.messages().await.is_empty());
    assert!(world.send("and now?").await.is_ok(), "the next message is answered");
    (world, then, came)
}

fn plain() -> Puppet {
    Puppet::new(|| Ok(ToolOutput::new(json!("ok"))))
}

#[tokio::test]
async fn thousands_of_calls_are_kept_by_the_first_and_the_model_is_told() {
    let lie = || Ok(calls((0..6_000).map(|n| call(&n.to_string(), "t", json!({}))).collect()));
    let (world, script, came) = lies(lie, plain()).await;
    let reply = came.unwrap();
    assert_eq!(reply.tool_calls.len(), 128);
    let made = reply.tool_calls.iter().filter(|call| matches!(call.outcome, ToolOutcome::Success(_))).count();
    assert_eq!(made, 16);
    let told = shown(&script.requests()[0]).pop().unwrap();
    assert!(told.contains("too many calls") && told.contains("5872 more calls"), "{told}");
    let noted = |step: &JobStep| matches!(step, JobStep::Note { text } if text.contains("5872"));
    assert!(world.steps(reply.job).await.iter().any(noted));
}

#[tokio::test]
async fn errors_and_texts_of_any_size_end_the_job() {
    for text in ["e".repeat(10 << 20), "\0\u{1}ä".repeat(1 << 20)] {
        let error = text.clone();
        let lie = move || Err(LlmError::new(LlmErrorKind::InvalidRequest, "stream", error.clone()));
        let (world, _, came) = lies(lie, plain()).await;
        let job = world.jobs().await.pop().unwrap();
        assert!(came.is_err() && job.error.unwrap().contains("[cut: these are the first"));

        let lie = move || Ok(response(&text, Vec::new()));
        assert!(lies(lie, plain()).await.2.is_err());
    }
}

#[tokio::test]
async fn an_answer_with_nothing_in_it_is_an_error_and_no_answer() {
    for (text, finish, said) in [
        ("", FinishReason::Stop, "neither text nor calls"),
        (" \n\t\u{1f}", FinishReason::ToolCalls, "neither text nor calls"),
        ("", FinishReason::Length, "before its first word"),
        ("", FinishReason::Filtered, "withheld"),
        ("", FinishReason::Other("\0".repeat(999)), "neither text nor calls"),
    ] {
        let lie = move || Ok(response(text, Vec::new()).finish(finish.clone()));
        let (world, script, came) = lies(lie, plain()).await;
        let error = came.unwrap_err();
        let source = error.cause().unwrap();
        assert_eq!(source.downcast_ref::<LlmError>().unwrap().kind(), &LlmErrorKind::EmptyAnswer);
        assert!(source.to_string().contains(said), "{source}");
        assert_eq!(world.said().await[..2], ["user: go", "user: and now?"]);
        assert_eq!(shown(&script.requests()[0]), ["user: go\n\n---\n\nand now?"]);
    }
}

#[tokio::test]
async fn arguments_of_any_depth_and_size_are_kept() {
    let lie = || {
        let arguments = [deep(60), deep(126), json!({"\0": ["\0"]})];
        Ok(calls(arguments.into_iter().map(|arguments| call("", "t", arguments)).collect()))
    };
    let (_, script, came) = lies(lie, plain()).await;
    let reply = came.unwrap();
    let kept: Vec<&Value> = reply.tool_calls.iter().map(|call| &call.arguments).collect();
    assert_eq!(kept, [&deep(60), &Value::String(deep(126).to_string()), &json!({"\u{FFFD}": ["\u{FFFD}"]})]);
    let outcome = &reply.tool_calls[1].outcome;
    assert!(matches!(outcome, ToolOutcome::Failure { code, .. } if code == "invalid_arguments"), "{outcome:?}");
    // What is no object is sent back as an empty one.
    let sent = serde_json::to_string(&script.requests()[0].messages).unwrap();
    assert!(sent.contains("the arguments must be a JSON object") && sent.contains(r#""arguments":{}"#), "{sent}");

    // More than any context holds.
    let lies_of = |make: fn() -> Value| lies(move || Ok(calls(vec![call("", "t", make())])), plain());
    for make in [|| deep(1_000_000), || json!({ "a": "\u{1}".repeat(3 << 20) })] {
        let (world, _, came) = lies_of(make).await;
        assert_eq!(came.unwrap().text, "Sorry.");
        let kept = world.messages().await.swap_remove(1).message.tool_calls.swap_remove(0).arguments;
        assert!(kept.to_string().len() <= 2 << 20 && kept.as_str().unwrap().contains("[cut: "));
    }
    let (_, _, came) = lies_of(|| json!({ "a": "x".repeat(1 << 20) })).await;
    assert_eq!(came.unwrap_err().kind(), &AgentErrorKind::ContextFull);
}

#[tokio::test]
async fn ids_names_counts_and_reasons_that_contradict_are_kept() {
    let lie = || {
        let odd = vec![
            call("", "t", json!({})),
            call("", "t\0\n", json!({})),
            call("x", "t", json!(null)),
            call("x", "nope", json!([])),
            call(&"i".repeat(9_999), &"n".repeat(9_999), json!({})),
            call("\0", "no such tool/ä", json!("{\"a\": ")),
            call("call-1", "t", json!({})),
        ];
        let usage = TokenUsage::default().input(Some(u64::MAX)).output(Some(u64::MAX)).cost_micro_usd(Some(u64::MAX));
        let model = "m\0".repeat(9_999);
        Ok(LlmResponse::new(model, "so\0").tool_calls(odd).finish(FinishReason::Length).usage(usage))
    };
    let (world, _, came) = lies(lie, plain()).await;
    let reply = came.unwrap();
    let mut ids: Vec<&str> = reply.tool_calls.iter().map(|call| call.call_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 7, "every call has an id of its own: {ids:?}");
    let recorded = world.llm_calls(reply.job).await;
    assert_eq!(recorded[0].usage.input, Some(i64::MAX.unsigned_abs()));

    let lie = || Ok(calls(vec![call("x", "\n\0", json!({}))]));
    assert!(lies(lie, plain()).await.2.is_err());
}

#[tokio::test]
async fn results_that_grow_when_they_are_encoded_are_kept() {
    let run = |value: Value| {
        let logs = vec![LogLine::new(LogLevel::Info, "\0".repeat(5 << 20))];
        let usage = SandboxUsage::default()
            .component("c".repeat(9_999))
            .fuel(u64::MAX)
            .memory_bytes(u64::MAX)
            .duration_us(u64::MAX);
        ToolOutput::new(value).logs(logs).usage(usage)
    };
    let one = || Ok(calls(vec![call("1", "t", json!({}))]));
    for value in [
        json!("\u{1}".repeat(1 << 20)),
        json!("\0\"".repeat(4 << 20)),
        json!({ "a": vec!["\u{1}".repeat(100); 20_000] }),
        deep(63),
        deep(126),
    ] {
        let answer = value.clone();
        let (world, _, came) = lies(one, Puppet::new(move || Ok(run(answer.clone())))).await;
        let ToolOutcome::Success(kept) = came.unwrap().tool_calls.remove(0).outcome else { panic!("a result") };
        assert!(kept.to_string().len() <= 1 << 20);
        let result = world.messages().await.swap_remove(2);
        assert!(result.message.content.len() <= (8 << 10) + 128 && !result.message.content.contains('\0'));
    }
    let (_, _, came) = lies(one, Puppet::new(move || Ok(run(deep(1_000_000))))).await;
    assert!(matches!(&came.unwrap().tool_calls[0].outcome, ToolOutcome::Success(Value::String(_))));
    let fails = || Err(ToolError::new(ToolErrorKind::Failed, "call", "\0".repeat(10 << 20)));
    let (_, _, came) = lies(one, Puppet::new(fails)).await;
    assert!(matches!(&came.unwrap().tool_calls[0].outcome, ToolOutcome::Failure { message, .. }
        if message.len() < 100_000 && message.contains("[cut: ")));
}

#[tokio::test]
async fn a_provider_that_panics_fails_the_job() {
    assert!(lies(|| panic!("as told"), plain()).await.2.unwrap_err().to_string().contains("model failed"));
}

#[tokio::test]
async fn what_is_recorded_fits_a_store_of_smaller_limits() {
    let limits = {
        let mut limits = ironclaw_core::Limits::default();
        (limits.message_bytes, limits.json_bytes, limits.operations) = (4_000, 8_000, 60);
        limits
    };
    let store = ironclaw_store::LibsqlStore::builder().limits(limits.clone()).in_memory().await.unwrap();
    let answer = calls((0..500).map(|n| call(&n.to_string(), "t", json!({"text": "x".repeat(900)}))).collect());
    let script = Script::new([Step::Raw(answer), Step::Say("Done.")]);
    let tool = Puppet::new(|| Ok(ToolOutput::new(json!("\u{1}".repeat(9_000)))));
    let builder = ironclaw_core::Agent::builder().store(store.clone()).llm(script).limits(limits).tool(tool);
    let agent = builder.build().unwrap();
    let scope = Scope::user("ada").unwrap();
    let conversation = agent.start_conversation(&scope).await.unwrap();
    let reply = agent.send(&scope, conversation, "go").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("Done.", 14));
}

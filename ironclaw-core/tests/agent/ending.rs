//! Why an answer ended, and how it was to be made.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use ironclaw_core::Scope;
use ironclaw_core::agent::AgentErrorKind;
use ironclaw_core::llm::{
    FinishReason, LlmError, LlmEvent, LlmOptions, LlmProvider, LlmRequest, LlmStream, ReasoningEffort,
};
use serde_json::json;

use crate::support::{Echo, Script, Step, World, response};

#[tokio::test]
async fn the_reason_reaches_the_reply_and_the_message() {
    for (finish, word) in [
        (FinishReason::Stop, "stop"),
        (FinishReason::Length, "length"),
        (FinishReason::Filtered, "filtered"),
        (FinishReason::Other("pause_turn".into()), "pause_turn"),
    ] {
        let answer = response("First, you must ne", Vec::new()).finish(finish.clone());
        let world = World::new(Script::new([Step::Raw(answer)])).await;
        let reply = world.send("What is to be done?").await.unwrap();
        assert_eq!(reply.finish, finish);
        assert_eq!(world.messages().await[1].message.metadata["finish"], word);
    }
}

#[tokio::test]
async fn a_round_of_calls_keeps_its_own() {
    let script = Script::new([Step::Call(vec![("echo", json!({}))]), Step::Say("Done.")]);
    let world = World::with(script, |builder| builder.tool(Echo::new("echo"))).await;
    world.send("Do it").await.unwrap();
    let words: Vec<_> =
        world.messages().await.iter().map(|message| message.message.metadata["finish"].clone()).collect();
    assert_eq!(words, [json!(null), json!("tool_calls"), json!(null), json!("stop")]);
}

#[tokio::test]
async fn options_go_with_every_request() {
    let options = LlmOptions::default().max_output_tokens(50).reasoning_effort(ReasoningEffort::Low);
    let script = Script::new([Step::Say("Yes.")]);
    let world = World::with(script.clone(), |builder| builder.llm_options(options.clone())).await;
    world.send("Short, please?").await.unwrap();
    assert_eq!(script.last_request().options, options);
}

/// A model that never stops, and never lets anything else come in between.
#[derive(Debug)]
struct Endless(&'static str);

#[async_trait]
impl LlmProvider for Endless {
    fn model(&self) -> &str {
        "endless"
    }

    async fn stream(&self, _: &Scope, _: LlmRequest) -> Result<LlmStream, LlmError> {
        let text = self.0;
        Ok(Box::pin(stream::repeat_with(move || Ok(LlmEvent::Text(text.to_owned())))))
    }
}

async fn ends(text: &'static str, model: u64, all: u64) -> AgentErrorKind {
    let (model, all) = (Duration::from_millis(model), Duration::from_millis(all));
    let world = World::with(Endless(text), |builder| builder.llm_deadline(model).deadline(all)).await;
    let error = tokio::time::timeout(Duration::from_secs(30), world.send("hi")).await.unwrap().unwrap_err();
    error.kind().clone()
}

#[tokio::test]
async fn a_stream_that_is_always_ready_ends_by_the_deadlines() {
    assert_eq!(ends("", 100, 60_000).await, AgentErrorKind::Llm);
    assert_eq!(ends("x", 60_000, 100).await, AgentErrorKind::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_on_several_threads() {
    assert_eq!(ends("", 100, 60_000).await, AgentErrorKind::Llm);
    assert_eq!(ends("x", 60_000, 100).await, AgentErrorKind::DeadlineExceeded);
}

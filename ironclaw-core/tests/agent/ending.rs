//! Why an answer ended, and how it was to be made.

use ironclaw_core::llm::{FinishReason, LlmOptions, ReasoningEffort};
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

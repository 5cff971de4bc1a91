use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ironclaw_core::agent::{AgentErrorKind, AgentEvent, SendRequest};
use ironclaw_core::id::ToolName;
use ironclaw_core::llm::{LlmMessage, LlmOptions, ToolCall, ToolChoice};
use ironclaw_core::model::jobs::{JobState, JobStep, ToolOutcome};
use ironclaw_core::{AgentStore, ExtractiveLlm, PageRequest};
use serde_json::{Value, json};

use crate::support::{Echo, Script, Step, World, response, shown};

async fn world(script: &Script) -> World {
    World::with(script.clone(), |builder| {
        builder.tool(Echo::new("echo")).tool_deadline(Duration::from_millis(100)).tool_result_bytes(200)
    })
    .await
}

#[tokio::test]
async fn a_round_of_tools_is_run_shown_and_recorded() {
    let calls = Step::Call(vec![("echo", json!({"x": 1})), ("echo", json!({"do": "run"}))]);
    let script = Script::new([calls, Step::Say("Done.")]);
    let echo = Echo::new("echo");
    let chains = Arc::clone(&echo.chains);
    let world = World::with(script.clone(), |builder| builder.tool(echo)).await;
    let reply = world.send("do it").await.unwrap();
    assert_eq!(reply.text, "Done.");
    let outcomes: Vec<_> =
        reply.tool_calls.iter().map(|call| (&call.name[..], &call.arguments, &call.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            ("echo", &json!({"x": 1}), &ToolOutcome::Success(json!({"x": 1}))),
            ("echo", &json!({"do": "run"}), &ToolOutcome::Success(json!("ran"))),
        ]
    );
    assert_eq!(world.said().await, ["user: do it", "assistant: ", "tool: {\"x\":1}", "tool: ran", "assistant: Done."]);
    assert_eq!(shown(&script.last_request()), ["user: do it", "assistant:  +2", "tool: {\"x\":1}", "tool: ran"]);
    assert_eq!(chains.lock().unwrap()[0], ["user:ada", "agent:helper", "tool:echo"]);

    let steps = world.steps(reply.job).await;
    assert_eq!(steps.iter().filter(|step| matches!(step, JobStep::ToolCall { .. })).count(), 2);
    assert_eq!(world.llm_calls(reply.job).await.len(), 2);
    let runs = world.store.jobs().sandbox_jobs(&world.scope, reply.job, &PageRequest::default()).await.unwrap().items;
    assert_eq!(runs.len(), 1, "only what ran in a sandbox");
    assert_eq!((runs[0].usage.as_ref().unwrap().fuel, &runs[0].parameters), (7, &json!({"do": "run"})));
    assert_eq!(reply.usage.input, Some(20), "of both calls");
}

#[tokio::test]
async fn a_call_is_recorded_before_it_is_made() {
    let script = Script::new([Step::Call(vec![("echo", json!({"do": "hang"}))])]);
    let world = World::with(script, |builder| builder.tool(Echo::new("echo"))).await;
    let mut events = world.agent.stream(&world.scope, world.conversation, "do it");
    while !matches!(events.next().await, Some(Ok(AgentEvent::ToolStarted { .. }))) {}
    let messages = world.messages().await;
    assert_eq!(messages[1].message.tool_calls[0].arguments, json!({"do": "hang"}));
}

#[tokio::test]
async fn whatever_a_tool_does_wrong_goes_back_to_the_model() {
    for (name, arguments, code, said) in [
        ("nothing", json!({}), "unknown_tool", "unknown tool"),
        ("echo", json!("text"), "invalid_arguments", "JSON object"),
        ("echo", json!({"do": "deny"}), "denied", "not for you"),
        ("echo", json!({"do": "panic"}), "trapped", "panicked"),
        ("echo", json!({"do": "hang"}), "timeout", "longer than"),
    ] {
        let script = Script::new([Step::Call(vec![(name, arguments.clone())]), Step::Say("I see.")]);
        let world = world(&script).await;
        let reply = world.send("do it").await.unwrap();
        let last = script.last_request().messages.pop().unwrap();
        assert!(
            matches!(&last, LlmMessage::Tool { is_error: true, content, .. } if content.contains(said)),
            "{last:?}"
        );
        let outcome = &reply.tool_calls[0].outcome;
        assert!(matches!(outcome, ToolOutcome::Failure { code: found, .. } if found == code), "{outcome:?}");
        assert_eq!(reply.tool_calls[0].arguments, arguments);
        assert_eq!(world.only_job().await.state, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_large_result_is_cut_for_the_model_and_kept_whole() {
    let text = "ä".repeat(500);
    let script = Script::new([Step::Call(vec![("echo", json!({"text": text}))]), Step::Say("Long.")]);
    let world = world(&script).await;
    let reply = world.send("do it").await.unwrap();
    let shown = shown(&script.last_request()).pop().unwrap();
    assert!(shown.len() < 300 && shown.contains("[cut: these are the first"), "{shown}");
    assert_eq!(reply.tool_calls[0].outcome, ToolOutcome::Success(json!({"text": text})));
}

#[tokio::test]
async fn rounds_end() {
    let script = Script::new((0..3).map(|n| Step::Call(vec![("echo", json!({"n": n}))])));
    let world = World::with(script.clone(), |builder| builder.tool(Echo::new("echo")).tool_rounds(2)).await;
    let error = world.send("do it").await.unwrap_err();
    assert_eq!(error.kind(), &AgentErrorKind::TooManyRounds);
    assert_eq!(script.requests().len(), 3);
    let job = world.only_job().await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.unwrap().contains("too many rounds"));
    assert_eq!(world.llm_calls(job.job.id).await.len(), 3, "the last call is recorded too");
    assert_eq!(world.said().await.len(), 5, "no call without a result");
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_and_said_so() {
    let calls = (0..4).map(|n| ("echo", json!({"n": n}))).collect();
    let script = Script::new([Step::Call(calls), Step::Say("Fine.")]);
    let world = World::with(script.clone(), |builder| builder.tool(Echo::new("echo")).tool_calls_per_round(3)).await;
    let reply = world.send("do it").await.unwrap();
    let refused = &reply.tool_calls[3].outcome;
    assert!(matches!(refused, ToolOutcome::Failure { code, .. } if code == "too_many_calls"), "{refused:?}");
    assert!(shown(&script.last_request())[5].contains("too many calls"));
}

#[tokio::test]
async fn what_no_store_keeps_is_replaced() {
    let call = |id: &str, name: &str, arguments: Value| ToolCall::new(id, name, arguments);
    let tool_calls =
        vec![call("", "echo", json!({"a\0": "b\0"})), call("x", "echo\u{7}", json!({})), call("x", "echo", json!({}))];
    let odd = response("so\0", Vec::new()).tool_calls(tool_calls);
    let script = Script::new([Step::Raw(odd), Step::Say("A\0B")]);
    let world = world(&script).await;
    let reply = world.send("do it").await.unwrap();
    assert_eq!(reply.text, "A\u{FFFD}B");
    assert_eq!(reply.tool_calls[0].arguments, json!({"a\u{FFFD}": "b\u{FFFD}"}));
    let mut ids: Vec<_> = reply.tool_calls.iter().map(|call| call.call_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "every call has an id of its own");

    let nameless = response("", Vec::new()).tool_calls(vec![call("x", "", json!({}))]);
    let world = self::world(&Script::new([Step::Raw(nameless)])).await;
    assert_eq!(world.send("do it").await.unwrap_err().kind(), &AgentErrorKind::Llm);
}

#[tokio::test]
async fn the_stand_in_calls_a_tool_by_name() {
    let world = World::with(ExtractiveLlm::new(), |builder| builder.tool(Echo::new("echo"))).await;
    let reply = world.send(r#"/echo {"x": [1, 2]}"#).await.unwrap();
    assert_eq!(reply.text, r#"echo answered: {"x":[1,2]}"#);
    assert_eq!(reply.tool_calls.len(), 1);
    let refused = world.send(r#"/echo {"x": "#).await.unwrap();
    assert!(refused.text.contains("/echo {}") && refused.tool_calls.is_empty(), "{}", refused.text);
    let denied = world.send(r#"/echo {"do": "deny"}"#).await.unwrap();
    assert!(denied.text.starts_with("echo failed:"), "{}", denied.text);
    let unknown = world.send("/other").await.unwrap();
    assert!(unknown.text.contains("no tool `other`") && unknown.text.contains("echo"));
    let path = world.send("/etc/hosts: what is in there?").await.unwrap();
    assert!(path.text.contains("nothing to quote") || path.text.contains("not a language model"));
}

#[tokio::test]
async fn a_tool_that_may_not_be_called_is_not() {
    for choice in [ToolChoice::None, ToolChoice::Tool(ToolName::parse("weather").unwrap())] {
        let pay = Echo::new("pay");
        let calls = pay.chains.clone();
        let script = Script::new([Step::Call(vec![("pay", json!({}))]), Step::Say("ok")]);
        let world = World::with(script.clone(), |builder| builder.tool(pay).tool(Echo::new("weather"))).await;
        let message = SendRequest::new("hi").options(LlmOptions::default().tool_choice(choice));
        let reply = world.agent.send(&world.scope, world.conversation, message).await.unwrap();
        assert_eq!((reply.text.as_str(), calls.lock().unwrap().len()), ("ok", 0));
        assert!(shown(&script.last_request()).last().unwrap().starts_with("tool error: The call was not made"));
    }
}

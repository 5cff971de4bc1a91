use futures::StreamExt;
use ironclaw_core::agent::AgentEvent;
use ironclaw_core::model::jobs::{JobState, JobStep, ToolOutcome};
use serde_json::json;

use crate::support::{Echo, Script, Step, World, shown};

#[tokio::test]
async fn a_stream_that_is_dropped_ends_the_job_as_cancelled() {
    let script = Script::new([Step::Hang("Well, "), Step::Say("ok")]);
    let world = World::new(script.clone()).await;
    let mut events = world.agent.stream(&world.scope, world.conversation, "hi");
    assert_eq!(events.next().await.unwrap().unwrap(), AgentEvent::Text("Well, ".into()));
    assert_eq!(world.only_job().await.state, JobState::Running);
    drop(events);
    let job = world.ended_job().await;
    assert_eq!((job.state, &job.error), (JobState::Cancelled, &None));
    let calls = world.llm_calls(job.job.id).await;
    assert!(calls[0].response.is_none() && calls[0].error.as_ref().unwrap().contains("cancelled"));
    assert_eq!(world.said().await, ["user: hi"], "nothing half-written");
    world.send("again").await.unwrap();
    assert_eq!(shown(&script.last_request()), ["user: hi\n\n---\n\nagain"]);
}

#[tokio::test]
async fn a_send_that_is_dropped_is_cancelled_too() {
    let world = World::new(Script::new([Step::Hang("")])).await;
    {
        let send = world.send("hi");
        let timeout = tokio::time::timeout(std::time::Duration::from_millis(100), send).await;
        assert!(timeout.is_err());
    }
    assert_eq!(world.ended_job().await.state, JobState::Cancelled);
}

#[tokio::test]
async fn what_tools_had_done_is_recorded() {
    let calls = vec![("echo", json!({"n": 1})), ("echo", json!({"do": "hang"})), ("echo", json!({"n": 3}))];
    let script = Script::new([Step::Call(calls), Step::Say("ok")]);
    let world = World::with(script.clone(), |builder| builder.tool(Echo::new("echo"))).await;
    let mut events = world.agent.stream(&world.scope, world.conversation, "do it");
    let mut started = 0;
    while started < 2 {
        started += usize::from(matches!(events.next().await, Some(Ok(AgentEvent::ToolStarted { .. }))));
    }
    drop(events);
    let job = world.ended_job().await;
    assert_eq!(job.state, JobState::Cancelled);
    let outcomes: Vec<bool> = world
        .steps(job.job.id)
        .await
        .into_iter()
        .filter_map(|step| match step {
            JobStep::ToolCall { outcome, .. } => Some(matches!(outcome, ToolOutcome::Success(_))),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [true, false, false]);
    let said = world.said().await;
    assert_eq!(said.len(), 5, "every call has a result: {said:?}");
    assert_eq!(said[2], "tool: {\"n\":1}");
    world.send("go on").await.unwrap();
    let shown = shown(&script.last_request());
    assert!(shown[3].starts_with("tool error: The call was cancelled."), "{shown:?}");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cancelled_before_it_is_written() {
    // More pieces than wait for a reader, so that the work stands still until the stream is dropped.
    const LONG: &str =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
    let world = World::new(Script::new([Step::Say(LONG)])).await;
    let mut events = world.agent.stream(&world.scope, world.conversation, "hi");
    events.next().await.unwrap().unwrap();
    drop(events);
    assert_eq!(world.ended_job().await.state, JobState::Cancelled);
    assert_eq!(world.said().await, ["user: hi"]);
}

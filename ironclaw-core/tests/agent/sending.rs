use futures::StreamExt;
use ironclaw_core::agent::{AgentEvent, JOB_KIND};
use ironclaw_core::model::audit::PrincipalKind;
use ironclaw_core::model::jobs::{JobState, JobStep};
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{ExtractiveLlm, Memory, PageRequest, VaultStore};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use serde_json::Value;

use crate::support::{Script, Step, World};

#[tokio::test]
async fn a_question_is_answered_and_recorded() {
    let world = World::new(Script::new([Step::Say("On 3 May.")])).await;
    let reply = world.send("When is the launch?").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("On 3 May.", "scripted-2026"));
    assert_eq!((reply.usage.input, reply.usage.output), (Some(10), Some(2)));
    assert!(reply.citations.is_empty() && reply.tool_calls.is_empty());
    assert_eq!(world.said().await, ["user: When is the launch?", "assistant: On 3 May."]);
    assert_eq!(world.messages().await[1].message.id, reply.message);

    let job = world.only_job().await;
    assert_eq!((job.job.id, job.state, &job.error), (reply.job, JobState::Succeeded, &None));
    assert_eq!((job.job.kind.as_str(), job.job.conversation), (JOB_KIND, Some(world.conversation)));
    assert_eq!(job.job.agent.unwrap().as_str(), "helper");
    let steps = world.steps(reply.job).await;
    let states: Vec<_> = steps.iter().filter(|step| matches!(step, JobStep::State { .. })).collect();
    assert_eq!(states.len(), 2);
    assert!(steps.contains(&JobStep::Retrieved { passages: 0, messages: 0, degraded: None }));

    let calls = world.llm_calls(reply.job).await;
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].model.as_str(), &calls[0].error, calls[0].usage.input), ("scripted", &None, Some(10)));
    assert!(calls[0].request.to_string().contains("When is the launch?"));
    assert_eq!(calls[0].response.as_ref().unwrap()["text"], "On 3 May.");
}

#[tokio::test]
async fn it_is_done_by_the_agent_for_the_user() {
    let world = World::new(Script::new([Step::Say("Hello.")])).await;
    world.send("hi").await.unwrap();
    let page = PageRequest::default();
    let events = world.store.audit().events(&world.scope, &Default::default(), &page).await.unwrap();
    assert!(!events.items.is_empty());
    for event in &events.items {
        let kinds: Vec<_> = event.event.principals.iter().map(|principal| principal.kind).collect();
        assert_eq!(kinds, [PrincipalKind::User, PrincipalKind::Agent]);
    }
}

#[tokio::test]
async fn text_streams_and_the_reply_comes_last() {
    let world = World::new(Script::new([Step::Say("Grüße, 世界")])).await;
    let events: Vec<_> = world.agent.stream(&world.scope, world.conversation, "hi").map(Result::unwrap).collect().await;
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert!(texts.len() > 5, "piece by piece");
    assert_eq!(texts.concat(), "Grüße, 世界");
    assert!(matches!(events.last(), Some(AgentEvent::Finished(reply)) if reply.text == "Grüße, 世界"));
    assert_eq!(world.only_job().await.state, JobState::Succeeded, "what is told is durable");
}

#[tokio::test]
async fn passages_are_found_cited_and_traced() {
    let store_of = Script::new([Step::Say("It was moved [2], from what it was [1], see [9]. [2]")]);
    let world = with_memory(store_of.clone()).await;
    let reply = world.send("When is the launch of the rocket?").await.unwrap();
    let passages = store_of.last_request().passages;
    assert!(passages.len() >= 2);
    let cited: Vec<_> = reply.citations.iter().map(|citation| (citation.number, &citation.passage)).collect();
    assert_eq!(cited, [(2, &passages[1]), (1, &passages[0])]);
    assert!(reply.citations.iter().all(|citation| citation.message.is_none()));
    let found = JobStep::Retrieved { passages: passages.len() as u64, messages: 0, degraded: None };
    assert!(world.steps(reply.job).await.contains(&found));
}

#[tokio::test]
async fn the_stand_in_answers_from_the_workspace_and_from_the_past() {
    let world = with_memory(ExtractiveLlm::new()).await;
    let reply = world.send("When is the launch of the rocket?").await.unwrap();
    assert!(reply.text.starts_with("I am not a language model"), "{}", reply.text);
    assert!(reply.text.contains("The launch of the rocket is on 3 May. ["), "{}", reply.text);
    assert!(reply.citations.iter().any(|citation| citation.passage.path.as_str() == "notes/launch.md"));
    assert_eq!(reply.model, "extractive-v1");

    // Asked again, it neither quotes the question nor its own answer.
    let again = world.send("When is the launch of the rocket?").await.unwrap();
    assert_eq!(again.text, reply.text);

    world.send("Remember that Zoltan brings the umbrella on Sunday.").await.unwrap();
    let elsewhere = world.agent.start_conversation(&world.scope).await.unwrap();
    let reply = world.agent.send(&world.scope, elsewhere, "Who brings the umbrella?").await.unwrap();
    assert!(reply.text.contains("Zoltan brings the umbrella on Sunday."), "{}", reply.text);
    let message = reply.citations[0].message.unwrap();
    assert_eq!(message.conversation, world.conversation);
    let said = world.messages().await;
    let cited = said.iter().find(|said| said.message.id == message.message).unwrap();
    assert_eq!((cited.sequence, cited.message.content.contains("umbrella")), (message.sequence, true));
}

#[tokio::test]
async fn answers_at_the_same_time_stay_whole() {
    let world = World::new(Script::new((0..8).map(|_| Step::Say("Yes.")))).await;
    let replies = futures::future::join_all((0..8).map(|_| world.send("Really?"))).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.text == "Yes.")));
    assert_eq!(world.messages().await.len(), 16);
    assert!(world.jobs().await.iter().all(|job| job.state == JobState::Succeeded));
}

/// An agent whose workspace tells of a launch.
async fn with_memory(llm: impl ironclaw_core::LlmProvider + 'static) -> World {
    let mut world = World::new(Script::default()).await;
    let memory = HybridMemory::new(world.store.clone(), HashEmbedder::default());
    for (path, text) in [
        ("notes/launch.md", "# Launch\n\nWe met on Monday. The launch of the rocket is on 3 May."),
        ("notes/change.md", "The launch of the rocket was moved to June. Everybody was told."),
        ("notes/cake.md", "Bob bakes the cake."),
    ] {
        let path = WorkspacePath::parse(path).unwrap();
        memory.write(&world.scope, &path, text.as_bytes(), Value::Null).await.unwrap();
    }
    let agent = ironclaw_core::Agent::builder().store(world.store.clone()).memory(memory).llm(llm).build().unwrap();
    world.agent = agent;
    world
}

use std::sync::Arc;

use futures::StreamExt;
use ironclaw_core::agent::AgentErrorKind;
use ironclaw_core::id::ConversationId;
use ironclaw_core::llm::{LlmOptions, ToolChoice};
use ironclaw_core::{Agent, AgentStore, ExtractiveLlm, LlmProvider, Memory, Scope, Store, StoreExt, SystemClock};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;

use crate::support::{Echo, Script, Step, World};

#[tokio::test]
async fn a_store_and_a_model_are_needed() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let no_model = Agent::builder().store(store).build().unwrap_err();
    assert_eq!(no_model.kind(), &AgentErrorKind::Misconfigured);
    assert!(no_model.to_string().contains("llm"));
    let no_store = Agent::builder().llm(ExtractiveLlm::new()).build().unwrap_err();
    assert_eq!(no_store.kind(), &AgentErrorKind::Misconfigured);
    assert!(no_store.to_string().contains("store"));
}

#[tokio::test]
async fn plain_and_shared_parts_are_taken() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let memory = HybridMemory::new(store.clone(), HashEmbedder::default());
    let plain = Agent::builder().store(store.clone()).memory(memory.clone()).llm(ExtractiveLlm::new()).build();
    assert_eq!(plain.unwrap().name().as_str(), "assistant");
    let store: Arc<dyn Store> = Arc::new(store);
    let memory: Arc<dyn Memory> = Arc::new(memory);
    let llm: Arc<dyn LlmProvider> = Arc::new(ExtractiveLlm::new());
    let tool: Arc<dyn ironclaw_core::Tool> = Arc::new(Echo::new("echo"));
    Agent::builder().store(store).memory(memory).llm(llm).tool(tool).build().unwrap();
}

#[tokio::test]
async fn what_keeps_conversations_alone_gives_their_titles_and_exports_them() {
    let store: Arc<dyn AgentStore> = Arc::new(LibsqlStore::in_memory().await.unwrap());
    let (ada, id) = (Scope::user("ada").unwrap(), ConversationId::make(&SystemClock));
    store.create_conversation(&ada, id, "Lunch").await.unwrap();
    assert_eq!(store.conversation_title(&ada, id).await.unwrap().as_deref(), Some("Lunch"));
    assert_eq!(store.export_conversation(&ada, id).count().await, 1);
    assert_eq!(store.conversations_stream(&ada).count().await, 1);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let build = |options| Agent::builder().store(store.clone()).llm(ExtractiveLlm::new()).llm_options(options).build();
    let default = LlmOptions::default;
    let tool = ToolChoice::Tool("echo".parse().unwrap());
    for (options, named) in [
        (default().temperature(f32::NAN), "temperature"),
        (default().stop([""]), "stop"),
        (default().max_output_tokens(0), "max_output_tokens"),
        (default().tool_choice(tool.clone()), "echo"),
    ] {
        let error = build(options).unwrap_err();
        assert_eq!(error.kind(), &AgentErrorKind::Misconfigured);
        let said = error.to_string();
        assert!(said.contains("llm_options") && said.contains(named), "{said}");
    }
    let builder = Agent::builder().store(store.clone()).llm(ExtractiveLlm::new()).tool(Echo::new("echo"));
    builder.llm_options(default().tool_choice(tool).temperature(0.5)).build().unwrap();
}

#[tokio::test]
async fn a_name_is_given_once_and_is_one_that_models_take() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let builder = || Agent::builder().store(store.clone()).llm(ExtractiveLlm::new());
    let twice = builder().tool(Echo::new("echo")).tool(Echo::new("echo")).build().unwrap_err();
    assert!(twice.to_string().contains("\"echo\""), "{twice}");
    for name in ["two words", "ümlaut", &"x".repeat(65)] {
        let error = builder().tool(Echo::new(name)).build().unwrap_err();
        assert_eq!(error.kind(), &AgentErrorKind::Misconfigured, "{name}");
    }
    assert!(builder().context_tokens(50).build().is_err(), "no room beside the instructions");
    assert!(builder().recent_messages(901).build().is_err());
}

#[tokio::test]
async fn input_is_refused_before_anything_is_written() {
    let world = World::with(Script::default(), |builder| builder.context_tokens(1_000)).await;
    for (text, why) in [("", "empty"), (" \n", "empty"), ("a\0b", "U+0000"), (&"long ".repeat(1_000), "tokens")] {
        let error = world.send(text).await.unwrap_err();
        assert!(matches!(error.kind(), AgentErrorKind::InvalidInput(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let nowhere = ConversationId::make(&SystemClock);
    let error = world.agent.send(&world.scope, nowhere, "hello").await.unwrap_err();
    assert_eq!(error.kind(), &AgentErrorKind::NotFound);
    let bob = Scope::user("bob").unwrap();
    let error = world.agent.send(&bob, world.conversation, "hello").await.unwrap_err();
    assert_eq!(error.kind(), &AgentErrorKind::NotFound);
    assert!(world.messages().await.is_empty() && world.jobs().await.is_empty());
}

#[tokio::test]
async fn closing_waits_and_then_refuses() {
    let world = World::new(Script::new([Step::Say("Hello.")])).await;
    let events = world.agent.stream(&world.scope, world.conversation, "hi");
    let ((), reply) = futures::join!(world.agent.close(), async {
        use futures::StreamExt;
        events.collect::<Vec<_>>().await
    });
    assert!(reply.last().unwrap().is_ok(), "what had begun is finished");
    assert_eq!(world.send("again").await.unwrap_err().kind(), &AgentErrorKind::Closed);
    let error = world.agent.start_conversation(&world.scope).await.unwrap_err();
    assert_eq!(error.kind(), &AgentErrorKind::Closed);
    world.agent.close().await;
}

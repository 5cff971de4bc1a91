//! Whatever is stored in a conversation, the strictest services take what is sent of it.

use ironclaw_core::agent::AgentErrorKind;
use ironclaw_core::change::{Change, ConversationOp};
use ironclaw_core::genai::Provider;
use ironclaw_core::id::{ConversationId, MessageId, ToolName};
use ironclaw_core::llm::ToolCall;
use ironclaw_core::model::conversations::{NewMessage, Role, ToolResult};
use ironclaw_core::store::Apply;
use ironclaw_core::{Agent, Memory, Scope, SystemClock};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::strict;
use crate::support::builder;

/// A service that refuses what a strict one refuses, and answers everything else.
struct Strict(Provider);

impl Respond for Strict {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = request.body_json().unwrap();
        let refused = match self.0 {
            Provider::Anthropic => strict::anthropic(&body),
            Provider::Gemini => strict::gemini(&body),
            _ => strict::openai(&body),
        };
        if let Err(why) = refused {
            return ResponseTemplate::new(400)
                .set_body_json(json!({"error": {"message": why, "type": "invalid_request"}}));
        }
        let answer = match self.0 {
            Provider::Anthropic => [
                json!({"type": "message_start", "message": {"id": "m", "model": "m", "role": "assistant", "content": [],
                       "usage": {"input_tokens": 1, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}}),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
                json!({"type": "message_stop"}),
            ]
            .iter()
            .map(|value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap()))
            .collect(),
            Provider::Gemini => {
                let content = json!({"role": "model", "parts": [{"text": "Yes."}]});
                format!("data: {}\n\n", json!({"candidates": [{"content": content, "finishReason": "STOP"}]}))
            }
            _ => {
                let choice = json!({"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"});
                format!("data: {}\n\ndata: [DONE]\n\n", json!({"id": "x", "model": "m", "choices": [choice]}))
            }
        };
        ResponseTemplate::new(200).set_body_raw(answer, "text/event-stream")
    }
}

/// An agent over a strict service, of a user who has a file.
struct World {
    store: LibsqlStore,
    agent: Agent,
    scope: Scope,
    _server: MockServer,
}

impl World {
    async fn new(provider: Provider) -> Self {
        let server = MockServer::start().await;
        Mock::given(wiremock::matchers::any()).respond_with(Strict(provider)).mount(&server).await;
        let llm = builder(provider, "m", &format!("{}/v1", server.uri())).retries(0).build().unwrap();
        let store = LibsqlStore::in_memory().await.unwrap();
        let memory = HybridMemory::new(store.clone(), HashEmbedder::default());
        let scope = Scope::user("ada").unwrap();
        let path = ironclaw_core::model::workspace::WorkspacePath::parse("launch.md").unwrap();
        memory.write(&scope, &path, b"The launch is on 3 May.", Value::Null).await.unwrap();
        let agent = Agent::builder().store(store.clone()).memory(memory).llm(llm).build().unwrap();
        Self { store, agent, scope, _server: server }
    }

    /// A conversation with these messages in it, and a question after them.
    async fn ask(&self, history: Vec<NewMessage>) -> Result<(), String> {
        let conversation = self.agent.start_conversation(&self.scope).await.unwrap();
        self.put(conversation, history).await;
        for question in ["When is the launch?", "Thank you."] {
            let answer = self.agent.send(&self.scope, conversation, question).await;
            answer.map_err(|error| format!("{error}: {}", std::error::Error::source(&error).unwrap()))?;
        }
        Ok(())
    }

    async fn put(&self, conversation: ConversationId, history: Vec<NewMessage>) {
        let append = |message| ConversationOp::AppendMessage { conversation, message };
        let change = history.into_iter().map(append).fold(Change::new(), Change::with);
        self.store.apply(&self.scope, change).await.unwrap();
    }
}

fn message() -> impl Strategy<Value = NewMessage> {
    let text = prop::sample::select(vec!["", " \n", "\u{1}", "a question", "the launch", "text\n\nmore", "  padded  "]);
    let id = || prop::sample::select(vec!["", "a", "b", "call_1", "not an id", "ä", "functions.t:0"]);
    let name = prop::sample::select(vec!["echo", "memory_search", "", "a.b", "no such tool", "名"]);
    let arguments =
        prop::sample::select(vec![json!({}), json!({"a": 1}), json!(null), json!("{\"a"), json!([1]), json!(7)]);
    let call = (id(), name.clone(), arguments).prop_map(|(id, name, arguments)| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments,
    });
    let result = prop::option::weighted(0.9, (id(), name, any::<bool>())).prop_map(|result| {
        result.map(|(id, name, is_error)| ToolResult {
            call_id: id.into(),
            name: ToolName::parse(name).unwrap_or_else(|_| ToolName::parse("x").unwrap()),
            is_error,
        })
    });
    let role =
        prop::sample::select(vec![Role::User, Role::Assistant, Role::Assistant, Role::System, Role::Tool, Role::Tool]);
    let job = prop::sample::select(vec![Value::Null, json!({"job": "1"}), json!({"job": "2"})]);
    (role, text, prop::collection::vec(call, 0..4), result, job).prop_map(|(role, text, calls, result, metadata)| {
        NewMessage {
            tool_calls: if role == Role::Assistant { calls } else { Vec::new() },
            tool_result: if role == Role::Tool { result } else { None },
            metadata,
            ..NewMessage::text(MessageId::make(&SystemClock), role, text)
        }
    })
}

fn any_history_is_taken(provider: Provider) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new(provider));
    // Each case takes two questions over the wire.
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let taken = runner.run(&prop::collection::vec(message(), 0..12), |history| {
        runtime.block_on(world.ask(history)).map_err(TestCaseError::fail)
    });
    taken.unwrap();
}

#[test]
fn any_history_is_taken_by_openai_and_by_strict_templates() {
    any_history_is_taken(Provider::OpenAi);
}

#[test]
fn any_history_is_taken_by_anthropic() {
    any_history_is_taken(Provider::Anthropic);
}

#[test]
fn any_history_is_taken_by_gemini() {
    any_history_is_taken(Provider::Gemini);
}

#[tokio::test]
async fn the_conversation_goes_on_after_answers_that_failed() {
    for provider in [Provider::OpenAi, Provider::Anthropic, Provider::Gemini] {
        let world = World::new(provider).await;
        let dead = builder(provider, "m", "http://127.0.0.1:9/v1").retries(0).build().unwrap();
        let failing = Agent::builder().store(world.store.clone()).llm(dead).build().unwrap();
        let conversation = world.agent.start_conversation(&world.scope).await.unwrap();
        for question in ["And?", "And now?"] {
            let error = failing.send(&world.scope, conversation, question).await.unwrap_err();
            assert_eq!(error.kind(), &AgentErrorKind::Llm);
        }
        world.agent.send(&world.scope, conversation, "When is the launch?").await.unwrap();
    }
}

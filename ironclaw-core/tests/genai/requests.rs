//! What services are asked.

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{LlmMessage, LlmOptions, LlmRequest, ReasoningEffort, ToolCall};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{ask, builder, request, sent};

const PROVIDERS: [Provider; 5] =
    [Provider::OpenAi, Provider::OpenAiResponses, Provider::Anthropic, Provider::Gemini, Provider::Ollama];

/// A server that refuses everything, and keeps what it was asked.
async fn refusing() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    server
}

async fn body(provider: Provider, model: &str, request: LlmRequest) -> Value {
    let server = refusing().await;
    let llm = builder(provider, model, &server.uri()).build().unwrap();
    ask(&llm, request).await.unwrap_err();
    sent(&server).await
}

#[tokio::test]
async fn a_model_s_name_goes_out_as_it_is() {
    for model in [
        "mistral-medium",
        "qwen/qwen3-max",
        "phi-3-mini-none",
        "x-high",
        "x-low",
        "x-zero",
        "x-xhigh",
        "x-minimal",
        "zai::glm-5",
        "openai::x",
        "hf.co/bartowski/x-GGUF:Q4_K_M",
        "My Model #1 (100%)",
        "../x",
        "ft:gpt-4o:org::abc",
        "gpt-5-high",
    ] {
        for provider in PROVIDERS.into_iter().filter(|provider| *provider != Provider::Gemini) {
            let body = body(provider, model, request()).await;
            assert_eq!(body["model"], model, "{provider:?}");
            for effort in ["reasoning_effort", "reasoning", "thinking", "output_config", "think"] {
                assert!(body.get(effort).is_none(), "{provider:?}: {body}");
            }
        }
    }
    for (model, path) in [
        ("gemini-2.5-flash-high", "/models/gemini-2.5-flash-high:streamGenerateContent"),
        ("ns::x y?#%", "/models/ns::x%20y%3F%23%25:streamGenerateContent"),
        ("tunedModels/mine", "/tunedModels/mine:streamGenerateContent"),
    ] {
        let server = refusing().await;
        let llm = builder(Provider::Gemini, model, &server.uri()).build().unwrap();
        ask(&llm, request()).await.unwrap_err();
        let url = server.received_requests().await.unwrap()[0].url.clone();
        assert_eq!((url.path(), url.query()), (path, Some("alt=sse")));
    }
}

#[tokio::test]
async fn options_are_said_in_each_protocol() {
    let options = LlmOptions::default().max_output_tokens(77).reasoning_effort(ReasoningEffort::High);
    for (provider, model, tokens, effort) in [
        (Provider::OpenAi, "m", "/max_tokens", ("/reasoning_effort", json!("high"))),
        (Provider::OpenAi, "gpt-5-mini", "/max_completion_tokens", ("/reasoning_effort", json!("high"))),
        (Provider::OpenAiResponses, "m", "/max_output_tokens", ("/reasoning/effort", json!("high"))),
        (Provider::Anthropic, "m", "/max_tokens", ("/output_config/effort", json!("high"))),
        (
            Provider::Gemini,
            "gemini-3-pro",
            "/generationConfig/maxOutputTokens",
            ("/generationConfig/thinkingConfig/thinkingLevel", json!("high")),
        ),
        (
            Provider::Gemini,
            "gemini-2.5-pro",
            "/generationConfig/maxOutputTokens",
            ("/generationConfig/thinkingConfig/thinkingBudget", json!(24_576)),
        ),
        (Provider::Ollama, "m", "/options/num_predict", ("/think", json!("high"))),
    ] {
        let body = body(provider, model, request().options(options.clone())).await;
        assert_eq!(body.pointer(tokens), Some(&json!(77)), "{body}");
        assert_eq!(body.pointer(effort.0), Some(&effort.1), "{body}");
    }
}

#[tokio::test]
async fn strict_services_find_nothing_empty_and_nothing_that_is_no_object() {
    let call = ToolCall::new("a", "weather", json!("{\"city\": "));
    let asked = LlmRequest::new(vec![
        LlmMessage::User { text: "Hello".into() },
        LlmMessage::Assistant { text: String::new(), tool_calls: vec![call] },
        LlmMessage::User { text: "And?".into() },
    ]);
    let sent = body(Provider::OpenAi, "m", asked.clone()).await;
    let message = &sent["messages"][1];
    assert_eq!((&message["content"], &message["tool_calls"][0]["function"]["arguments"]), (&Value::Null, &json!("{}")));
    let sent = body(Provider::OpenAiResponses, "m", asked.clone()).await;
    assert_eq!((&sent["input"][1]["type"], &sent["input"][1]["arguments"]), (&json!("function_call"), &json!("{}")));
    let sent = body(Provider::Anthropic, "m", asked.clone()).await;
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "a", "name": "weather", "input": {}}])
    );
    let sent = body(Provider::Gemini, "m", asked.clone()).await;
    assert_eq!(sent["contents"][1]["parts"][0]["functionCall"], json!({"name": "weather", "args": {}}));
    let sent = body(Provider::Ollama, "m", asked).await;
    assert_eq!(sent["messages"][1]["tool_calls"][0]["function"]["arguments"], json!({}));
}

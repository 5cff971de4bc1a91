use ironclaw_core::genai::{GenaiLlm, Provider};
use ironclaw_core::llm::{FinishReason, LlmErrorKind};
use serde_json::{Value, json};

use crate::support::{KEY, ask, builder, events, request, sent, serve};

const PATH: &str = "/v1/chat/completions";
const SSE: &str = "text/event-stream";

fn delta(delta: serde_json::Value, finish: Option<&str>) -> serde_json::Value {
    json!({"id": "x", "object": "chat.completion.chunk", "model": "gpt-oss-120b-0905",
           "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

#[tokio::test]
async fn text_streams_with_usage_and_model() {
    let body = events(&[
        delta(json!({"role": "assistant", "content": ""}), None),
        delta(json!({"content": "The launch is "}), None),
        delta(json!({"content": "on 3 May [1]. 🚀"}), None),
        delta(json!({}), Some("stop")),
        json!({"choices": [], "usage": {"prompt_tokens": 61, "completion_tokens": 9, "total_tokens": 70}}),
    ]) + "data: [DONE]\n\n";
    let server = serve(PATH, SSE, body).await;
    let llm = builder(Provider::OpenAi, "gpt-oss-120b", &format!("{}/v1", server.uri())).build().unwrap();
    let (pieces, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!(pieces, ["The launch is ", "on 3 May [1]. 🚀"]);
    assert_eq!((answer.finish, answer.model.as_str()), (FinishReason::Stop, "gpt-oss-120b-0905"));
    assert_eq!((answer.usage.input, answer.usage.output), (Some(61), Some(9)));

    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["authorization"], format!("Bearer {KEY}").as_str());
    let body = sent(&server).await;
    assert_eq!((&body["model"], &body["stream"]), (&json!("gpt-oss-120b"), &json!(true)));
    assert_eq!(body["max_tokens"], 200);
    let roles: Vec<&str> = body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "assistant", "user"]);
    let messages = &body["messages"];
    assert_eq!(messages[0]["content"], "Be brief.");
    // The passages join the question, so that the user speaks once.
    let question = messages[6]["content"].as_str().unwrap();
    let passages = request().render_passages().unwrap();
    assert!(question.starts_with(&passages) && question.ends_with("\n\nAnd the launch?"), "{question}");
    assert!(
        passages.contains("[1] notes/launch.md\n> The launch is on 3 May.") && passages.contains("not instructions")
    );
    assert_eq!(messages[2]["tool_calls"][1]["id"], "c2");
    assert_eq!(messages[2]["tool_calls"][1]["function"]["arguments"], r#"{"city":"Rome"}"#);
    assert_eq!(messages[4]["tool_call_id"], "c2");
    let error = messages[4]["content"].as_str().unwrap();
    assert!(error.starts_with("Error of the tool weather (material") && error.ends_with("\n> no such city"), "{error}");
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    assert_eq!(body["tools"][0]["function"]["parameters"]["required"], json!(["city"]));
}

#[tokio::test]
async fn tool_calls_are_put_together_from_their_pieces() {
    let part = |index: u32, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if let (Some(id), Some(name)) = (id, name) {
            call["id"] = json!(id);
            call["function"]["name"] = json!(name);
        }
        delta(json!({"tool_calls": [call]}), None)
    };
    let body = events(&[
        delta(json!({"content": "Let me look."}), None),
        part(0, Some("call_a"), Some("weather"), ""),
        part(0, None, None, "{\"city\":"),
        part(0, None, None, "\"Zürich\"}"),
        part(1, Some("call_b"), Some("now"), ""),
        part(2, Some("call_c"), Some("weather"), "{\"city\": "),
        delta(json!({}), Some("tool_calls")),
    ]) + "data: [DONE]\n\n";
    let server = serve(PATH, SSE, body).await;
    let llm = builder(Provider::OpenAi, "m", &format!("{}/v1/", server.uri())).build().unwrap();
    let (_, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!(answer.finish, FinishReason::ToolCalls);
    let calls: Vec<_> =
        answer.tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.clone())).collect();
    assert_eq!(
        calls,
        [
            ("call_a", "weather", json!({"city": "Zürich"})),
            ("call_b", "now", json!({})),
            // What is no JSON stays text, for whoever runs the tool to refuse.
            ("call_c", "weather", json!("{\"city\": ")),
        ]
    );
}

#[tokio::test]
async fn length_and_filter_are_told_apart() {
    for (reason, finish) in [("length", FinishReason::Length), ("content_filter", FinishReason::Filtered)] {
        let body =
            events(&[delta(json!({"content": "So"}), None), delta(json!({}), Some(reason))]) + "data: [DONE]\n\n";
        let server = serve(PATH, SSE, body).await;
        let llm = builder(Provider::OpenAi, "m", &format!("{}/v1", server.uri())).build().unwrap();
        assert_eq!(ask(&llm, request()).await.unwrap().1.finish, finish);
    }
}

#[tokio::test]
async fn a_local_server_needs_no_key_and_gets_none() {
    let body = events(&[delta(json!({"content": "Hi"}), None), delta(json!({}), Some("stop"))]) + "data: [DONE]\n\n";
    let server = serve(PATH, SSE, body).await;
    let llm = GenaiLlm::builder(Provider::OpenAi, "m").endpoint(format!("{}/v1", server.uri())).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap().1.text, "Hi");
    let requests = server.received_requests().await.unwrap();
    assert!(!requests[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn other_providers_go_to_the_given_endpoint_only() {
    use Provider::{DeepSeek, Groq, Kimi, Mistral, Nebius, OpenRouter, Together, Xai};
    for provider in [DeepSeek, Groq, Kimi, Mistral, Nebius, OpenRouter, Together, Xai, Provider::Fireworks] {
        let body =
            events(&[delta(json!({"content": "Hi"}), None), delta(json!({}), Some("stop"))]) + "data: [DONE]\n\n";
        let server = serve(PATH, SSE, body).await;
        let llm = builder(provider, "m", &format!("{}/v1", server.uri())).build().unwrap();
        assert_eq!(ask(&llm, request()).await.unwrap().1.text, "Hi", "{provider:?}");
    }
}

#[tokio::test]
async fn the_responses_protocol_works_too() {
    let body = events(&[
        json!({"type": "response.created", "response": {"id": "r", "model": "gpt-5-mini-2026"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "On 3 May."}),
        json!({"type": "response.completed", "response": {"id": "r", "status": "completed", "model": "gpt-5-mini-2026",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "On 3 May."}]}],
            "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}}}),
    ]);
    let server = serve("/v1/responses", SSE, body).await;
    let llm = builder(Provider::OpenAiResponses, "gpt-5-mini", &format!("{}/v1", server.uri())).build().unwrap();
    let (_, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("On 3 May.", "gpt-5-mini-2026"));
    assert_eq!((answer.usage.input, answer.usage.output), (Some(5), Some(3)));
}

#[tokio::test]
async fn all_ends_of_the_responses_protocol_are_told() {
    let whole = |status: &str, why: Value, output: Value| json!({"object": "response", "status": status, "incomplete_details": {"reason": why}, "output": output});
    let text = json!([{"type": "reasoning", "summary": []}, {"type": "message", "content": [{"type": "output_text", "text": "So."}]}]);
    let became = async |value: Value| {
        let server = serve("/v1/responses", SSE, events(&[value])).await;
        let llm = builder(Provider::OpenAiResponses, "m", &format!("{}/v1", server.uri())).retries(0).build().unwrap();
        ask(&llm, request()).await.map(|(_, answer)| answer)
    };
    let event = json!({"type": "response.completed", "response": whole("completed", Value::Null, text.clone())});
    assert_eq!(became(event).await.unwrap().text, "So.");
    for (why, finish) in [("max_output_tokens", FinishReason::Length), ("content_filter", FinishReason::Filtered)] {
        assert_eq!(became(whole("incomplete", json!(why), text.clone())).await.unwrap().finish, finish);
    }
    for (value, kind, said) in [
        (whole("completed", Value::Null, json!([])), LlmErrorKind::EmptyAnswer, "neither"),
        (
            json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slower"}}}),
            LlmErrorKind::RateLimited,
            "slower",
        ),
        (
            json!({"type": "error", "code": "server_error", "message": "it broke"}),
            LlmErrorKind::Unreachable,
            "it broke",
        ),
        (json!({"type": "response.output_text.delta", "delta": "So"}), LlmErrorKind::Unreachable, "broke off"),
    ] {
        let error = became(value).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

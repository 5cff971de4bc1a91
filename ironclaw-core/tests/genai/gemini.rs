use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmError, LlmErrorKind, LlmResponse};
use serde_json::{Value, json};

use crate::support::{KEY, ask, builder, events, request, sent, serve};

const PATH: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";

#[tokio::test]
async fn text_and_tool_calls_stream() {
    let part = |parts: serde_json::Value, finish: Option<&str>| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}});
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        json!({"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001",
               "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 6, "totalTokenCount": 26}})
    };
    let body = events(&[
        part(json!([{"text": "I look."}]), None),
        part(json!([{"functionCall": {"name": "weather", "args": {"city": "Rome"}}}]), Some("STOP")),
    ]);
    let server = serve(PATH, "text/event-stream", body).await;
    let llm = builder(Provider::Gemini, "gemini-2.5-flash", &format!("{}/v1beta", server.uri())).build().unwrap();
    let (_, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("I look.", FinishReason::ToolCalls));
    assert_eq!(
        (answer.tool_calls[0].name.as_str(), &answer.tool_calls[0].arguments),
        ("weather", &json!({"city": "Rome"}))
    );
    assert_eq!((answer.usage.input, answer.usage.output), (Some(20), Some(6)));
    assert_eq!(answer.model, "gemini-2.5-flash-001");

    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["x-goog-api-key"], KEY);
    assert!(!requests[0].url.as_str().contains(KEY), "the key is in no URL");
    let body = sent(&server).await;
    assert!(body.to_string().contains("functionResponse"));
}

#[tokio::test]
async fn a_stream_without_a_reason_to_end_is_an_error() {
    let body = events(&[json!({"candidates": [{"content": {"parts": [{"text": "So"}]}}]})]);
    let server = serve(PATH, "text/event-stream", body).await;
    let llm = builder(Provider::Gemini, "gemini-2.5-flash", &format!("{}/v1beta", server.uri())).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap_err().kind(), &LlmErrorKind::Unreachable);
}

async fn became(values: &[Value]) -> Result<LlmResponse, LlmError> {
    let server = serve(PATH, "text/event-stream", events(values)).await;
    let llm = builder(Provider::Gemini, "gemini-2.5-flash", &format!("{}/v1beta", server.uri())).build().unwrap();
    ask(&llm, request()).await.map(|(_, answer)| answer)
}

fn says(parts: Value, finish: &str) -> Value {
    json!({"candidates": [{"content": {"parts": parts}, "finishReason": finish}]})
}

#[tokio::test]
async fn all_parts_and_reasons_are_read() {
    // What comes after the reason to end counts too, and two calls without ids are two.
    let answer = became(&[
        says(json!([{"text": "hm", "thought": true}, {"thoughtSignature": "x"}, {"text": "So", "thoughtSignature": "x"}]), "STOP"),
        says(json!([{"functionCall": {"name": "weather"}}, {"functionCall": {"name": "weather", "args": {"city": "Bern"}}}]), ""),
        json!({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 2}}),
    ])
    .await
    .unwrap();
    assert_eq!((answer.text.as_str(), answer.usage.output), ("So", Some(3)));
    let arguments: Vec<&Value> = answer.tool_calls.iter().map(|call| &call.arguments).collect();
    assert_eq!(arguments, [&json!({}), &json!({"city": "Bern"})]);
    for (word, finish) in [
        ("MAX_TOKENS", FinishReason::Length),
        ("SAFETY", FinishReason::Filtered),
        ("OTHER", FinishReason::Other("OTHER".into())),
    ] {
        assert_eq!(became(&[says(json!([{"text": "So"}]), word)]).await.unwrap().finish, finish);
    }
    for (value, kind, said) in [
        (says(json!([]), "SAFETY"), LlmErrorKind::Filtered, "withheld"),
        (says(json!([]), "STOP"), LlmErrorKind::EmptyAnswer, "neither"),
        (
            json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            LlmErrorKind::Filtered,
            "PROHIBITED_CONTENT",
        ),
        (says(json!([]), "MALFORMED_FUNCTION_CALL"), LlmErrorKind::MalformedAnswer, "MALFORMED_FUNCTION_CALL"),
        (says(json!([{"inlineData": {}}]), "STOP"), LlmErrorKind::MalformedAnswer, "inlineData"),
        (
            json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
            LlmErrorKind::Unreachable,
            "overloaded",
        ),
    ] {
        let error = became(&[value]).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmErrorKind};
use serde_json::{Value, json};

use crate::support::{KEY, ask, builder, request, sent, serve};

fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())).collect()
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-4-5-20250929", "role": "assistant",
           "content": [], "usage": {"input_tokens": 40, "output_tokens": 1}}})
}

#[tokio::test]
async fn text_and_tool_calls_stream() {
    let body = events(&[
        start(),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I look "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "it up."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1,
               "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"ci"}}),
        json!({"type": "content_block_delta", "index": 1,
               "delta": {"type": "input_json_delta", "partial_json": "ty\": \"Rome\"}"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 25}}),
        json!({"type": "message_stop"}),
    ]);
    let server = serve("/v1/messages", "text/event-stream", body).await;
    let llm = builder(Provider::Anthropic, "claude-sonnet-4-5", &format!("{}/v1", server.uri())).build().unwrap();
    let (pieces, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!(pieces, ["I look ", "it up."]);
    assert_eq!((answer.finish, answer.model.as_str()), (FinishReason::ToolCalls, "claude-sonnet-4-5-20250929"));
    assert_eq!(answer.tool_calls.len(), 1);
    assert_eq!(
        (answer.tool_calls[0].id.as_str(), &answer.tool_calls[0].arguments),
        ("toolu_1", &json!({"city": "Rome"}))
    );
    assert_eq!((answer.usage.input, answer.usage.output), (Some(40), Some(25)));

    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["x-api-key"], KEY);
    let body = sent(&server).await;
    assert_eq!(body["max_tokens"], 200);
    assert!(body["system"].to_string().contains("Be brief."));
    assert!(!body["system"].to_string().contains("launch"), "passages are no instructions");
    // Both results answer one message, in one message.
    let results = &body["messages"][3]["content"];
    assert_eq!((&results[0]["type"], &results[0]["tool_use_id"]), (&json!("tool_result"), &json!("c1")));
    assert_eq!(results[1]["tool_use_id"], "c2");
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_error() {
    let body = events(&[
        start(),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So"}}),
        json!({"type": "error", "error": {"type": "overloaded_error", "message": format!("key {KEY}")}}),
    ]);
    let server = serve("/v1/messages", "text/event-stream", body).await;
    let llm = builder(Provider::Anthropic, "claude-sonnet-4-5", &format!("{}/v1", server.uri())).build().unwrap();
    let error = ask(&llm, request()).await.unwrap_err();
    assert_eq!(error.kind(), &LlmErrorKind::Unreachable);
    assert!(error.to_string().contains("overloaded_error"));
    assert!(!format!("{error:?}").contains(KEY));
}

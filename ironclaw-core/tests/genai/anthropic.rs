use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmError, LlmErrorKind, LlmResponse};
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
    let results = &body["messages"][2]["content"];
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

/// What becomes of these events without their names, over a connection that is closed after them.
async fn became(values: &[Value]) -> Result<LlmResponse, LlmError> {
    let body: String = values.iter().map(|value| format!("data: {value}\n\n")).collect();
    let server = serve("/v1/messages", "text/event-stream", body).await;
    let llm = builder(Provider::Anthropic, "m", &format!("{}/v1", server.uri())).build().unwrap();
    ask(&llm, request()).await.map(|(_, answer)| answer)
}

fn tool(index: u64, id: &str, input: Value) -> Value {
    json!({"type": "content_block_start", "index": index,
           "content_block": {"type": "tool_use", "id": id, "name": "weather", "input": input}})
}

fn ends(why: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": why}, "usage": {"output_tokens": 2}})
}

#[tokio::test]
async fn what_proxies_send_is_read() {
    let says = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So."}});
    // No last event, no beginning of a block, a reason that is null at first, thoughts.
    let answer = became(&[
        start(),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}),
        says.clone(),
        json!({"type": "message_delta", "delta": {"stop_reason": null}}),
        json!({"type": "something_new"}),
        ends("end_turn"),
    ])
    .await
    .unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("So.", FinishReason::Stop));
    // The input as a whole at the beginning, and deltas of two blocks mixed.
    let part = |index: u64, json: &str| json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}});
    let answer = became(&[
        tool(0, "a", json!({"city": "Rome"})),
        tool(1, "b", json!({})),
        tool(2, "c", json!({})),
        part(1, "{\"city\":"),
        part(2, "{\"city\": \"Bern\"}"),
        part(1, "\"Graz\"}"),
        ends("tool_use"),
    ])
    .await
    .unwrap();
    let cities: Vec<&Value> = answer.tool_calls.iter().map(|call| &call.arguments["city"]).collect();
    assert_eq!(cities, ["Rome", "Graz", "Bern"]);
    // A whole message, and the reasons that cut one.
    let whole =
        |why: &str| json!({"type": "message", "content": [{"type": "text", "text": "So."}], "stop_reason": why});
    for (why, finish) in [("max_tokens", FinishReason::Length), ("refusal", FinishReason::Filtered)] {
        assert_eq!(became(&[whole(why)]).await.unwrap().finish, finish);
        assert_eq!(became(&[says.clone(), ends(why)]).await.unwrap().finish, finish);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let unknown = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}});
    for (values, kind, said) in [
        (vec![start(), ends("end_turn"), json!({"type": "message_stop"})], LlmErrorKind::EmptyAnswer, "neither text"),
        (vec![start()], LlmErrorKind::Unreachable, "broke off"),
        (vec![start(), unknown], LlmErrorKind::MalformedAnswer, "server_tool_use"),
        (
            vec![json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})],
            LlmErrorKind::Unreachable,
            "Overloaded",
        ),
    ] {
        let error = became(&values).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

//! Answers whose bytes are cut everywhere: wherever a fragment ends, the answer is the same.

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmResponse};
use serde_json::{Value, json};

use crate::loopback::{Loopback, Reply, chunked};
use crate::support::{ask, builder, request};

/// Asks for the same answer once for every place where its body can be cut in two, and once byte by byte.
async fn cut_everywhere(provider: Provider, content_type: &'static str, body: String) -> LlmResponse {
    let bytes = body.into_bytes();
    let length = bytes.len();
    let server = Loopback::start(move |at| {
        let parts: Vec<&[u8]> = match at {
            at if at <= bytes.len() => vec![&bytes[..at], &bytes[at..]],
            _ => bytes.chunks(1).collect(),
        };
        Reply::Bytes(chunked(content_type, &parts))
    })
    .await;
    let llm = builder(provider, "m", &server.url).retries(0).build().unwrap();
    let mut first = None;
    for at in 0..=length + 1 {
        let (_, answer) = ask(&llm, request()).await.unwrap_or_else(|error| panic!("cut at {at}: {error}"));
        assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "cut at {at}");
    }
    let answer = first.unwrap();
    assert_eq!(server.asked(), length + 2);
    assert_eq!(answer.text, "Am 3. Mai, 打ち上げ 🚀");
    assert_eq!(
        (answer.tool_calls[0].name.as_str(), &answer.tool_calls[0].arguments),
        ("weather", &json!({"city": "Zürich"}))
    );
    assert_eq!((answer.finish.clone(), answer.model.as_str()), (FinishReason::ToolCalls, "served"));
    assert_eq!((answer.usage.input, answer.usage.output), (Some(7), Some(5)));
    answer
}

fn sse(values: &[Value], end: &str) -> String {
    values.iter().map(|value| format!("data: {value}{end}{end}")).collect()
}

#[tokio::test]
async fn chat_completions() {
    let chunk = |delta: Value, finish: Value| json!({"model": "served", "choices": [{"delta": delta, "finish_reason": finish}]});
    let values = [
        chunk(json!({"content": "Am 3. Mai, "}), Value::Null),
        chunk(json!({"content": "打ち上げ 🚀"}), Value::Null),
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": "{\"city\":"}}]}),
            Value::Null,
        ),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Zürich\"}"}}]}), json!("tool_calls")),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}),
    ];
    for end in ["\n", "\r\n", "\r"] {
        let body = format!(": keep-alive{end}{end}{}data: [DONE]{end}{end}", sse(&values, end));
        cut_everywhere(Provider::OpenAi, "text/event-stream", body).await;
    }
    let call = json!({"id": "a", "function": {"name": "weather", "arguments": "{\"city\":\"Zürich\"}"}});
    let whole = json!({"model": "served", "usage": {"prompt_tokens": 7, "completion_tokens": 5}, "choices": [{"message":
        {"content": "Am 3. Mai, 打ち上げ 🚀", "tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    cut_everywhere(Provider::OpenAi, "application/json", whole.to_string()).await;
}

#[tokio::test]
async fn responses() {
    let item =
        |arguments: &str| json!({"type": "function_call", "call_id": "a", "name": "weather", "arguments": arguments});
    let values = [
        json!({"type": "response.output_text.delta", "delta": "Am 3. Mai, 打ち上げ 🚀"}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": item("")}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"city\":"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "\"Zürich\"}"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item("{\"city\":\"Zürich\"}")}),
        json!({"type": "response.completed", "response": {"status": "completed", "model": "served",
               "usage": {"input_tokens": 7, "output_tokens": 5}}}),
    ];
    cut_everywhere(Provider::OpenAiResponses, "text/event-stream", sse(&values, "\n")).await;
}

#[tokio::test]
async fn anthropic() {
    let values = [
        json!({"type": "message_start", "message": {"model": "served", "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Am 3. Mai, 打ち上げ 🚀"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "a", "name": "weather", "input": {}}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"city\":"}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "\"Zürich\"}"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ];
    let body =
        values.iter().map(|value| format!("event: {}\r\ndata: {value}\r\n\r\n", value["type"].as_str().unwrap()));
    cut_everywhere(Provider::Anthropic, "text/event-stream", body.collect()).await;
}

#[tokio::test]
async fn gemini() {
    let part = |part: Value| json!({"candidates": [{"content": {"parts": [part]}}], "modelVersion": "served"});
    let values = [
        part(json!({"text": "Am 3. Mai, "})),
        part(json!({"text": "打ち上げ 🚀"})),
        part(json!({"functionCall": {"name": "weather", "args": {"city": "Zürich"}}})),
        json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 5}}),
    ];
    cut_everywhere(Provider::Gemini, "text/event-stream", sse(&values, "\r\n")).await;
    // As it answers those who don't ask for events.
    cut_everywhere(Provider::Gemini, "application/json", serde_json::to_string_pretty(&values).unwrap()).await;
}

#[tokio::test]
async fn ollama() {
    let values = [
        json!({"model": "served", "message": {"content": "Am 3. Mai, "}, "done": false}),
        json!({"model": "served", "message": {"content": "打ち上げ 🚀", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Zürich"}}}]}}),
        json!({"message": {"content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 5}),
    ];
    for end in ["\n", "\r\n", ""] {
        let body = values.iter().map(|value| format!("{value}{end}")).collect();
        cut_everywhere(Provider::Ollama, "application/x-ndjson", body).await;
    }
}

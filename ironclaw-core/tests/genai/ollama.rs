use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmErrorKind};
use serde_json::{Value, json};

use crate::support::{ask, builder, request, sent, serve};

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

#[tokio::test]
async fn text_and_tool_calls_stream() {
    let body = lines(&[
        json!({"model": "qwen3:8b", "message": {"role": "assistant", "content": "Let me "}, "done": false}),
        json!({"model": "qwen3:8b", "message": {"role": "assistant", "content": "see.",
               "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]}, "done": false}),
        json!({"model": "qwen3:8b", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
               "prompt_eval_count": 30, "eval_count": 7}),
    ]);
    let server = serve("/api/chat", "application/x-ndjson", body).await;
    let llm = builder(Provider::Ollama, "qwen3", &server.uri()).build().unwrap();
    let (pieces, answer) = ask(&llm, request()).await.unwrap();
    assert_eq!(pieces, ["Let me ", "see."]);
    assert_eq!((answer.finish, answer.model.as_str()), (FinishReason::ToolCalls, "qwen3:8b"));
    assert_eq!(answer.tool_calls[0].arguments, json!({"city": "Paris"}));
    assert!(!answer.tool_calls[0].id.is_empty());
    assert_eq!((answer.usage.input, answer.usage.output), (Some(30), Some(7)));

    let body = sent(&server).await;
    let tools: Vec<&Value> = body["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "tool").collect();
    assert_eq!(tools.len(), 2, "each result is a message of its own");
    assert!(tools[0]["content"].as_str().unwrap().ends_with("sunny"));
}

#[tokio::test]
async fn a_stream_without_its_last_line_is_an_error() {
    let body = lines(&[json!({"model": "m", "message": {"role": "assistant", "content": "So"}, "done": false})]);
    let server = serve("/api/chat", "application/x-ndjson", body).await;
    let llm = builder(Provider::Ollama, "m", &server.uri()).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap_err().kind(), &LlmErrorKind::Unreachable);
}

#[tokio::test]
async fn errors_and_empty_answers_are_told() {
    let says = json!({"model": "m", "message": {"role": "assistant", "content": "So"}, "done": false});
    let thinks =
        json!({"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": false});
    let done = |why: &str| json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": why});
    for (values, kind, said) in [
        (
            vec![says.clone(), json!({"error": "an error was encountered while running the model"})],
            LlmErrorKind::Unreachable,
            "running the model",
        ),
        (vec![done("load")], LlmErrorKind::Unreachable, "only loaded"),
        (vec![thinks, done("length")], LlmErrorKind::EmptyAnswer, "2 characters of reasoning"),
    ] {
        let server = serve("/api/chat", "application/x-ndjson", lines(&values)).await;
        let llm = builder(Provider::Ollama, "m", &server.uri()).build().unwrap();
        let error = ask(&llm, request()).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let server = serve("/api/chat", "application/x-ndjson", lines(&[says, done("length")])).await;
    let llm = builder(Provider::Ollama, "m", &server.uri()).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap().1.finish, FinishReason::Length);
}

//! Errors name the cause where one is known.

use std::time::Duration;

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{LlmError, LlmErrorKind};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{KEY, ask, builder, events, request, serve};

async fn asked(provider: Provider, endpoint: &str) -> LlmError {
    let llm = builder(provider, "m", endpoint).timeout(Duration::from_secs(5)).retries(0).build().unwrap();
    let error = ask(&llm, request()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
    error
}

async fn answered(answer: ResponseTemplate) -> LlmError {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    asked(Provider::OpenAi, &server.uri()).await
}

fn is(error: &LlmError, kind: LlmErrorKind, said: &str) {
    assert_eq!(error.kind(), &kind, "{error}");
    assert!(error.to_string().contains(said), "{error}");
}

#[tokio::test]
async fn a_compressed_answer() {
    for encoding in ["gzip", "deflate", "br"] {
        let answer = ResponseTemplate::new(200).insert_header("content-encoding", encoding);
        let error = answered(answer.set_body_bytes(vec![0x1F, 0x8B, 0xFF, 0x00])).await;
        is(&error, LlmErrorKind::MalformedAnswer, &format!("`{encoding}`"));
    }
    let error =
        answered(ResponseTemplate::new(503).insert_header("content-encoding", "br").set_body_bytes([0xFF])).await;
    is(&error, LlmErrorKind::Unreachable, "status 503: the reason is compressed (br)");
}

#[tokio::test]
async fn an_answer_of_nothing() {
    is(&answered(ResponseTemplate::new(204)).await, LlmErrorKind::Unreachable, "status 204");
    is(&answered(ResponseTemplate::new(200)).await, LlmErrorKind::Unreachable, "status 200");
}

#[tokio::test]
async fn no_connection() {
    is(&asked(Provider::OpenAi, "http://127.0.0.1:9/v1").await, LlmErrorKind::Unreachable, "refused");
    is(&asked(Provider::OpenAi, "http://nowhere.invalid/v1").await, LlmErrorKind::Unreachable, "resolved");
    let server = MockServer::start().await;
    let error = asked(Provider::OpenAi, &server.uri().replace("http:", "https:")).await;
    is(&error, LlmErrorKind::Unreachable, "TLS");
}

#[tokio::test]
async fn a_wait_beyond_all_bounds() {
    let error = answered(ResponseTemplate::new(429).insert_header("retry-after", "99999999999")).await;
    is(&error, LlmErrorKind::RateLimited, "longer than a year");
    assert!(!error.to_string().contains("31622400"), "{error}");
    let error = answered(ResponseTemplate::new(429).insert_header("retry-after", "90")).await;
    is(&error, LlmErrorKind::RateLimited, "come back in 90.0 s");
}

#[tokio::test]
async fn what_gemini_says_of_the_end() {
    let ended = async |parts: Value, word: &str| {
        let why = format!("Malformed function call: print(weather) {KEY}");
        let values =
            [json!({"candidates": [{"content": {"parts": parts}, "finishReason": word, "finishMessage": why}]})];
        let server = serve("/v1beta/models/m:streamGenerateContent", "text/event-stream", events(&values)).await;
        asked(Provider::Gemini, &format!("{}/v1beta", server.uri())).await
    };
    let error = ended(json!([]), "MALFORMED_FUNCTION_CALL").await;
    is(&error, LlmErrorKind::MalformedAnswer, "(MALFORMED_FUNCTION_CALL): Malformed function call: print(weather)");
    is(&ended(json!([]), "OTHER").await, LlmErrorKind::EmptyAnswer, "print(weather)");
    is(&ended(json!([]), "SAFETY").await, LlmErrorKind::Filtered, "print(weather)");
}

#[tokio::test]
async fn a_model_that_was_only_loaded() {
    let body =
        json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "load"});
    let server = serve("/api/chat", "application/x-ndjson", format!("{body}\n")).await;
    let error = asked(Provider::Ollama, &server.uri()).await;
    is(&error, LlmErrorKind::Unreachable, "only loaded the model, and answered nothing; ask again");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_number_that_would_change() {
    let digits = "{\"id\": 18446744073709551617}";
    let call = json!({"index": 0, "id": "c", "function": {"name": "weather", "arguments": digits}});
    let values = [json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})];
    let server = serve("/v1/chat/completions", "text/event-stream", events(&values)).await;
    let llm = builder(Provider::OpenAi, "m", &format!("{}/v1", server.uri())).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap().1.tool_calls[0].arguments, json!(digits), "kept as text");

    // As a value it has changed before it is looked at.
    let body = format!(
        "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"functionCall\": {{\"name\": \"weather\", \"args\": \
         {digits}}}}}]}}, \"finishReason\": \"STOP\"}}]}}\n\n"
    );
    let server = serve("/v1beta/models/m:streamGenerateContent", "text/event-stream", body).await;
    let error = asked(Provider::Gemini, &format!("{}/v1beta", server.uri())).await;
    is(&error, LlmErrorKind::MalformedAnswer, "a number");
}

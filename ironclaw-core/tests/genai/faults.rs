use std::sync::{Arc, Mutex};
use std::time::Duration;

use ironclaw_core::SecretValue;
use ironclaw_core::genai::{GenaiLlm, Provider};
use ironclaw_core::llm::LlmErrorKind;
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{KEY, ask, builder, events, raw_server, request, serve};

const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn openai(endpoint: &str) -> GenaiLlm {
    builder(Provider::OpenAi, "m", endpoint).timeout(Duration::from_millis(300)).retries(0).build().unwrap()
}

async fn answering(status: u16) -> MockServer {
    let server = MockServer::start().await;
    let body = json!({"error": {"message": format!("key {KEY}, prompt: And the launch?"), "type": "some_error"}});
    let answer = ResponseTemplate::new(status).insert_header("x-echo", KEY).set_body_json(body);
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_status_and_the_reason_say_what_went_wrong_and_no_key_is_repeated() {
    let seen = Seen::default();
    let _logged = tracing::subscriber::set_default(seen.clone());
    for (status, kind) in [
        (400, LlmErrorKind::InvalidRequest),
        (401, LlmErrorKind::Unauthorised),
        (403, LlmErrorKind::Unauthorised),
        (404, LlmErrorKind::UnknownModel),
        (422, LlmErrorKind::InvalidRequest),
        (429, LlmErrorKind::RateLimited),
        (500, LlmErrorKind::Unreachable),
        (503, LlmErrorKind::Unreachable),
    ] {
        let server = answering(status).await;
        let error = ask(&openai(&server.uri()), request()).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{status}");
        let said = format!("{error} {error:?}");
        assert!(said.contains(&format!("status {status} (some_error)")), "{said}");
        assert!(!said.contains(KEY), "{said}");
        assert!(error.to_string().contains("key [redacted], prompt: And the launch?"), "the reason is told: {error}");
        assert_eq!(error.is_retryable(), matches!(status, 429 | 500 | 503));
    }
    let logged = seen.0.lock().unwrap().concat();
    assert!(!logged.contains(KEY), "{logged}");
}

#[tokio::test]
async fn neither_key_nor_conversation_is_logged() {
    let seen = Seen::default();
    let _logged = tracing::subscriber::set_default(seen.clone());
    tracing::info!("heard");
    let body = events(&[json!({"choices": [{"delta": {"content": "In Graz."}, "finish_reason": "stop"}]})]);
    let server = serve("/chat/completions", "text/event-stream", body).await;
    ask(&openai(&server.uri()), request()).await.unwrap();
    ask(&openai("http://127.0.0.1:9/v1"), request()).await.unwrap_err();
    let logged = seen.0.lock().unwrap().concat();
    assert!(logged.contains("heard"));
    for said in [KEY, "launch", "Graz"] {
        assert!(!logged.contains(said), "{logged}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_a_few_times() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "0");
    Mock::given(method("POST")).respond_with(busy).up_to_n_times(2).mount(&server).await;
    let body =
        events(&[json!({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]})]) + "data: [DONE]\n\n";
    let fine = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
    Mock::given(method("POST")).respond_with(fine).mount(&server).await;
    let llm = builder(Provider::OpenAi, "m", &server.uri()).retries(2).build().unwrap();
    assert_eq!(ask(&llm, request()).await.unwrap().1.text, "Hi");
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn retries_end_and_refusals_are_not_retried() {
    for (status, attempts) in [(503, 3), (401, 1), (400, 1)] {
        let server = answering(status).await;
        let llm = builder(Provider::OpenAi, "m", &server.uri()).retries(2).build().unwrap();
        ask(&llm, request()).await.unwrap_err();
        assert_eq!(server.received_requests().await.unwrap().len(), attempts, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answering(200).await;
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(307).insert_header("location", elsewhere.uri().as_str());
    Mock::given(method("POST")).respond_with(moved).mount(&server).await;
    let error = ask(&openai(&server.uri()), request()).await.unwrap_err();
    assert_eq!(error.kind(), &LlmErrorKind::InvalidRequest);
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error_after_its_text() {
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"So\"}}]}\n\n";
    let endpoint = raw_server(format!("{SSE_HEAD}{piece}"), false).await;
    let error = ask(&openai(&endpoint), request()).await.unwrap_err();
    assert_eq!(error.kind(), &LlmErrorKind::Unreachable);
    assert!(error.to_string().contains("broke off"), "{error}");

    // The same inside a character, and inside a chunk that promised more.
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n";
    let endpoint = raw_server(format!("{cut}{piece}"), false).await;
    assert_eq!(ask(&openai(&endpoint), request()).await.unwrap_err().kind(), &LlmErrorKind::Unreachable);
}

#[tokio::test]
async fn a_service_that_falls_silent_is_given_up() {
    for sent in ["", SSE_HEAD, &format!("{SSE_HEAD}data: {{\"choices\":[{{\"delta\":{{\"content\":\"So\"}}}}]}}\n\n")] {
        let endpoint = raw_server(sent.to_owned(), true).await;
        let error = ask(&openai(&endpoint), request()).await.unwrap_err();
        assert_eq!(error.kind(), &LlmErrorKind::Unreachable);
        assert!(error.to_string().contains("in time"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_the_protocol_is_malformed() {
    for body in ["data: {\"choices\": [\n\n", "data: nonsense\n\n"] {
        let server = serve("/chat/completions", "text/event-stream", body).await;
        let error = ask(&openai(&server.uri()), request()).await.unwrap_err();
        assert_eq!(error.kind(), &LlmErrorKind::MalformedAnswer, "{body}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let error = ask(&openai("http://127.0.0.1:9/v1"), request()).await.unwrap_err();
    assert_eq!(error.kind(), &LlmErrorKind::Unreachable);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let key = || SecretValue::from(KEY);
    let build =
        |model: &str, endpoint: &str| GenaiLlm::builder(Provider::OpenAi, model).endpoint(endpoint).key(key()).build();
    assert!(build("m", "https://cloud-api.near.ai/v1").is_ok());
    for (model, endpoint) in [
        ("", "https://x/v1"),
        (" ", "https://x/v1"),
        ("m\n", "https://x/v1"),
        ("m", "x/v1"),
        ("m", "ftp://x/v1"),
        ("m", "https://user:pass@x/v1"),
        ("m", "https://x/v1?key=1"),
    ] {
        let error = build(model, endpoint).unwrap_err();
        assert_eq!(error.kind(), &LlmErrorKind::InvalidRequest, "{model} {endpoint}");
        assert!(!error.to_string().contains("pass"));
    }
    assert!(GenaiLlm::builder(Provider::Anthropic, "m").build().is_err(), "a key is needed");
    assert!(GenaiLlm::builder(Provider::OpenAi, "m").build().is_err(), "at OpenAI itself a key is needed");
    assert!(GenaiLlm::builder(Provider::Ollama, "m").key(key()).build().is_err(), "Ollama takes no key");
    assert!(GenaiLlm::builder(Provider::Gemini, "../m").key(key()).build().is_err(), "it is a part of the URL");
    let spaced = GenaiLlm::builder(Provider::Gemini, "m").key(SecretValue::from("a\nb"));
    assert!(spaced.build().is_err());
    let llm = build("m", "https://x/v1").unwrap();
    assert!(!format!("{llm:?}").contains(KEY));
}

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Seen {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{value:?} "));
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

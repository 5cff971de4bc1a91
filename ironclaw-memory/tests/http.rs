//! The HTTP embedder against a server that speaks both wire formats, and fails in every way.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ironclaw_core::embedder::{EmbedErrorKind, Embedder, Purpose};
use ironclaw_core::memory::SearchQuery;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{Memory, Scope, SecretValue};
use ironclaw_memory::{HttpEmbedder, HttpEmbedderBuilder, HybridMemory};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// Vectors that say how long each text is and which letter it starts with.
fn vectors(request: &Request) -> Vec<Vec<f64>> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let vector = |text: &Value| {
        let text = text.as_str().unwrap();
        vec![text.len() as f64, f64::from(text.as_bytes()[0]), 0.0]
    };
    body["input"].as_array().unwrap().iter().map(vector).collect()
}

fn openai_answer(request: &Request) -> ResponseTemplate {
    let data: Vec<Value> = vectors(request)
        .iter()
        .enumerate()
        .map(|(n, v)| json!({"object": "embedding", "index": n, "embedding": v}))
        .collect();
    // The service may give them in any order.
    let data: Vec<Value> = data.into_iter().rev().collect();
    ResponseTemplate::new(200).set_body_json(json!({"object": "list", "data": data, "usage": {"total_tokens": 1}}))
}

/// Fails so many times, then answers.
struct Flaky {
    failures: usize,
    failure: ResponseTemplate,
    calls: AtomicUsize,
}

impl Respond for Flaky {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        match self.calls.fetch_add(1, Ordering::SeqCst) < self.failures {
            true => self.failure.clone(),
            false => openai_answer(request),
        }
    }
}

fn flaky(failures: usize, failure: ResponseTemplate) -> Flaky {
    Flaky { failures, failure, calls: AtomicUsize::new(0) }
}

fn openai(server: &MockServer) -> HttpEmbedderBuilder {
    HttpEmbedder::openai(format!("{}/v1", server.uri()), "small", 3).retries(2, Duration::from_millis(1))
}

async fn serve(respond: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/v1/embeddings")).respond_with(respond).mount(&server).await;
    server
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn openais_format_is_spoken_in_batches() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/embeddings"))
        .and(header("authorization", "Bearer sk-test"))
        .respond_with(openai_answer)
        .expect(3)
        .mount(&server)
        .await;
    let embedder = openai(&server).api_key(SecretValue::from("sk-test")).batch(2).build().unwrap();
    assert_eq!(embedder.model().id.as_str(), "openai:small:3");
    let all = texts(&["a", "bb", " ", "ccc", "dddd", "eeeee"]);
    let found = embedder.embed(&ada(), Purpose::Document, all).await.unwrap();
    assert_eq!(found.len(), 6);
    assert_eq!(found[2], [0.0; 3], "blank texts are not sent");
    for (n, (letter, vector)) in [b'a', b'b', 0, b'c', b'd', b'e'].into_iter().zip(&found).enumerate() {
        if letter != 0 {
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5);
            let bytes = if n < 2 { n + 1 } else { n } as f32;
            assert!((vector[1] / vector[0] - f32::from(letter) / bytes).abs() < 1e-2, "{n}: {vector:?}");
        }
    }
    let sent: Value = serde_json::from_slice(&server.received_requests().await.unwrap()[0].body).unwrap();
    assert_eq!(sent, json!({"model": "small", "input": ["a", "bb"], "encoding_format": "float"}));
}

#[tokio::test]
async fn ollamas_format_is_spoken() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/embed"))
        .respond_with(|request: &Request| {
            ResponseTemplate::new(200).set_body_json(json!({"embeddings": vectors(request)}))
        })
        .mount(&server)
        .await;
    let embedder = HttpEmbedder::ollama(server.uri(), "nomic", 3).build().unwrap();
    assert_eq!(embedder.embed(&ada(), Purpose::Query, texts(&["a", "bb"])).await.unwrap().len(), 2);
    let sent: Value = serde_json::from_slice(&server.received_requests().await.unwrap()[0].body).unwrap();
    assert_eq!(sent, json!({"model": "nomic", "input": ["a", "bb"], "truncate": false}));
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let limited = ResponseTemplate::new(429).insert_header("retry-after", "0");
    for failure in [ResponseTemplate::new(500), ResponseTemplate::new(503), limited] {
        let server = serve(flaky(2, failure)).await;
        assert_eq!(
            openai(&server).build().unwrap().embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap().len(),
            1
        );
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn the_service_says_how_long_to_wait() {
    let server = serve(flaky(1, ResponseTemplate::new(429).insert_header("retry-after", "3600"))).await;
    let embedder = openai(&server).build().unwrap();
    // An hour is longer than a caller waits, so the call fails at once instead of asking again too early.
    let error = embedder.embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), &EmbedErrorKind::RateLimited);
    assert!(error.is_retryable());
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn lasting_failures_are_not_tried_again() {
    let cases = [
        (401, EmbedErrorKind::Unauthorised),
        (403, EmbedErrorKind::Unauthorised),
        (404, EmbedErrorKind::ModelUnavailable),
        (400, EmbedErrorKind::InvalidInput),
        (413, EmbedErrorKind::InvalidInput),
    ];
    for (status, kind) in cases {
        let server = serve(ResponseTemplate::new(status).set_body_string("you sent: private text")).await;
        let error =
            openai(&server).build().unwrap().embed(&ada(), Purpose::Query, texts(&["private text"])).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{status}");
        assert!(!format!("{error} {error:?}").contains("private"), "{error:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn retries_are_bounded() {
    let server = serve(ResponseTemplate::new(502)).await;
    let error = openai(&server).build().unwrap().embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), &EmbedErrorKind::Unreachable);
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = serve(openai_answer).await;
    let location = format!("{}/v1/embeddings", other.uri());
    let server = serve(ResponseTemplate::new(307).insert_header("location", location.as_str())).await;
    let error = openai(&server).build().unwrap().embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert!(error.to_string().contains("redirects"), "{error}");
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn wrong_answers_are_refused() {
    let vector = |v: Value| json!({"data": [{"index": 0, "embedding": v}]}).to_string();
    let bodies = [
        vector(json!([1.0, 2.0])),
        vector(json!([1.0, 2.0, 3.0, 4.0])),
        vector(json!([1.0, null, 3.0])),
        vector(json!([1e39, 0.0, 0.0])),
        json!({"data": []}).to_string(),
        json!({"data": [{"index": 1, "embedding": [1, 2, 3]}]}).to_string(),
        "<html>private</html>".to_owned(),
        String::new(),
    ];
    for body in bodies {
        let server = serve(ResponseTemplate::new(200).set_body_string(body.clone())).await;
        let error = openai(&server).build().unwrap().embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
        assert_eq!(error.kind(), &EmbedErrorKind::MalformedAnswer, "{body}");
        assert!(!format!("{error:?}").contains("private"));
    }
}

#[tokio::test]
async fn an_answer_may_not_be_too_large() {
    let server = serve(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 100_000])).await;
    let embedder = openai(&server).response_bytes(10_000).build().unwrap();
    let error = embedder.embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), &EmbedErrorKind::MalformedAnswer);
    assert!(error.to_string().contains("10000 bytes"), "{error}");
}

#[tokio::test]
async fn a_service_that_is_slow_or_away_is_unreachable() {
    let server = serve(ResponseTemplate::new(200).set_delay(Duration::from_secs(60))).await;
    let embedder = openai(&server).timeout(Duration::from_millis(50)).retries(0, Duration::ZERO).build().unwrap();
    let error = embedder.embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), &EmbedErrorKind::Unreachable);
    assert!(error.to_string().contains("in time"), "{error}");

    let nobody = format!("http://{}/v1", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let key = SecretValue::from("sk-private");
    let embedder =
        HttpEmbedder::openai(nobody, "m", 3).api_key(key).retries(1, Duration::from_millis(1)).build().unwrap();
    let error = embedder.embed(&ada(), Purpose::Query, texts(&["a"])).await.unwrap_err();
    assert_eq!(error.kind(), &EmbedErrorKind::Unreachable);
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(error) = cause {
        assert!(!format!("{error:?} {error}").contains("private"));
        cause = error.source();
    }
}

#[tokio::test]
async fn a_memory_searches_on_when_the_service_fails() {
    let server = serve(flaky(0, ResponseTemplate::new(500))).await;
    let embedder = openai(&server).build().unwrap();
    let memory = HybridMemory::new(LibsqlStore::in_memory().await.unwrap(), embedder);
    let ada = ada();
    let file = WorkspacePath::parse("a.txt").unwrap();
    memory.write(&ada, &file, b"The harbour is the venue.", Value::Null).await.unwrap();
    let query = SearchQuery::new("Where is the harbour?");
    assert_eq!(memory.search(&ada, &query).await.unwrap().degraded, Vec::<String>::new());
    server.reset().await;
    let results = memory.search(&ada, &query).await.unwrap();
    assert_eq!(results.passages[0].path, file);
    assert!(!results.degraded.is_empty());
}

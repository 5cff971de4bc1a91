//! The quickstart with a language model: a local server that speaks OpenAI's protocol.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/command.rs"]
mod command;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "sk-quagga-0123456789";

/// A server whose answer cites the first passage.
async fn server() -> MockServer {
    let server = MockServer::start().await;
    let chunk = |delta: Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        format!(
            "data: {}\n\n",
            json!({ "id": "1", "object": "chat.completion.chunk", "model": "m", "choices": choices })
        )
    };
    let body = chunk(json!({ "role": "assistant", "content": "In the " }), Value::Null)
        + &chunk(json!({ "content": "pond [1]." }), Value::Null)
        + &chunk(json!({}), json!("stop"))
        + "data: [DONE]\n\n";
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", format!("Bearer {KEY}")))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/event-stream"))
        .mount(&server)
        .await;
    server
}

/// Asks where the heron is, or does what the arguments say.
async fn run(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command::quickstart();
    command.envs(variables.iter().copied()).arg("--data").arg(folder.join("data")).args(arguments);
    if !arguments.contains(&"--history") {
        command.arg("--ingest").arg(folder.join("notes")).args(["--json", "--ask", "Where is the heron?"]);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn quickstart(folder: &Path, variables: &[(&str, &str)]) -> Output {
    run(folder, variables, &[]).await
}

fn notes() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    std::fs::write(folder.path().join("notes/birds.md"), "The heron stands in the pond.").unwrap();
    folder
}

fn url(server: &MockServer) -> String {
    format!("{}/v1/", server.uri())
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_extractive(output: &Output) -> bool {
    answer(output)["model"].as_str().unwrap().starts_with("extractive")
}

fn kept_in(folder: &Path, needle: &str) -> bool {
    std::fs::read_dir(folder.join("data")).unwrap().any(|file| {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        content.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn settings_and_key_outlive_the_variables_that_started_them() {
    let (first, second) = (server().await, server().await);
    let folder = notes();

    let variables = [("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", &url(&first)), ("IRONCLAW_MODEL", "m")];
    let reply = answer(&quickstart(folder.path(), &variables).await);
    assert_eq!(reply["answer"], "In the pond [1].");
    assert_eq!(reply["citations"][0]["path"], "birds.md");
    assert_eq!(requests(&first).await, 1);

    let reply = answer(&quickstart(folder.path(), &[]).await);
    assert_eq!(reply["answer"], "In the pond [1].", "the stored settings and the key in the vault are used");
    assert_eq!(requests(&first).await, 2);

    answer(&quickstart(folder.path(), &[("OPENAI_BASE_URL", &url(&second))]).await);
    assert_eq!((requests(&first).await, requests(&second).await), (3, 0), "the stored setting wins");

    let another = "sk-another-0123456789";
    let output = quickstart(folder.path(), &[("OPENAI_API_KEY", another), ("OPENAI_BASE_URL", &url(&second))]).await;
    answer(&output);
    assert_eq!((requests(&first).await, requests(&second).await), (4, 0), "the stored key and endpoint win");
    let report = stderr(&output);
    assert!(report.contains("OPENAI_API_KEY is ignored") && report.contains("--reset-models"), "{report}");
    assert!(!report.contains(another), "{report}");
    assert!(!kept_in(folder.path(), KEY), "the key is in plaintext");
}

#[tokio::test]
async fn a_refused_key_is_said_without_the_key() {
    let server = MockServer::start().await;
    let refusal = json!({ "error": { "message": format!("Incorrect API key provided: {KEY}") } });
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(401).set_body_json(refusal)).mount(&server).await;
    let folder = notes();
    let variables = [("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", &url(&server)), ("IRONCLAW_MODEL", "m")];
    let output = quickstart(folder.path(), &variables).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not authorised") && !text.contains(KEY), "{text}");
}

#[tokio::test]
async fn a_key_goes_only_to_the_endpoint_named_beside_it() {
    let server = server().await;
    let (folder, url) = (notes(), url(&server));
    let output = quickstart(folder.path(), &[("OPENAI_BASE_URL", &url), ("IRONCLAW_MODEL", "m")]).await;
    assert!(!output.status.success(), "the server wants a key: {output:?}");

    let output = quickstart(folder.path(), &[("OPENAI_API_KEY", KEY)]).await;
    assert!(stderr(&output).contains("OPENAI_API_KEY is ignored: the stored endpoint is"), "{}", stderr(&output));
    for request in server.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"));
    }

    answer(&quickstart(folder.path(), &[("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", &url)]).await);
    answer(&quickstart(folder.path(), &[]).await);
}

#[tokio::test]
async fn a_stored_key_is_sent_to_no_other_host() {
    let server = server().await;
    let folder = notes();
    // Ollama is asked; OpenAI's key is only stored, for OpenAI itself.
    let variables = [("OPENAI_API_KEY", KEY), ("OLLAMA_HOST", &server.uri()), ("IRONCLAW_MODEL", "ollama::m")];
    assert!(stderr(&quickstart(folder.path(), &variables).await).contains("in the vault now, for api.openai.com"));
    let before = requests(&server).await;
    let output = quickstart(folder.path(), &[("OPENAI_BASE_URL", &url(&server))]).await;
    assert!(!output.status.success());
    assert!(stderr(&output).contains("is for api.openai.com, and is not sent to 127.0.0.1"), "{}", stderr(&output));
    assert_eq!(requests(&server).await, before);
}

#[tokio::test]
async fn a_variable_that_makes_no_sense_locks_nobody_out() {
    let folder = notes();
    for (variable, value) in [
        ("OPENAI_BASE_URL", "http://ada:hunter2@127.0.0.1/v1"),
        ("OLLAMA_HOST", "http://ada:hunter2@127.0.0.1"),
        ("OPENAI_BASE_URL", "not a url"),
        ("IRONCLAW_EMBEDDING_DIR", "/no/such/folder"),
        ("IRONCLAW_MODEL", "nobody::m"),
    ] {
        let output = quickstart(folder.path(), &[(variable, value)]).await;
        assert!(!output.status.success(), "{variable}: {output:?}");
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
        assert!(is_extractive(&quickstart(folder.path(), &[]).await), "{variable}");
        let history = run(folder.path(), &[(variable, value)], &["--history"]).await;
        assert!(history.status.success(), "{history:?}");
    }
    assert!(!kept_in(folder.path(), "hunter2"));
}

#[tokio::test]
async fn models_are_reset_when_asked_to() {
    let (first, second) = (server().await, server().await);
    let folder = notes();
    let variables = |url| [("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", url), ("IRONCLAW_MODEL", "m")];
    let (one, two) = (url(&first), url(&second));
    answer(&quickstart(folder.path(), &variables(&one)).await);

    let output = run(folder.path(), &variables("nonsense"), &["--reset-models"]).await;
    assert!(!output.status.success());
    answer(&quickstart(folder.path(), &[]).await);
    assert_eq!(requests(&first).await, 2, "what was stored stays when the new variables make no sense");

    answer(&run(folder.path(), &variables(&two), &["--reset-models"]).await);
    answer(&quickstart(folder.path(), &[]).await);
    assert_eq!((requests(&first).await, requests(&second).await), (2, 2));

    assert!(is_extractive(&run(folder.path(), &[], &["--reset-models"]).await));
    assert!(is_extractive(&quickstart(folder.path(), &[]).await));
}

#[tokio::test]
async fn an_embedding_model_is_where_ollama_host_says() {
    let server = MockServer::start().await;
    let embed = |request: &wiremock::Request| {
        let asked: Value = request.body_json().unwrap();
        let texts = asked["input"].as_array().map_or(1, Vec::len);
        ResponseTemplate::new(200).set_body_json(json!({ "embeddings": vec![[0.6, 0.8]; texts] }))
    };
    Mock::given(method("POST")).and(path("/api/embed")).respond_with(embed).mount(&server).await;
    let said = json!({ "message": { "content": "In the pond [1]." }, "done": true, "done_reason": "stop" });
    let chat = ResponseTemplate::new(200).set_body_raw(format!("{said}\n"), "application/x-ndjson");
    Mock::given(method("POST")).and(path("/api/chat")).respond_with(chat).mount(&server).await;
    let folder = notes();
    let host = server.address().to_string();
    let variables = |host| {
        [
            ("OLLAMA_HOST", host),
            ("IRONCLAW_MODEL", "ollama::m"),
            ("IRONCLAW_EMBEDDING_MODEL", "e"),
            ("IRONCLAW_EMBEDDING_DIMENSIONS", "2"),
        ]
    };
    let output = quickstart(folder.path(), &variables("not a host")).await;
    assert!(!output.status.success() && stderr(&output).contains("OLLAMA_HOST"), "{}", stderr(&output));
    assert_eq!(answer(&quickstart(folder.path(), &variables(&host)).await)["answer"], "In the pond [1].");
}

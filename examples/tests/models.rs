//! The quickstart with a language model: a local server that speaks OpenAI's protocol.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

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

async fn quickstart(folder: &Path, variables: &[(&str, &str)]) -> Output {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent().unwrap().parent().unwrap().join("examples/quickstart");
    assert!(program.is_file(), "build the example first: cargo build -p ironclaw-examples --example quickstart");
    let mut command = Command::new(program);
    for variable in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "OLLAMA_HOST", "IRONCLAW_MODEL"] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied()).arg("--data").arg(folder.join("data")).arg("--ingest");
    command.arg(folder.join("notes")).args(["--json", "--ask", "Where is the heron?"]).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn settings_and_key_outlive_the_variables_that_started_them() {
    let (first, second) = (server().await, server().await);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    std::fs::write(folder.path().join("notes/birds.md"), "The heron stands in the pond.").unwrap();
    let url = |server: &MockServer| format!("{}/v1/", server.uri());
    let requests = async |server: &MockServer| server.received_requests().await.unwrap().len();

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

    for file in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!content.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is in plaintext");
    }
}

#[tokio::test]
async fn a_refused_key_is_said_without_the_key() {
    let server = MockServer::start().await;
    let refusal = json!({ "error": { "message": format!("Incorrect API key provided: {KEY}") } });
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(401).set_body_json(refusal)).mount(&server).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    let url = format!("{}/v1/", server.uri());
    let variables = [("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", url.as_str()), ("IRONCLAW_MODEL", "m")];
    let output = quickstart(folder.path(), &variables).await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not authorised") && !text.contains(KEY), "{text}");
}

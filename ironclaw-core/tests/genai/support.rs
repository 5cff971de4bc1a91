use std::time::Duration;

use futures::StreamExt;
use ironclaw_core::genai::{GenaiLlm, GenaiLlmBuilder, Provider};
use ironclaw_core::id::ToolName;
use ironclaw_core::llm::{LlmError, LlmEvent, LlmMessage, LlmOptions, LlmProvider, LlmRequest, LlmResponse, ToolCall};
use ironclaw_core::model::workspace::{Passage, WorkspacePath};
use ironclaw_core::tool::ToolSpec;
use ironclaw_core::{Scope, SecretValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub(crate) const KEY: &str = "sk-test-3f9aQ77";

pub(crate) fn builder(provider: Provider, model: &str, endpoint: &str) -> GenaiLlmBuilder {
    let builder = GenaiLlm::builder(provider, model).endpoint(endpoint).backoff(Duration::from_millis(1));
    if provider == Provider::Ollama { builder } else { builder.key(SecretValue::from(KEY)) }
}

/// A request with everything in it: instructions, a passage, a tool round, a question.
pub(crate) fn request() -> LlmRequest {
    let messages = vec![
        LlmMessage::System { text: "Be brief.".into() },
        LlmMessage::user("What is the weather in Paris and Rome?"),
        LlmMessage::Assistant { text: "I look.".into(), tool_calls: vec![call("c1", "Paris"), call("c2", "Rome")] },
        result("c1", "sunny", false),
        result("c2", "no such city", true),
        LlmMessage::user("And the launch?"),
    ];
    let passage = Passage::new(WorkspacePath::parse("notes/launch.md").unwrap(), 0, 23, "The launch is on 3 May.", 0.9);
    let tool = ToolSpec::new(
        ToolName::parse("weather").unwrap(),
        "The weather of a city",
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
    );
    let options = LlmOptions::default().max_output_tokens(200);
    LlmRequest::new(messages).passages(vec![passage]).tools(vec![tool]).options(options)
}

fn call(id: &str, city: &str) -> ToolCall {
    ToolCall::new(id, "weather", json!({"city": city}))
}

fn result(id: &str, content: &str, is_error: bool) -> LlmMessage {
    LlmMessage::Tool {
        call_id: id.into(),
        name: ToolName::parse("weather").unwrap(),
        content: content.into(),
        is_error,
    }
}

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// The pieces of text and the whole answer.
pub(crate) async fn ask(llm: &GenaiLlm, request: LlmRequest) -> Result<(Vec<String>, LlmResponse), LlmError> {
    let mut stream = llm.stream(&ada(), request).await?;
    let mut pieces = Vec::new();
    let mut answer = None;
    while let Some(event) = stream.next().await {
        assert!(answer.is_none(), "nothing comes after the whole answer");
        match event? {
            LlmEvent::Text(text) => pieces.push(text),
            LlmEvent::Finished(response) => answer = Some(response),
            other => panic!("{other:?}"),
        }
    }
    let answer = answer.expect("a stream without an error ends with the whole answer");
    assert_eq!(pieces.concat(), answer.text);
    Ok((pieces, answer))
}

/// A server that gives this body to one path.
pub(crate) async fn serve(at: &str, content_type: &str, body: impl Into<String>) -> MockServer {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_raw(body.into(), content_type);
    Mock::given(method("POST")).and(path(at)).respond_with(answer).mount(&server).await;
    server
}

/// What the server was sent, as JSON.
pub(crate) async fn sent(server: &MockServer) -> Value {
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests[0].body_json().unwrap()
}

/// Server-sent events, one for each value.
pub(crate) fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("data: {value}\n\n")).collect()
}

/// A server that sends these bytes to the first that asks, and then closes the connection or, if `hangs`, nothing more.
pub(crate) async fn raw_server(bytes: String, hangs: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(bytes.as_bytes()).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    format!("http://{address}/v1")
}

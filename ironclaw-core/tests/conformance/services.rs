//! Services that say what they are told to, in each protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::conformance::{Capability, Failure, LlmHarness, Says};
use ironclaw_core::genai::{GenaiLlm, Provider};
use ironclaw_core::{LlmProvider, SecretValue};
use serde_json::{Value, json};

use crate::loopback::{Loopback, Reply, chunked, until_close};

/// A provider of each protocol.
pub(crate) const PROTOCOLS: [(&str, Provider); 5] = [
    ("chat", Provider::OpenAi),
    ("responses", Provider::OpenAiResponses),
    ("anthropic", Provider::Anthropic),
    ("gemini", Provider::Gemini),
    ("ollama", Provider::Ollama),
];

pub(crate) struct Served(pub(crate) Provider);

#[async_trait]
impl LlmHarness for Served {
    async fn open(&self) -> Result<Arc<dyn LlmProvider>, Failure> {
        self.model(Says::Text).await
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Service]
    }

    async fn serving(&self, says: Says) -> Result<Option<Arc<dyn LlmProvider>>, Failure> {
        match says {
            Says::Call(text) if arguments(self.0, text).is_none() => Ok(None),
            says => self.model(says).await.map(Some),
        }
    }
}

impl Served {
    async fn model(&self, says: Says) -> Result<Arc<dyn LlmProvider>, Failure> {
        let bytes = response(self.0, says);
        let server = Loopback::start(move |_| Reply::Bytes(bytes.clone())).await;
        let builder = GenaiLlm::builder(self.0, "lamp").endpoint(server.url).backoff(Duration::from_millis(1));
        let builder = match self.0 {
            Provider::Ollama => builder,
            _ => builder.key(SecretValue::from(Says::KEY)),
        };
        Ok(Arc::new(builder.build()?))
    }
}

fn response(provider: Provider, says: Says) -> Vec<u8> {
    if let Says::Error(reason) = says {
        let body = json!({"error": {"message": reason}}).to_string();
        let headers = format!("content-length: {}\r\n", body.len());
        return until_close("400 Bad Request", &headers, &body);
    }
    let values = match provider {
        Provider::OpenAiResponses => responses(says),
        Provider::Anthropic => anthropic(says),
        Provider::Gemini => gemini(says),
        Provider::Ollama => ollama(says),
        _ => chat(says),
    };
    if provider == Provider::Ollama {
        let body: String = values.iter().map(|value| format!("{value}\n")).collect();
        return chunked("application/x-ndjson", &[body.as_bytes()]);
    }
    let body: String = values.iter().map(|value| format!("data: {value}\n\n")).collect();
    chunked("text/event-stream", &[body.as_bytes()])
}

/// The text of an answer that has one.
fn text(says: Says) -> Option<&'static str> {
    matches!(says, Says::Text | Says::Cut | Says::Filtered | Says::BrokenOff).then_some(Says::TEXT)
}

/// A word for why it ended, of those for: done, tools, the limit, a filter. None for what broke off.
fn why(says: Says, words: [&'static str; 4]) -> Option<&'static str> {
    match says {
        Says::BrokenOff => None,
        Says::Call(_) => Some(words[1]),
        Says::Cut => Some(words[2]),
        Says::Filtered | Says::Withheld => Some(words[3]),
        _ => Some(words[0]),
    }
}

/// The arguments as the protocol has them: text, or, where it takes objects only, one.
fn arguments(provider: Provider, text: &str) -> Option<Value> {
    match provider {
        Provider::Gemini | Provider::Ollama => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => Some(json!(text)),
    }
}

fn chat(says: Says) -> Vec<Value> {
    let chunk =
        |delta: Value| json!({"model": "lamp-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let mut values = vec![chunk(json!({"role": "assistant", "content": text(says)}))];
    match says {
        Says::Call(arguments) => values.push(chunk(json!({"tool_calls": [
            {"index": 0, "id": "call_1", "function": {"name": "count", "arguments": arguments}}]}))),
        Says::Reasoning => values.push(chunk(json!({"reasoning_content": "hm"}))),
        _ => {}
    }
    let word = why(says, ["stop", "tool_calls", "length", "content_filter"]);
    values.extend(word.map(|word| json!({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]})));
    values
}

fn responses(says: Says) -> Vec<Value> {
    let mut values = vec![json!({"type": "response.created", "response": {"model": "lamp-1"}})];
    values.extend(text(says).map(|text| json!({"type": "response.output_text.delta", "delta": text})));
    match says {
        Says::Call(arguments) => values.push(json!({"type": "response.output_item.done", "output_index": 0, "item":
            {"type": "function_call", "call_id": "call_1", "name": "count", "arguments": arguments}})),
        Says::Reasoning => values.push(json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"})),
        _ => {}
    }
    let word = why(says, ["", "", "max_output_tokens", "content_filter"]);
    values.extend(word.map(|word| {
        let status = if word.is_empty() { "completed" } else { "incomplete" };
        let response = json!({"model": "lamp-1", "status": status, "incomplete_details": {"reason": word}});
        json!({"type": format!("response.{status}"), "response": response})
    }));
    values
}

fn anthropic(says: Says) -> Vec<Value> {
    let block = |block: Value| json!({"type": "content_block_start", "index": 0, "content_block": block});
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let mut values = vec![json!({"type": "message_start", "message": {"model": "lamp-1", "content": []}})];
    values.extend(text(says).map(|text| delta(json!({"type": "text_delta", "text": text}))));
    match says {
        Says::Call(arguments) => values.extend([
            block(json!({"type": "tool_use", "id": "call_1", "name": "count", "input": {}})),
            delta(json!({"type": "input_json_delta", "partial_json": arguments})),
        ]),
        Says::Reasoning => values.push(delta(json!({"type": "thinking_delta", "thinking": "hm"}))),
        _ => {}
    }
    let word = why(says, ["end_turn", "tool_use", "max_tokens", "refusal"]);
    values.extend(word.map(|word| json!({"type": "message_delta", "delta": {"stop_reason": word}})));
    values
}

fn gemini(says: Says) -> Vec<Value> {
    let mut parts: Vec<Value> = text(says).map(|text| json!({"text": text})).into_iter().collect();
    match says {
        Says::Call(text) => {
            parts.push(json!({"functionCall": {"name": "count", "args": arguments(Provider::Gemini, text)}}));
        }
        Says::Reasoning => parts.push(json!({"text": "hm", "thought": true})),
        _ => {}
    }
    let word = why(says, ["STOP", "STOP", "MAX_TOKENS", "SAFETY"]);
    vec![json!({"modelVersion": "lamp-1", "candidates": [{"content": {"parts": parts}, "finishReason": word}]})]
}

fn ollama(says: Says) -> Vec<Value> {
    let mut message = json!({"role": "assistant", "content": text(says).unwrap_or_default()});
    match says {
        Says::Call(text) => {
            let function = json!({"name": "count", "arguments": arguments(Provider::Ollama, text)});
            message["tool_calls"] = json!([{"function": function}]);
        }
        Says::Reasoning => message["thinking"] = json!("hm"),
        _ => {}
    }
    let mut values = vec![json!({"model": "lamp-1", "message": message, "done": false})];
    let word = why(says, ["stop", "stop", "length", "content_filter"]);
    values.extend(word.map(|word| json!({"model": "lamp-1", "done": true, "done_reason": word})));
    values
}

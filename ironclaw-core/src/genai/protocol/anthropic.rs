//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{Prompt, arguments, content, number, unknown_part};
use crate::genai::answer::Answer;
use crate::genai::calls::Piece;
use crate::genai::failure::{Failure, is_something};
use crate::llm::{ContentPart, LlmMessage, LlmOptions, PartData, ReasoningEffort, ToolChoice};

pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let options = &prompt.request.options;
    let mut body = json!({
        "model": prompt.model,
        "messages": messages(&prompt.turns),
        "stream": true,
        // This protocol wants a limit.
        "max_tokens": options.max_output_tokens.unwrap_or_else(|| most_tokens(prompt.model)),
    });
    if let Some(text) = &prompt.instructions {
        body["system"] = json!(text);
    }
    if !prompt.request.tools.is_empty() {
        let tools =
            prompt.request.tools.iter().map(
                |tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}),
            );
        body["tools"] = tools.collect();
    }
    say_options(options, &mut body);
    body
}

fn say_options(options: &LlmOptions, body: &mut Value) {
    if let Some(temperature) = options.temperature {
        body["temperature"] = number(temperature);
    }
    if !options.stop.is_empty() {
        body["stop_sequences"] = json!(options.stop);
    }
    if let Some(choice) = options.tool_choice.as_ref().filter(|_| body.get("tools").is_some()) {
        body["tool_choice"] = match choice {
            ToolChoice::Auto => json!({"type": "auto"}),
            ToolChoice::None => json!({"type": "none"}),
            ToolChoice::Required => json!({"type": "any"}),
            ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
        };
    }
    if let Some(form) = &options.response_schema {
        body["output_config"]["format"] = json!({"type": "json_schema", "schema": form.schema});
    }
    match options.reasoning_effort {
        None => {}
        Some(ReasoningEffort::None) => body["thinking"] = json!({"type": "disabled"}),
        // It knows no less than low.
        Some(ReasoningEffort::Minimal) => body["output_config"]["effort"] = json!("low"),
        Some(effort) => body["output_config"]["effort"] = json!(effort.as_str()),
    }
}

/// A limit that the model takes.
fn most_tokens(model: &str) -> u32 {
    match () {
        () if model.contains("claude-3-5") => 8_192,
        () if model.contains("claude-3-7") => 32_000,
        () if model.contains("claude-3") || model.contains("claude-2") => 4_096,
        () => 32_000,
    }
}

/// The turns; results of tools that come one after another are one message of the user.
fn messages(turns: &[LlmMessage]) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::with_capacity(turns.len());
    let mut results = false;
    for turn in turns {
        let was_result = std::mem::replace(&mut results, matches!(turn, LlmMessage::Tool { .. }));
        match turn {
            LlmMessage::System { .. } => {}
            LlmMessage::User { text, parts } => {
                let content = content(text, parts, json!({"type": "text", "text": text}), part);
                messages.push(json!({"role": "user", "content": content}));
            }
            LlmMessage::Assistant { text, tool_calls } => {
                let text = (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}));
                let calls = tool_calls
                    .iter()
                    .map(|call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}));
                let content: Vec<Value> = text.into_iter().chain(calls).collect();
                messages.push(json!({"role": "assistant", "content": content}));
            }
            LlmMessage::Tool { call_id, content, is_error, .. } => {
                let result =
                    json!({"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error});
                match messages.last_mut().and_then(|last| last["content"].as_array_mut()).filter(|_| was_result) {
                    Some(content) => content.push(result),
                    None => messages.push(json!({"role": "user", "content": [result]})),
                }
            }
        }
    }
    messages
}

fn part(part: &ContentPart) -> Value {
    let source = |media_type: &str, data: &PartData| json!({"type": "base64", "media_type": media_type, "data": data.to_base64()});
    match part {
        ContentPart::Image { media_type, data } => json!({"type": "image", "source": source(media_type, data)}),
        ContentPart::ImageUrl { url } => json!({"type": "image", "source": {"type": "url", "url": url}}),
        ContentPart::Document { media_type, name, data } => {
            json!({"type": "document", "title": name, "source": source(media_type, data)})
        }
    }
}

/// Reads an event, or a whole message. False if it is neither.
pub(super) fn read(value: &Value, answer: &mut Answer) -> Result<bool, Failure> {
    let index = value["index"].as_u64();
    match value["type"].as_str().unwrap_or_default() {
        "message_start" => read_message(&value["message"], answer)?,
        "message" if answer.said().is_empty() && !answer.has_calls() => {
            read_message(value, answer)?;
            answer.done();
        }
        // The same once more, after its pieces.
        "message" => {
            let blocks = value["content"].as_array().map(Vec::as_slice).unwrap_or_default();
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            let calls = blocks.iter().enumerate().filter(|(_, block)| block["type"] == "tool_use");
            let calls = calls.map(|(index, block)| call(block, Some(index as u64))).collect::<Result<_, _>>()?;
            answer.whole(&texts, calls)?;
            read_usage(&value["usage"], answer);
            answer.finish(value["stop_reason"].as_str().unwrap_or_default())?;
            answer.done();
        }
        "content_block_start" => read_block(&value["content_block"], index, answer)?,
        "content_block_delta" => read_delta(&value["delta"], index, answer)?,
        "message_delta" => {
            read_usage(&value["usage"], answer);
            answer.finish(value["delta"]["stop_reason"].as_str().unwrap_or_default())?;
        }
        "message_stop" => answer.done(),
        "" | "error" => return Ok(false),
        // A ping, the end of a block, and what they may add: "code should handle unknown event types gracefully".
        _ => {}
    }
    Ok(true)
}

fn read_message(message: &Value, answer: &mut Answer) -> Result<(), Failure> {
    answer.model(message.get("model"));
    read_usage(&message["usage"], answer);
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        read_block(block, Some(index as u64), answer)?;
    }
    answer.finish(message["stop_reason"].as_str().unwrap_or_default())
}

fn read_usage(usage: &Value, answer: &mut Answer) {
    answer.usage(usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
}

fn read_block(block: &Value, index: Option<u64>, answer: &mut Answer) -> Result<(), Failure> {
    match block["type"].as_str().unwrap_or_default() {
        "text" => answer.text(block["text"].as_str().unwrap_or_default()),
        "thinking" => {
            answer.reasoning(block["thinking"].as_str().unwrap_or_default());
            Ok(())
        }
        "redacted_thinking" => {
            answer.reasoning("?");
            Ok(())
        }
        "tool_use" => answer.call(call(block, index)?),
        kind => Err(unknown_part(kind)),
    }
}

fn call(block: &Value, index: Option<u64>) -> Result<Piece<'_>, Failure> {
    Ok(Piece {
        index,
        id: block["id"].as_str(),
        name: block["name"].as_str(),
        // Empty where the input comes in deltas; some proxies send it here.
        arguments: arguments(block.get("input").filter(|input| is_something(input)))?,
        place: (0, 1),
        whole: false,
    })
}

fn read_delta(delta: &Value, index: Option<u64>, answer: &mut Answer) -> Result<(), Failure> {
    let text = |name: &str| delta[name].as_str().unwrap_or_default();
    match delta["type"].as_str().unwrap_or_default() {
        "text_delta" => answer.text(text("text")),
        "input_json_delta" => {
            let arguments = text("partial_json").to_owned();
            answer.call(Piece { index, arguments, place: (0, 1), ..Piece::default() })
        }
        "thinking_delta" => {
            answer.reasoning(text("thinking"));
            Ok(())
        }
        "signature_delta" | "citations_delta" => Ok(()),
        kind => Err(unknown_part(kind)),
    }
}

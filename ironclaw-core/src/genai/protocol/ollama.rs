//! Ollama's own protocol.

use serde_json::{Value, json};

use super::{Prompt, number, whole_call};
use crate::genai::answer::Answer;
use crate::genai::failure::Failure;
use crate::llm::{ContentPart, LlmMessage, ReasoningEffort, ToolChoice};

pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let mut messages = Vec::with_capacity(prompt.turns.len() + 1);
    if let Some(text) = &prompt.instructions {
        messages.push(json!({"role": "system", "content": text}));
    }
    messages.extend(prompt.turns.iter().map(message));
    let mut body = json!({"model": prompt.model, "messages": messages, "stream": true});
    let options = &prompt.request.options;
    // It has no word for "none".
    if !prompt.request.tools.is_empty() && options.tool_choice != Some(ToolChoice::None) {
        let tools = prompt.request.tools.iter().map(|tool| {
            let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
            json!({"type": "function", "function": function})
        });
        body["tools"] = tools.collect();
    }
    if let Some(temperature) = options.temperature {
        body["options"]["temperature"] = number(temperature);
    }
    if let Some(tokens) = options.max_output_tokens {
        body["options"]["num_predict"] = json!(tokens);
    }
    if !options.stop.is_empty() {
        body["options"]["stop"] = json!(options.stop);
    }
    if let Some(seed) = options.seed {
        body["options"]["seed"] = json!(seed);
    }
    if let Some(form) = &options.response_schema {
        body["format"] = form.schema.clone();
    }
    match options.reasoning_effort {
        None => {}
        Some(ReasoningEffort::None) => body["think"] = json!(false),
        // It knows these four.
        Some(ReasoningEffort::Minimal) => body["think"] = json!("low"),
        Some(ReasoningEffort::XHigh) => body["think"] = json!("max"),
        Some(effort) => body["think"] = json!(effort.as_str()),
    }
    body
}

fn message(message: &LlmMessage) -> Value {
    match message {
        LlmMessage::System { text } => json!({"role": "system", "content": text}),
        LlmMessage::User { text, parts } => {
            let mut message = json!({"role": "user", "content": text});
            let images: Vec<String> = parts.iter().filter_map(image).collect();
            if !images.is_empty() {
                message["images"] = json!(images);
            }
            message
        }
        LlmMessage::Assistant { text, tool_calls } => {
            let mut message = json!({"role": "assistant", "content": text});
            if !tool_calls.is_empty() {
                let calls =
                    tool_calls.iter().map(|call| json!({"function": {"name": call.name, "arguments": call.arguments}}));
                message["tool_calls"] = calls.collect();
            }
            message
        }
        LlmMessage::Tool { name, content, .. } => json!({"role": "tool", "tool_name": name, "content": content}),
    }
}

/// An image in base64, as this protocol has them beside the text. It has nothing else.
fn image(part: &ContentPart) -> Option<String> {
    match part {
        ContentPart::Image { data, .. } => Some(data.to_base64()),
        ContentPart::ImageUrl { .. } | ContentPart::Document { .. } => None,
    }
}

/// Reads a line. False if it is none of an answer.
pub(super) fn read(value: &Value, answer: &mut Answer) -> Result<bool, Failure> {
    answer.model(value.get("model"));
    let message = &value["message"];
    for name in ["thinking", "reasoning_content"] {
        answer.reasoning(message[name].as_str().unwrap_or_default());
    }
    answer.text(message["content"].as_str().unwrap_or_default())?;
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        answer.call(whole_call(call.get("id"), function.get("name"), function.get("arguments"))?)?;
    }
    if value["done"] == true {
        answer.usage(value["prompt_eval_count"].as_u64(), value["eval_count"].as_u64());
        answer.finish(value["done_reason"].as_str().unwrap_or_default())?;
        answer.done();
    }
    Ok(message.is_object() || value.get("done").is_some())
}

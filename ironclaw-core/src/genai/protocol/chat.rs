//! OpenAI's Chat Completions, as OpenAI and everybody else speaks them.

use serde_json::{Value, json};

use super::{Prompt, arguments, content, data_url, number, unknown_part, word};
use crate::genai::answer::Answer;
use crate::genai::calls::Piece;
use crate::genai::failure::{Failure, is_something};
use crate::llm::{ContentPart, LlmErrorKind, LlmMessage, LlmOptions, ToolChoice};

pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let mut messages = Vec::with_capacity(prompt.turns.len() + 1);
    if let Some(text) = &prompt.instructions {
        messages.push(json!({"role": "system", "content": text}));
    }
    messages.extend(prompt.turns.iter().map(message));
    let mut body = json!({
        "model": prompt.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !prompt.request.tools.is_empty() {
        let tools = prompt.request.tools.iter().map(|tool| {
            let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
            json!({"type": "function", "function": function})
        });
        body["tools"] = tools.collect();
    }
    say_options(&prompt.request.options, limit_name(prompt), &mut body);
    body
}

fn say_options(options: &LlmOptions, limit_name: &str, body: &mut Value) {
    if let Some(temperature) = options.temperature {
        body["temperature"] = number(temperature);
    }
    if let Some(tokens) = options.max_output_tokens {
        body[limit_name] = json!(tokens);
    }
    if !options.stop.is_empty() {
        body["stop"] = json!(options.stop);
    }
    if let Some(seed) = options.seed {
        body["seed"] = json!(seed);
    }
    // Without tools there is nothing to choose, and services refuse the choice.
    if let Some(choice) = options.tool_choice.as_ref().filter(|_| body.get("tools").is_some()) {
        body["tool_choice"] = match choice {
            ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
            choice => json!(word(choice)),
        };
    }
    if let Some(form) = &options.response_schema {
        let schema = json!({"name": form.name, "schema": form.schema, "strict": true});
        body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    }
    if let Some(effort) = options.reasoning_effort {
        body["reasoning_effort"] = json!(effort.as_str());
    }
}

/// OpenAI's newer models refuse the name that everybody else knows.
fn limit_name(prompt: &Prompt<'_>) -> &'static str {
    let newer = ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|name| prompt.model.starts_with(name));
    let theirs = prompt.endpoint.starts_with("https://api.openai.com/");
    if newer || theirs { "max_completion_tokens" } else { "max_tokens" }
}

fn message(message: &LlmMessage) -> Value {
    match message {
        LlmMessage::System { text } => json!({"role": "system", "content": text}),
        LlmMessage::User { text, parts } => {
            json!({"role": "user", "content": content(text, parts, json!({"type": "text", "text": text}), part)})
        }
        LlmMessage::Assistant { text, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": text})
        }
        LlmMessage::Assistant { text, tool_calls } => {
            let calls = tool_calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
                json!({"id": call.id, "type": "function", "function": function})
            });
            // Strict services refuse an empty text, and want null beside calls.
            let content = (!text.is_empty()).then_some(text);
            json!({"role": "assistant", "content": content, "tool_calls": calls.collect::<Vec<_>>()})
        }
        LlmMessage::Tool { call_id, content, .. } => {
            json!({"role": "tool", "tool_call_id": call_id, "content": content})
        }
    }
}

fn part(part: &ContentPart) -> Value {
    match part {
        ContentPart::Image { media_type, data } => {
            json!({"type": "image_url", "image_url": {"url": data_url(media_type, data)}})
        }
        ContentPart::ImageUrl { url } => json!({"type": "image_url", "image_url": {"url": url}}),
        ContentPart::Document { media_type, name, data } => {
            json!({"type": "file", "file": {"filename": name, "file_data": data_url(media_type, data)}})
        }
    }
}

/// Reads a chunk, or a whole completion. False if it is neither.
pub(super) fn read(value: &Value, answer: &mut Answer) -> Result<bool, Failure> {
    answer.model(value.get("model"));
    for usage in [value.get("usage"), value.pointer("/x_groq/usage")].into_iter().flatten() {
        answer.usage(usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
    }
    let Some(choices) = value.get("choices").and_then(Value::as_array) else {
        return Ok(value.get("usage").is_some_and(is_something));
    };
    let is_another = |choice: &Value| choice.get("index").and_then(Value::as_u64).is_some_and(|index| index > 0);
    if choices.len() > 1 || choices.iter().any(is_another) {
        let context = "the service gave several answers; one was asked for";
        return Err(Failure::new(LlmErrorKind::MalformedAnswer, context));
    }
    for choice in choices {
        if let Some(error) = choice.get("error").filter(|error| is_something(error)) {
            return Err(Failure::of_service(error, answer.has_begun()));
        }
        match (choice.get("delta"), choice.get("message")) {
            (Some(delta), _) if is_something(delta) => read_delta(delta, answer)?,
            (_, Some(message)) if is_something(message) => read_message(message, answer)?,
            _ => {}
        }
        if let Some(text) = choice.get("text").and_then(Value::as_str) {
            answer.text(text)?;
        }
        if let Some(word) = choice.get("finish_reason").and_then(Value::as_str) {
            answer.finish(word)?;
        }
    }
    Ok(true)
}

/// A whole message: the answer, or, after its pieces, the same once more.
fn read_message(message: &Value, answer: &mut Answer) -> Result<(), Failure> {
    if answer.said().is_empty() && !answer.has_calls() {
        return read_delta(message, answer);
    }
    let text = message.get("content").and_then(Value::as_str).unwrap_or_default();
    answer.whole(&[text], calls(message)?)
}

fn read_delta(delta: &Value, answer: &mut Answer) -> Result<(), Failure> {
    // Some services send it under two names.
    let reasoning = ["reasoning_content", "reasoning", "thinking"]
        .into_iter()
        .find_map(|name| delta.get(name)?.as_str().filter(|text| !text.is_empty()));
    answer.reasoning(reasoning.unwrap_or_default());
    match delta.get("content") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => answer.text(text)?,
        Some(Value::Array(parts)) => parts.iter().try_for_each(|part| read_part(part, answer))?,
        Some(part) => read_part(part, answer)?,
    }
    if let Some(refusal) = delta.get("refusal").and_then(Value::as_str).filter(|refusal| !refusal.is_empty()) {
        answer.text(refusal)?;
        answer.refused();
    }
    read_calls(delta, answer)
}

fn read_calls(delta: &Value, answer: &mut Answer) -> Result<(), Failure> {
    calls(delta)?.into_iter().try_for_each(|call| answer.call(call))
}

fn calls(delta: &Value) -> Result<Vec<Piece<'_>>, Failure> {
    let given = delta.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut calls = Vec::with_capacity(given.len());
    for (place, call) in given.iter().enumerate() {
        calls.push(piece(call, (place, given.len()))?);
    }
    if let Some(call) = delta.get("function_call").filter(|call| is_something(call)) {
        calls.push(Piece { index: Some(0), ..piece(call, (0, 1))? });
    }
    Ok(calls)
}

/// A part of a content that is a list, as Mistral's reasoning models and some proxies send it.
fn read_part(part: &Value, answer: &mut Answer) -> Result<(), Failure> {
    match part["type"].as_str() {
        Some("text" | "output_text") | None if part["text"].is_string() => {
            answer.text(part["text"].as_str().unwrap_or_default())
        }
        Some("thinking" | "reasoning") => {
            answer.reasoning(&part["thinking"].to_string());
            Ok(())
        }
        _ => Err(unknown_part(&part.to_string())),
    }
}

fn piece(call: &Value, place: (usize, usize)) -> Result<Piece<'_>, Failure> {
    let function = call.get("function").filter(|function| function.is_object()).unwrap_or(call);
    let text = |value: &'_ Value| -> Option<u64> { value.as_u64().or_else(|| value.as_str()?.parse().ok()) };
    Ok(Piece {
        index: call.get("index").and_then(text),
        id: call.get("id").and_then(Value::as_str),
        name: function.get("name").and_then(Value::as_str),
        arguments: arguments(function.get("arguments"))?,
        place,
        whole: false,
    })
}

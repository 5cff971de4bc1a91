//! Google's Gemini.

use reqwest::Url;
use serde_json::{Value, json};

use super::{Prompt, number, unknown_part, whole_call};
use crate::genai::answer::Answer;
use crate::genai::failure::{Failure, is_something};
use crate::llm::framing::render_name;
use crate::llm::{ContentPart, LlmErrorKind, LlmMessage, LlmOptions, PartData, ReasoningEffort, ToolChoice};

/// Stands for the signature of a call that no signature came with, or whose signature was not kept. Models from Gemini 3
/// on refuse an earlier call without one, and take this.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A model's own path, with everything in its name that means something in a URL escaped.
pub(super) fn path(model: &str) -> String {
    // The one way to escape a path's segments that the URL crate offers.
    let Ok(mut url) = Url::parse("http://x/") else { return String::new() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear();
        if !model.contains('/') {
            segments.push("models");
        }
        segments.extend(format!("{model}:streamGenerateContent").split('/'));
    }
    format!("{}?alt=sse", &url.path()[1..])
}

pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let mut body = json!({"contents": contents(prompt.model, &prompt.turns)});
    if let Some(text) = &prompt.instructions {
        body["systemInstruction"] = json!({"parts": [{"text": text}]});
    }
    if !prompt.request.tools.is_empty() {
        let tools = prompt.request.tools.iter().map(
            |tool| json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}),
        );
        body["tools"] = json!([{"functionDeclarations": tools.collect::<Vec<_>>()}]);
    }
    say_options(prompt.model, &prompt.request.options, &mut body);
    body
}

fn say_options(model: &str, options: &LlmOptions, body: &mut Value) {
    if let Some(choice) = options.tool_choice.as_ref().filter(|_| body.get("tools").is_some()) {
        let mode = match choice {
            ToolChoice::Auto => "AUTO",
            ToolChoice::None => "NONE",
            ToolChoice::Required | ToolChoice::Tool(_) => "ANY",
        };
        body["toolConfig"]["functionCallingConfig"]["mode"] = json!(mode);
        if let ToolChoice::Tool(name) = choice {
            body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] = json!([name]);
        }
    }
    let mut config = json!({});
    if let Some(temperature) = options.temperature {
        config["temperature"] = number(temperature);
    }
    if let Some(tokens) = options.max_output_tokens {
        config["maxOutputTokens"] = json!(tokens);
    }
    if !options.stop.is_empty() {
        config["stopSequences"] = json!(options.stop);
    }
    if let Some(seed) = options.seed {
        config["seed"] = json!(seed);
    }
    if let Some(form) = &options.response_schema {
        config["responseMimeType"] = json!("application/json");
        config["responseJsonSchema"] = form.schema.clone();
    }
    if let Some(effort) = options.reasoning_effort {
        config["thinkingConfig"] = thinking(model, effort);
    }
    if is_something(&config) {
        body["generationConfig"] = config;
    }
}

/// Models before Gemini 3 take a number of tokens, later ones a word.
fn thinking(model: &str, effort: ReasoningEffort) -> Value {
    use ReasoningEffort::{High, Low, Max, Medium, Minimal, None, XHigh};
    if model.contains("gemini-2") {
        let budget = match effort {
            None => 0,
            Minimal => 512,
            Low => 1_024,
            Medium => 8_192,
            High | XHigh | Max => 24_576,
        };
        return json!({"thinkingBudget": budget});
    }
    let level = match effort {
        XHigh | Max => High,
        effort => effort,
    };
    json!({"thinkingLevel": level.as_str()})
}

/// The turns; results of tools that come one after another are one turn.
fn contents(model: &str, turns: &[LlmMessage]) -> Vec<Value> {
    let mut contents: Vec<Value> = Vec::with_capacity(turns.len());
    let signs = !model.contains("gemini-1") && !model.contains("gemini-2");
    let mut results = false;
    for turn in turns {
        let was_result = std::mem::replace(&mut results, matches!(turn, LlmMessage::Tool { .. }));
        match turn {
            LlmMessage::System { .. } => {}
            LlmMessage::User { text, parts } => {
                let parts: Vec<Value> =
                    std::iter::once(json!({"text": text})).chain(parts.iter().flat_map(part)).collect();
                contents.push(json!({"role": "user", "parts": parts}));
            }
            LlmMessage::Assistant { text, tool_calls } => {
                let text = (!text.is_empty()).then(|| json!({"text": text}));
                let calls = tool_calls.iter().enumerate().map(|(at, call)| {
                    let call = json!({"functionCall": {"name": call.name, "args": call.arguments}});
                    if at == 0 && signs { with_signature(call) } else { call }
                });
                let parts: Vec<Value> = text.into_iter().chain(calls).collect();
                contents.push(json!({"role": "model", "parts": parts}));
            }
            LlmMessage::Tool { name, content, .. } => {
                let result = json!({"result": content});
                let part = json!({"functionResponse": {"name": name, "response": result}});
                match contents.last_mut().and_then(|last| last["parts"].as_array_mut()).filter(|_| was_result) {
                    Some(parts) => parts.push(part),
                    None => contents.push(json!({"role": "user", "parts": [part]})),
                }
            }
        }
    }
    contents
}

/// A document's name has no field here, so that it is a text before the document.
fn part(part: &ContentPart) -> Vec<Value> {
    let inline =
        |media_type: &str, data: &PartData| json!({"inlineData": {"mimeType": media_type, "data": data.to_base64()}});
    match part {
        ContentPart::Image { media_type, data } => vec![inline(media_type, data)],
        ContentPart::Document { media_type, name, data } => {
            vec![json!({"text": render_name(name)}), inline(media_type, data)]
        }
        ContentPart::ImageUrl { url } => vec![json!({"fileData": {"fileUri": url}})],
    }
}

fn with_signature(mut call: Value) -> Value {
    call["thoughtSignature"] = json!(NO_SIGNATURE);
    call
}

/// Reads a response. False if it is none.
pub(super) fn read(value: &Value, answer: &mut Answer) -> Result<bool, Failure> {
    answer.model(value.get("modelVersion"));
    let usage = &value["usageMetadata"];
    let output = match (usage["candidatesTokenCount"].as_u64(), usage["thoughtsTokenCount"].as_u64()) {
        (None, None) => None,
        (text, thoughts) => Some(text.unwrap_or_default().saturating_add(thoughts.unwrap_or_default())),
    };
    answer.usage(usage["promptTokenCount"].as_u64(), output);
    if let Some(why) = value.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
        return Err(Failure::new(LlmErrorKind::Filtered, format!("the service refused the question ({why})")));
    }
    let Some(candidates) = value.get("candidates").and_then(Value::as_array) else {
        return Ok(usage.is_object());
    };
    if candidates.len() > 1 {
        let context = "the service gave several answers; one was asked for";
        return Err(Failure::new(LlmErrorKind::MalformedAnswer, context));
    }
    for candidate in candidates {
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            read_part(part, answer)?;
        }
        answer.explain(candidate["finishMessage"].as_str());
        answer.finish(candidate["finishReason"].as_str().unwrap_or_default())?;
    }
    Ok(true)
}

fn read_part(part: &Value, answer: &mut Answer) -> Result<(), Failure> {
    let call = &part["functionCall"];
    match part["text"].as_str() {
        Some(text) if part["thought"] == true => {
            answer.reasoning(text);
            Ok(())
        }
        Some(text) => answer.text(text),
        None if is_something(call) => answer.call(whole_call(call.get("id"), call.get("name"), call.get("args"))?),
        // A signature by itself.
        None if part.as_object().is_some_and(|part| part.keys().all(|key| key.starts_with("thought"))) => Ok(()),
        None => Err(unknown_part(&part.to_string())),
    }
}

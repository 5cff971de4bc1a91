//! OpenAI's Responses.

use serde_json::{Value, json};

use super::{Prompt, arguments, content, data_url, number, reports_an_error, unknown_part, word};
use crate::genai::answer::Answer;
use crate::genai::calls::Piece;
use crate::genai::failure::{Failure, is_something};
use crate::llm::{ContentPart, LlmMessage, LlmOptions, ToolChoice};

pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let input: Vec<Value> = prompt.turns.iter().flat_map(items).collect();
    // Nothing is kept at the service.
    let mut body = json!({"model": prompt.model, "input": input, "stream": true, "store": false});
    if let Some(text) = &prompt.instructions {
        body["instructions"] = json!(text);
    }
    if !prompt.request.tools.is_empty() {
        let tools = prompt.request.tools.iter().map(|tool| {
            json!({"type": "function", "name": tool.name, "description": tool.description,
                   "parameters": tool.parameters, "strict": false})
        });
        body["tools"] = tools.collect();
    }
    say_options(&prompt.request.options, &mut body);
    body
}

fn say_options(options: &LlmOptions, body: &mut Value) {
    if let Some(temperature) = options.temperature {
        body["temperature"] = number(temperature);
    }
    if let Some(tokens) = options.max_output_tokens {
        body["max_output_tokens"] = json!(tokens);
    }
    if let Some(choice) = options.tool_choice.as_ref().filter(|_| body.get("tools").is_some()) {
        body["tool_choice"] = match choice {
            ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
            choice => json!(word(choice)),
        };
    }
    if let Some(form) = &options.response_schema {
        let format = json!({"type": "json_schema", "name": form.name, "schema": form.schema, "strict": true});
        body["text"] = json!({"format": format});
    }
    if let Some(effort) = options.reasoning_effort {
        body["reasoning"] = json!({"effort": effort.as_str()});
    }
}

fn items(message: &LlmMessage) -> Vec<Value> {
    match message {
        LlmMessage::System { text } => vec![json!({"role": "system", "content": text})],
        LlmMessage::User { text, parts } => {
            let say_text = json!({"type": "input_text", "text": text});
            vec![json!({"role": "user", "content": content(text, parts, say_text, part)})]
        }
        LlmMessage::Assistant { text, tool_calls } => {
            let text = (!text.is_empty()).then(|| json!({"role": "assistant", "content": text}));
            let calls = tool_calls.iter().map(|call| {
                json!({"type": "function_call", "call_id": call.id, "name": call.name,
                       "arguments": call.arguments.to_string()})
            });
            text.into_iter().chain(calls).collect()
        }
        LlmMessage::Tool { call_id, content, .. } => {
            vec![json!({"type": "function_call_output", "call_id": call_id, "output": content})]
        }
    }
}

fn part(part: &ContentPart) -> Value {
    match part {
        ContentPart::Image { media_type, data } => {
            json!({"type": "input_image", "image_url": data_url(media_type, data)})
        }
        ContentPart::ImageUrl { url } => json!({"type": "input_image", "image_url": url}),
        ContentPart::Document { media_type, name, data } => {
            json!({"type": "input_file", "filename": name, "file_data": data_url(media_type, data)})
        }
    }
}

/// Reads an event, or a whole response. False if it is neither.
pub(super) fn read(value: &Value, answer: &mut Answer) -> Result<bool, Failure> {
    if value["object"] == "response" {
        return read_response(value, answer).map(|()| true);
    }
    let Some(kind) = value["type"].as_str() else { return Ok(false) };
    let delta = value["delta"].as_str().unwrap_or_default();
    match kind {
        "response.created" | "response.in_progress" | "response.queued" => {
            answer.model(value.pointer("/response/model"))
        }
        "response.output_text.delta" => answer.text(delta)?,
        "response.refusal.delta" => {
            answer.text(delta)?;
            answer.refused();
        }
        "response.output_item.added" if value["item"]["type"] == "function_call" => answer.call(piece(value)?)?,
        "response.function_call_arguments.delta" => {
            let index = value["output_index"].as_u64();
            answer.call(Piece { index, arguments: delta.to_owned(), place: (0, 1), ..Piece::default() })?;
        }
        "response.output_text.done" => {
            answer.part(&[value["text"].as_str().unwrap_or_default()])?;
        }
        "response.refusal.done" => {
            answer.part(&[value["refusal"].as_str().unwrap_or_default()])?;
            answer.refused();
        }
        "response.function_call_arguments.done" => {
            answer.arguments(value["output_index"].as_u64(), value["arguments"].as_str().unwrap_or_default())?;
        }
        "response.output_item.done" => read_item(value, answer)?,
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            read_response(&value["response"], answer)?;
        }
        _ if kind.starts_with("response.reasoning") => answer.reasoning(delta),
        _ if reports_an_error(value) => return Err(Failure::of_service(value, answer.has_begun())),
        // Their other events say again what these say, or belong to tools that are never offered.
        _ => {}
    }
    Ok(true)
}

/// The response as it is in the end: what of its output came before must be the same.
fn read_response(response: &Value, answer: &mut Answer) -> Result<(), Failure> {
    answer.model(response.get("model"));
    let usage = &response["usage"];
    answer.usage(usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
    if let Some(error) = response.get("error").filter(|error| is_something(error)) {
        return Err(Failure::of_service(error, answer.has_begun()));
    }
    let came = !answer.said().is_empty() || answer.has_calls();
    let items = response["output"].as_array().map(Vec::as_slice).unwrap_or_default();
    if came {
        let is = |item: &&Value, kind: &str| item["type"] == kind;
        let messages = items.iter().filter(|item| is(item, "message"));
        let texts: Vec<&str> = messages.flat_map(texts).collect();
        let calls: Vec<Value> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| is(item, "function_call"))
            .map(|(index, item)| json!({"item": item, "output_index": index}))
            .collect();
        answer.whole(&texts, calls.iter().map(piece).collect::<Result<_, _>>()?)?;
    }
    for (index, item) in items.iter().enumerate().filter(|_| !came) {
        read_item(&json!({"item": item, "output_index": index}), answer)?;
    }
    match response["status"].as_str().unwrap_or("completed") {
        "incomplete" => answer.finish(response["incomplete_details"]["reason"].as_str().unwrap_or("incomplete"))?,
        status => answer.finish(status)?,
    }
    answer.done();
    Ok(())
}

/// A whole item: what of it came in pieces is there already.
fn read_item(value: &Value, answer: &mut Answer) -> Result<(), Failure> {
    let item = &value["item"];
    match item["type"].as_str().unwrap_or_default() {
        // With its id and its arguments in full it is the same call again, or the call of which no piece came.
        "function_call" => answer.call(Piece { whole: true, ..piece(value)? }),
        "message" if answer.said().is_empty() => {
            for part in item["content"].as_array().into_iter().flatten() {
                match part["type"].as_str().unwrap_or_default() {
                    "output_text" => answer.text(part["text"].as_str().unwrap_or_default())?,
                    "refusal" => {
                        answer.text(part["refusal"].as_str().unwrap_or_default())?;
                        answer.refused();
                    }
                    kind => return Err(unknown_part(kind)),
                }
            }
            Ok(())
        }
        "message" => answer.part(&texts(item).collect::<Vec<_>>()).map(|_| ()),
        "reasoning" => {
            answer.reasoning(&item["summary"].to_string());
            Ok(())
        }
        kind => Err(unknown_part(kind)),
    }
}

/// The texts of a message.
fn texts(message: &Value) -> impl Iterator<Item = &str> {
    let parts = message["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part.get("text").or_else(|| part.get("refusal"))?.as_str())
}

fn piece(value: &Value) -> Result<Piece<'_>, Failure> {
    let item = &value["item"];
    Ok(Piece {
        index: value["output_index"].as_u64(),
        id: item["call_id"].as_str(),
        name: item["name"].as_str(),
        arguments: arguments(item.get("arguments"))?,
        place: (0, 1),
        whole: false,
    })
}

//! What strict services and the chat templates of strict models refuse. Each check gives the reason as a service would.

use std::collections::HashSet;

use serde_json::Value;

type Checked = Result<(), String>;

fn check(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

fn is_plain(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// OpenAI's Chat Completions, with the templates of Gemma and Mistral behind them: one system message, first; user and
/// assistant by turns, calls and their results apart; arguments that are an object.
pub(crate) fn openai(body: &Value) -> Checked {
    let messages = list(&body["messages"]);
    let role = |message: &Value| message["role"].as_str().unwrap_or_default().to_owned();
    let mut turns = vec!["assistant".to_owned()];
    let mut waiting: Vec<String> = Vec::new();
    let mut ids = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let (role, content) = (role(message), message["content"].as_str().unwrap_or_default());
        let calls = list(&message["tool_calls"]);
        check(role != "system" || at == 0, || format!("messages.{at}: the system speaks first and once"))?;
        check(calls.is_empty() || role == "assistant", || format!("messages.{at}: only the assistant calls"))?;
        check(!is_blank(content) || !calls.is_empty(), || format!("messages.{at}: content must be non-empty"))?;
        let text = message.get("content").and_then(Value::as_str);
        check(text.is_none_or(|text| text.is_empty() || !is_blank(text)), || format!("messages.{at}: blank content"))?;
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            check(!waiting.is_empty() && waiting.remove(0) == id, || {
                format!("messages.{at}: unexpected result {id:?}")
            })?;
            continue;
        }
        check(waiting.is_empty(), || format!("messages.{at}: {waiting:?} have no result"))?;
        for call in calls {
            let (id, function) = (call["id"].as_str().unwrap_or_default(), &call["function"]);
            check(is_plain(id, 40) && ids.insert(id.to_owned()), || format!("messages.{at}: id {id:?}"))?;
            check(is_plain(function["name"].as_str().unwrap_or_default(), 64), || format!("messages.{at}: a name"))?;
            let arguments = serde_json::from_str::<Value>(function["arguments"].as_str().unwrap_or_default());
            check(arguments.is_ok_and(|arguments| arguments.is_object()), || format!("messages.{at}: no mapping"))?;
            waiting.push(id.to_owned());
        }
        if role != "system" && calls.is_empty() {
            let before = turns.last().unwrap();
            check(*before != role, || format!("messages.{at}: conversation roles must alternate user/assistant/..."))?;
            turns.push(role);
        }
    }
    check(waiting.is_empty(), || format!("{waiting:?} have no result"))?;
    let last = messages.last().map(role).unwrap_or_default();
    check(last == "user" || last == "tool", || format!("the last message is of {last:?}"))
}

/// Anthropic's Messages: user and assistant by turns, no empty or blank block, results at the start of the message that
/// follows their calls.
pub(crate) fn anthropic(body: &Value) -> Checked {
    let messages = list(&body["messages"]);
    if let Some(text) = body["system"].as_str() {
        check(!is_blank(text), || "system: text content blocks must be non-empty".to_owned())?;
    }
    for (at, block) in list(&body["system"]).iter().enumerate() {
        check(!is_blank(block["text"].as_str().unwrap_or_default()), || format!("system.{at}: must be non-empty"))?;
    }
    let mut ids = HashSet::new();
    let mut called: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let expected = if at % 2 == 0 { "user" } else { "assistant" };
        check(message["role"] == expected, || format!("messages.{at}: roles must alternate"))?;
        let blocks = match &message["content"] {
            Value::String(text) => vec![serde_json::json!({"type": "text", "text": text})],
            blocks => list(blocks).to_vec(),
        };
        check(!blocks.is_empty(), || format!("messages.{at}: content is required"))?;
        let answered: Vec<&str> = blocks
            .iter()
            .map_while(|b| (b["type"] == "tool_result").then(|| b["tool_use_id"].as_str().unwrap()))
            .collect();
        check(answered == called, || format!("messages.{at}: `tool_use` ids without `tool_result`: {called:?}"))?;
        called.clear();
        for block in &blocks[answered.len()..] {
            match block["type"].as_str().unwrap_or_default() {
                "text" => check(!is_blank(block["text"].as_str().unwrap_or_default()), || {
                    format!("messages.{at}: text content blocks must be non-empty")
                })?,
                "tool_use" => {
                    let id = block["id"].as_str().unwrap_or_default();
                    check(is_plain(id, 64) && ids.insert(id.to_owned()), || format!("messages.{at}: id {id:?}"))?;
                    check(is_plain(block["name"].as_str().unwrap_or_default(), 128), || {
                        format!("messages.{at}: name")
                    })?;
                    check(block["input"].is_object(), || {
                        format!("messages.{at}: tool_use.input: Input should be a valid dictionary")
                    })?;
                    called.push(id.to_owned());
                }
                other => return Err(format!("messages.{at}: unexpected {other:?}")),
            }
        }
    }
    check(!messages.is_empty() && messages.len() % 2 == 1, || "the last message must be the user's".to_owned())
}

/// Gemini: parts that are not empty, the user first, and as many responses right after the calls, of the same names.
pub(crate) fn gemini(body: &Value) -> Checked {
    let contents = list(&body["contents"]);
    let mut called: Vec<String> = Vec::new();
    for (at, content) in contents.iter().enumerate() {
        let is_model = content["role"] == "model";
        check(at > 0 || !is_model, || "the first turn is the user's".to_owned())?;
        check(at == 0 || !is_model || contents[at - 1]["role"] != "model", || {
            format!("contents.{at}: two of the model")
        })?;
        let parts = list(&content["parts"]);
        check(!parts.is_empty(), || format!("contents.{at}.parts must not be empty"))?;
        let answered: Vec<String> = parts
            .iter()
            .filter(|part| part["functionResponse"].is_object())
            .map(|part| part["functionResponse"]["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        check(answered == called, || format!("contents.{at}: {called:?} were called, and {answered:?} respond"))?;
        called.clear();
        for part in parts {
            if let Some(text) = part["text"].as_str() {
                check(!is_blank(text), || format!("contents.{at}: an empty text"))?;
            }
            if part["functionCall"].is_object() {
                let name = part["functionCall"]["name"].as_str().unwrap_or_default();
                check(is_model && is_plain(name, 64), || format!("contents.{at}: function name {name:?}"))?;
                check(part["functionCall"]["args"].is_object(), || format!("contents.{at}: args must be a Struct"))?;
                called.push(name.to_owned());
            }
        }
    }
    check(!contents.is_empty() && called.is_empty(), || "nothing to answer".to_owned())
}

//! A model's answer made fit to be kept.

use super::text::{clean, clean_json};
use crate::id::NAME_BYTES;
use crate::input::{JSON_DEPTH, json_depth};
use crate::limits::Limits;
use crate::llm::{LlmError, LlmErrorKind, LlmResponse, TokenUsage, ToolCall};

/// The longest id of a call that is kept as the model wrote it.
const CALL_ID_BYTES: usize = 256;

/// The answer as it can be kept: without U+0000, each call with a name and with an id of its own.
pub(super) fn fit(response: LlmResponse) -> Result<LlmResponse, LlmError> {
    if response.text.len() > Limits::default().message_bytes {
        return Err(malformed("the answer is longer than a message may be"));
    }
    let mut tool_calls: Vec<ToolCall> = Vec::with_capacity(response.tool_calls.len());
    for ToolCall { id, name, arguments } in response.tool_calls {
        let is_new = |id: &str| !tool_calls.iter().any(|other| other.id == id);
        let id = match !id.is_empty() && id.len() <= CALL_ID_BYTES && !id.contains('\0') && is_new(&id) {
            true => id,
            false => (1..).map(|n| format!("call-{n}")).find(|id| is_new(id)).unwrap_or(id),
        };
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let name = name[..name.floor_char_boundary(NAME_BYTES)].to_owned();
        if name.is_empty() {
            return Err(unnamed());
        }
        if json_depth(&arguments) > JSON_DEPTH {
            return Err(malformed("a call's arguments are nested too deeply to be kept"));
        }
        tool_calls.push(ToolCall { id, name, arguments: clean_json(arguments) });
    }
    Ok(LlmResponse { text: clean(response.text), tool_calls, model: clean(response.model), ..response })
}

pub(super) fn malformed(context: &str) -> LlmError {
    LlmError::new(LlmErrorKind::MalformedAnswer, "stream", context)
}

pub(super) fn unnamed() -> LlmError {
    malformed("a call names no tool")
}

/// The tokens of several calls together; a count that none knew stays unknown.
pub(super) fn add(total: &mut TokenUsage, more: TokenUsage) {
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or_default().saturating_add(b.unwrap_or_default())),
    };
    *total = TokenUsage {
        input: sum(total.input, more.input),
        output: sum(total.output, more.output),
        cost_micro_usd: sum(total.cost_micro_usd, more.cost_micro_usd),
    };
}

//! A model's answer made fit to be kept.

use std::collections::HashSet;

use super::Config;
use super::bounds::{clean, dismantle, json, json_bytes, short};
use crate::id::NAME_BYTES;
use crate::llm::history::is_blank;
use crate::llm::{FinishReason, LlmError, LlmErrorKind, LlmResponse, TokenUsage, ToolCall};

/// The longest id of a call that is kept as the model wrote it.
const CALL_ID_BYTES: usize = 256;
/// How many calls of one answer are kept, if not more of them are made.
const KEPT_CALLS: usize = 128;
/// The largest count that is kept: what a database's number holds.
const LARGEST: u64 = i64::MAX.unsigned_abs();

/// The answer as it can be kept: bounded, without U+0000, each call with a name and with an id of its own. And how many
/// calls more it had than are kept.
///
/// # Errors
/// [`LlmErrorKind::EmptyAnswer`], or [`LlmErrorKind::MalformedAnswer`] for a text longer than a message may be and for a
/// call that names no tool.
pub(super) fn fit(response: LlmResponse, config: &Config) -> Result<(LlmResponse, usize), LlmError> {
    let LlmResponse { text, tool_calls: mut came, finish, usage, model } = response;
    let left_out = came.split_off(came.len().min(kept_calls(config)));
    let more = left_out.len();
    left_out.into_iter().for_each(|call| dismantle(call.arguments));
    // Taken apart before anything else is looked at: a value that is very deep can't even be dropped as it is.
    let mut room = config.limits.json_bytes / 2;
    for call in &mut came {
        let arguments = json(std::mem::take(&mut call.arguments), room);
        room = room.saturating_sub(json_bytes(&arguments));
        call.arguments = arguments;
    }
    if text.len() > config.limits.message_bytes {
        return Err(malformed("the answer is longer than a message may be"));
    }
    if is_blank(&text) && came.is_empty() {
        let why = match &finish {
            FinishReason::Length => ": the limit of its length was reached before its first word",
            FinishReason::Filtered => ": the service withheld it",
            _ => "",
        };
        let context = format!("the answer has neither text nor calls{why}");
        return Err(LlmError::new(LlmErrorKind::EmptyAnswer, "stream", context));
    }
    let mut ids: HashSet<String> = HashSet::with_capacity(came.len());
    let mut tool_calls: Vec<ToolCall> = Vec::with_capacity(came.len());
    for ToolCall { mut id, name, arguments } in came {
        let mut made = ids.len();
        while id.is_empty() || id.len() > CALL_ID_BYTES || id.contains('\0') || ids.contains(&id) {
            made += 1;
            id = format!("call-{made}");
        }
        ids.insert(id.clone());
        let name = short(name.chars().filter(|c| !c.is_control()).take(NAME_BYTES).collect(), NAME_BYTES);
        if name.is_empty() {
            return Err(unnamed());
        }
        tool_calls.push(ToolCall { id, name, arguments });
    }
    let usage = TokenUsage {
        input: usage.input.map(|tokens| tokens.min(LARGEST)),
        output: usage.output.map(|tokens| tokens.min(LARGEST)),
        cost_micro_usd: usage.cost_micro_usd.map(|cost| cost.min(LARGEST)),
    };
    let finish = match finish {
        FinishReason::Other(word) => FinishReason::Other(short(word, FinishReason::OTHER_BYTES)),
        finish => finish,
    };
    Ok((LlmResponse { text: clean(text), tool_calls, finish, usage, model: short(model, NAME_BYTES) }, more))
}

/// How many calls of one answer are kept: those that are made and at least one that is refused, but no more than one
/// change can hold with their results.
fn kept_calls(config: &Config) -> usize {
    const OPERATIONS_PER_CALL: usize = 3;
    const OTHER_OPERATIONS: usize = 16;
    let held = config.limits.operations.saturating_sub(OTHER_OPERATIONS) / OPERATIONS_PER_CALL;
    KEPT_CALLS.max(config.tool_calls.saturating_add(1)).min(held).max(1)
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

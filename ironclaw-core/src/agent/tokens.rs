use crate::llm::LlmMessage;
use crate::memory::Passage;
use crate::tool::ToolSpec;

/// What a message costs besides its text: role and separators.
const MESSAGE_TOKENS: usize = 4;

/// About how many tokens a text is for a language model: four ASCII characters to a token, one Chinese, Japanese or
/// Korean character, two characters of any other script; rounded up.
///
/// Every model counts differently. The estimate needs no model's vocabulary and errs on the high side for prose.
///
/// ```
/// use ironclaw_core::agent::estimate_tokens;
///
/// assert_eq!(estimate_tokens("When is the launch?"), 5);
/// assert_eq!(estimate_tokens("打ち上げはいつ"), 7);
/// assert_eq!(estimate_tokens(""), 0);
/// ```
pub fn estimate_tokens(text: &str) -> usize {
    let quarters: usize = text
        .chars()
        .map(|c| match u32::from(c) {
            0..=0x7F => 1,
            0x1100..=0x11FF | 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF | 0x20000.. => 4,
            _ => 2,
        })
        .sum();
    quarters.div_ceil(4)
}

pub(super) fn of_message(message: &LlmMessage) -> usize {
    let calls = match message {
        LlmMessage::Assistant { tool_calls, .. } => tool_calls
            .iter()
            .map(|call| MESSAGE_TOKENS + estimate_tokens(&call.name) + estimate_tokens(&call.arguments.to_string()))
            .sum(),
        _ => 0,
    };
    MESSAGE_TOKENS + estimate_tokens(message.text()) + calls
}

pub(super) fn of_passage(passage: &Passage) -> usize {
    MESSAGE_TOKENS + estimate_tokens(passage.path.as_str()) + estimate_tokens(&passage.text)
}

pub(super) fn of_tool(spec: &ToolSpec) -> usize {
    MESSAGE_TOKENS
        + estimate_tokens(spec.name.as_str())
        + estimate_tokens(&spec.description)
        + estimate_tokens(&spec.parameters.to_string())
}

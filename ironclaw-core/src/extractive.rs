//! Answers without a language model.

use async_trait::async_trait;
use futures::stream;

use crate::llm::history::SEPARATOR;
use crate::llm::{
    FinishReason, LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmProvider, LlmRequest, LlmResponse, LlmStream,
    TokenUsage, ToolChoice,
};
use crate::scope::Scope;

mod command;
mod quotes;
mod sentences;

use command::Command;

/// Stands in for a language model where there is none: it quotes what was retrieved, and says so.
///
/// It quotes the given passages that search thought best and that share the rarest words with the question, in any
/// language, each where it fits best, and cites them: `[1]`. If none shares a word, it says that and quotes the passage
/// that search thought nearest.
/// It makes nothing up, knows nothing, and connects to nothing; the same request gives the same answer.
///
/// A message `/tool-name {"argument": 1}` calls that tool, and the answer is the tool's result.
///
/// ```
/// # use ironclaw_core::extractive::ExtractiveLlm;
/// # use ironclaw_core::llm::{LlmMessage, LlmProviderExt, LlmRequest};
/// # use ironclaw_core::Scope;
/// # use ironclaw_core::model::workspace::{Passage, WorkspacePath};
/// # futures::executor::block_on(async {
/// let text = "We met on Monday. The launch is on 3 May.";
/// let passage = Passage::new(WorkspacePath::parse("launch.md")?, 0, 41, text, 1.0);
/// let request = LlmRequest::new(vec![LlmMessage::user("When is the launch?")]).passages(vec![passage]);
/// let ada = Scope::user("ada")?;
/// let answer = ExtractiveLlm::new().complete(&ada, request).await?.text;
/// assert!(answer.contains("The launch is on 3 May. [1]"));
/// assert!(answer.contains("launch.md"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ExtractiveLlm;

/// The model's name.
const MODEL: &str = "extractive-v1";
/// About how many bytes come at a time.
const PIECE_BYTES: usize = 48;

impl ExtractiveLlm {
    /// The stand-in; it has no settings.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl LlmProvider for ExtractiveLlm {
    fn model(&self) -> &str {
        MODEL
    }

    /// Refuses what it has nothing for: a form of the answer, a tool that must be called, images and documents. Options
    /// that would change nothing (temperature, seed, effort, a longest answer, stops) are taken; it always ends by itself.
    fn check(&self, request: &LlmRequest) -> Result<(), LlmError> {
        request.check_options()?;
        let unsupported = |kind, context| Err(LlmError::new(kind, "check", context));
        let options = &request.options;
        if options.response_schema.is_some()
            || matches!(options.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)))
        {
            let context = "ExtractiveLlm quotes, and has no response_schema and no tool_choice but auto and none";
            return unsupported(LlmErrorKind::OptionUnsupported, context);
        }
        if request.messages.iter().any(|message| !message.parts().is_empty()) {
            let context = "ExtractiveLlm reads no images and documents; put documents into the memory";
            return unsupported(LlmErrorKind::ContentUnsupported, context);
        }
        Ok(())
    }

    async fn stream(&self, _scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        self.check(&request)?;
        let (text, tool_calls) = answer(&request);
        let finish = if tool_calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        let mut events: Vec<_> = pieces(&text).map(|piece| Ok(LlmEvent::Text(piece.to_owned()))).collect();
        let usage = TokenUsage::default();
        events.push(Ok(LlmEvent::Finished(LlmResponse { text, tool_calls, finish, usage, model: MODEL.to_owned() })));
        Ok(Box::pin(stream::iter(events)))
    }
}

fn answer(request: &LlmRequest) -> (String, Vec<crate::llm::ToolCall>) {
    if let Some(LlmMessage::Tool { .. }) = request.messages.last() {
        return (results(&request.messages), Vec::new());
    }
    let question = request.messages.iter().rev().find_map(|message| match message {
        LlmMessage::User { text, .. } => Some(text.as_str()),
        _ => None,
    });
    // What was asked before and never answered stands above it.
    let question = question.unwrap_or_default().rsplit(SEPARATOR).next().unwrap_or_default();
    let tools = if request.options.tool_choice == Some(ToolChoice::None) { &[] } else { &request.tools[..] };
    match Command::read(question, tools) {
        Some(Command::Call(call)) => (String::new(), vec![call]),
        Some(Command::Explain(text)) => (text, Vec::new()),
        None => (quotes::answer(question, &request.passages), Vec::new()),
    }
}

/// What the tools that were called last answered.
fn results(messages: &[LlmMessage]) -> String {
    let called = messages.iter().rev().take_while(|message| matches!(message, LlmMessage::Tool { .. })).count();
    let results: Vec<String> = messages[messages.len() - called..]
        .iter()
        .filter_map(|message| match message {
            LlmMessage::Tool { name, content, is_error: true, .. } => Some(format!("{name} failed: {content}")),
            LlmMessage::Tool { name, content, .. } => Some(format!("{name} answered: {content}")),
            _ => None,
        })
        .collect();
    results.join("\n\n")
}

/// The text in pieces that end after white space where they can.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let near = rest.ceil_char_boundary(PIECE_BYTES);
        let end =
            rest[near..].find(char::is_whitespace).filter(|&gap| gap < PIECE_BYTES).map_or(near, |gap| near + gap);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_text() {
        for text in ["", "short", &"word and 打ち上げは五月三日です。".repeat(40)] {
            assert_eq!(pieces(text).collect::<String>(), text);
            assert!(pieces(text).all(|piece| !piece.is_empty() && piece.len() <= 2 * PIECE_BYTES + 4));
        }
    }
}

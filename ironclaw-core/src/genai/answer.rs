//! An answer as it comes together, whatever protocol its pieces are in.

use serde_json::Value;

use super::calls::{Calls, Piece};
use super::failure::{Failure, beginning, ended_by};
use super::frames::{ANSWER_BYTES, too_long};
use crate::llm::{FinishReason, LlmErrorKind, LlmResponse, TokenUsage};

/// What came of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    text: String,
    /// How much of the text was given on.
    given: usize,
    calls: Calls,
    /// The bytes of text and calls.
    bytes: usize,
    /// The characters of reasoning, which are counted and not kept.
    reasoned: u64,
    finish: Option<FinishReason>,
    refused: bool,
    done: bool,
    usage: TokenUsage,
    model: Option<String>,
    /// What the service said about its end, for an error's message.
    why: String,
}

const DIFFERENT: &str = "the whole answer is not what its pieces were";

impl Answer {
    /// Adds text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.grow(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// Notes reasoning.
    pub(super) fn reasoning(&mut self, text: &str) {
        self.reasoned = self.reasoned.saturating_add(text.chars().count() as u64);
    }

    /// Adds a piece of a call.
    pub(super) fn call(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        let name = piece.name.map_or(0, str::len) + piece.id.map_or(0, str::len);
        self.grow(name + piece.arguments.len())?;
        self.calls.push(piece)
    }

    /// Notes all of the text, after its pieces or in place of them, and all calls if none came.
    ///
    /// # Errors
    /// If what came in pieces was something else. Blanks around a part don't count, which some services trim.
    pub(super) fn whole(&mut self, parts: &[&str], calls: Vec<Piece<'_>>) -> Result<(), Failure> {
        let before = self.part(parts)?;
        if !before.trim().is_empty() && parts.iter().any(|part| !part.trim().is_empty()) {
            return Err(Failure::malformed(DIFFERENT, &parts.concat()));
        }
        match (calls.is_empty(), self.has_calls()) {
            (true, _) => Ok(()),
            (false, true) => self.calls.check(&calls),
            (false, false) => calls.into_iter().try_for_each(|call| self.call(call)),
        }
    }

    /// Notes a part of the text that ends here, after its pieces or in place of them, and says what came before it.
    pub(super) fn part(&mut self, parts: &[&str]) -> Result<&str, Failure> {
        if self.text.is_empty() {
            parts.iter().try_for_each(|part| self.text(part))?;
            return Ok("");
        }
        let mut rest = self.text.as_str();
        for part in parts.iter().rev().map(|part| part.trim()).filter(|part| !part.is_empty()) {
            rest = rest.trim_end().strip_suffix(part).ok_or_else(|| Failure::malformed(DIFFERENT, part))?;
        }
        Ok(rest)
    }

    /// Notes all arguments of the call with this index, after their pieces or in place of them.
    pub(super) fn arguments(&mut self, index: Option<u64>, arguments: &str) -> Result<(), Failure> {
        self.grow(arguments.len())?;
        self.calls.complete(index, arguments)
    }

    /// Notes what the service says about the answer's end besides its word for it.
    pub(super) fn explain(&mut self, why: Option<&str>) {
        if let Some(why) = why.map(str::trim).filter(|why| !why.is_empty()) {
            self.why = format!(": {}", beginning(why));
        }
    }

    /// Notes why the answer ended, in the service's word. An empty word says nothing, as services send with every piece.
    ///
    /// # Errors
    /// For a word that says that the answer failed.
    pub(super) fn finish(&mut self, word: &str) -> Result<(), Failure> {
        let reason = match word.to_ascii_lowercase().as_str() {
            "" | "null" | "finish_reason_unspecified" => return Ok(()),
            "stop" | "end_turn" | "stop_sequence" | "eos" | "eos_token" | "complete" | "completed" | "done" => {
                FinishReason::Stop
            }
            "tool_calls" | "tool_use" | "function_call" => FinishReason::ToolCalls,
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "max_length"
            | "model_length"
            | "model_context_window_exceeded" => FinishReason::Length,
            "content_filter"
            | "filtered"
            | "refusal"
            | "safety"
            | "recitation"
            | "language"
            | "blocklist"
            | "sensitive"
            | "prohibited_content"
            | "spii"
            | "image_safety"
            | "guardrail_intervened" => FinishReason::Filtered,
            "error"
            | "failed"
            | "abort"
            | "aborted"
            | "cancelled"
            | "network_error"
            | "insufficient_system_resource" => {
                return Err(Failure::new(
                    LlmErrorKind::Unreachable,
                    format!("{} ({word}){}", ended_by(self.has_begun()), self.why),
                ));
            }
            "malformed_function_call" | "unexpected_tool_call" | "too_many_tool_calls" | "malformed_response" => {
                let context =
                    format!("the model's call of a tool could not be read by its service ({word}){}", self.why);
                return Err(Failure::new(LlmErrorKind::MalformedAnswer, context));
            }
            _ => FinishReason::from(word.to_owned()),
        };
        // A cut or withheld answer stays one, whatever is said after it.
        let telling = |reason: &FinishReason| match reason {
            FinishReason::Filtered => 2,
            FinishReason::Length => 1,
            _ => 0,
        };
        if self.finish.as_ref().is_none_or(|known| telling(&reason) >= telling(known)) {
            self.finish = Some(reason);
        }
        Ok(())
    }

    /// Notes that the text is the model's refusal to answer.
    pub(super) fn refused(&mut self) {
        self.refused = true;
    }

    /// Notes that the last marker came.
    pub(super) fn done(&mut self) {
        self.done = true;
    }

    /// Notes the model that answers, if the value names one.
    pub(super) fn model(&mut self, name: Option<&Value>) {
        let name = name.and_then(Value::as_str).filter(|name| !name.is_empty() && name.len() <= 256);
        if let (None, Some(name)) = (&self.model, name) {
            self.model = Some(name.to_owned());
        }
    }

    /// Notes counts of tokens; a later one counts.
    pub(super) fn usage(&mut self, input: Option<u64>, output: Option<u64>) {
        self.usage.input = input.or(self.usage.input);
        self.usage.output = output.or(self.usage.output);
    }

    /// The text that nobody was given yet.
    pub(super) fn news(&mut self) -> Option<String> {
        let news = &self.text[self.given..];
        (!news.is_empty()).then(|| {
            self.given = self.text.len();
            news.to_owned()
        })
    }

    /// All the text so far.
    pub(super) fn said(&self) -> &str {
        &self.text
    }

    /// Whether there are calls.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether a part of the answer came.
    pub(super) fn has_begun(&self) -> bool {
        !self.text.is_empty() || self.has_calls() || self.reasoned > 0
    }

    /// Whether nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the service said why the answer ended.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The whole answer.
    ///
    /// # Errors
    /// An answer that broke off, that is empty, or whose calls can't be understood.
    pub(super) fn into_response(self, asked: &str) -> Result<LlmResponse, Failure> {
        if !self.done && self.finish.is_none() {
            return Err(Failure::broken_off());
        }
        let tool_calls = self.calls.finish()?;
        if tool_calls.is_empty() {
            if self.finish == Some(FinishReason::ToolCalls) {
                return Err(Failure::new(LlmErrorKind::MalformedAnswer, "tools are to be called, but none is named"));
            }
            if self.text.trim().is_empty() {
                return Err(empty(self.finish.as_ref(), self.reasoned, &self.why));
            }
        }
        let finish = match self.finish {
            _ if self.refused => FinishReason::Filtered,
            Some(cut @ (FinishReason::Length | FinishReason::Filtered)) => cut,
            _ if !tool_calls.is_empty() => FinishReason::ToolCalls,
            Some(finish) => finish,
            None => FinishReason::Stop,
        };
        let model = self.model.unwrap_or_else(|| asked.to_owned());
        Ok(LlmResponse { text: self.text, tool_calls, finish, usage: self.usage, model })
    }

    fn grow(&mut self, by: usize) -> Result<(), Failure> {
        self.bytes += by;
        if self.bytes > ANSWER_BYTES { Err(too_long()) } else { Ok(()) }
    }
}

/// What an answer with neither text nor calls is, and what to do about it.
fn empty(finish: Option<&FinishReason>, reasoned: u64, why: &str) -> Failure {
    let cut = finish == Some(&FinishReason::Length);
    let (kind, context) = match reasoned {
        _ if finish == Some(&FinishReason::Filtered) => {
            (LlmErrorKind::Filtered, "the service withheld all of the answer".to_owned())
        }
        0 if cut => (LlmErrorKind::EmptyAnswer, "the token limit was reached before any text; raise it".to_owned()),
        _ if *finish.unwrap_or(&FinishReason::Stop) == FinishReason::Other("load".to_owned()) => {
            (LlmErrorKind::Unreachable, "the service only loaded the model, and answered nothing; ask again".to_owned())
        }
        0 => (LlmErrorKind::EmptyAnswer, "it has neither text nor tool calls".to_owned()),
        n if cut => {
            let context = format!(
                "the token limit was reached after {n} characters of reasoning and before any text; raise it, or lower \
                 the reasoning effort"
            );
            (LlmErrorKind::EmptyAnswer, context)
        }
        n => (LlmErrorKind::EmptyAnswer, format!("it is reasoning alone ({n} characters), without text or tool calls")),
    };
    Failure::new(kind, context + why)
}

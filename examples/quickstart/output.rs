//! What the user sees: text, or one JSON object per answer.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use futures::StreamExt;
use ironclaw_core::agent::{AgentEvent, Reply};
use ironclaw_core::id::ConversationId;
use ironclaw_core::llm::FinishReason;
use ironclaw_core::model::conversations::Role;
use ironclaw_core::{AgentStore, PageRequest};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::find::LeftOut;
use crate::host::{Folder, Host};
use crate::ingest::Report;
use crate::sources::{Source, relative};

/// How many skipped files are named before the rest is only counted.
const SKIPPED_SHOWN: usize = 20;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Something worth knowing that is no answer: on standard error, if anybody reads it.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", visible(text));
    }

    /// Text for people, on standard output.
    fn print(&self, text: &str) -> Result<(), Failure> {
        write(&visible(text))
    }

    pub(crate) fn ingested(&self, source: &Source, report: &Report) {
        let name = one_line(&source.path);
        let Report { written, unchanged, deleted, dropped, chunks, skipped, left_out } = report;
        let mut text = format!("{name}: {written} files read into {chunks} chunks, {unchanged} unchanged");
        if *deleted > 0 {
            text.push_str(&format!(", {deleted} gone"));
        }
        if *dropped > 0 {
            text.push_str(&format!(", {dropped} read before and left out now"));
        }
        let LeftOut { hidden, ignored } = left_out;
        let reasons = [(hidden, "hidden (--hidden reads them)"), (ignored, "ignored (--no-ignore reads them)")];
        let reasons = reasons.iter().filter(|(count, _)| **count > 0);
        let reasons: Vec<String> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
        if !reasons.is_empty() {
            text.push_str(&format!(", {} left out: {}", hidden + ignored, reasons.join(", ")));
        }
        if !skipped.is_empty() {
            text.push_str(&format!(", {} skipped:", skipped.len()));
        }
        self.note(&text);
        let shown = if self.json { skipped.len() } else { SKIPPED_SHOWN };
        for file in skipped.iter().take(shown) {
            self.note(&format!("  {}: {}", one_line(&file.path), file.reason));
        }
        if skipped.len() > shown {
            self.note(&format!("  and {} more (--json lists all of them)", skipped.len() - shown));
        }
    }

    /// Asks and prints the answer.
    pub(crate) async fn answer(
        &self,
        host: &Host,
        conversation: ConversationId,
        question: &str,
    ) -> Result<(), Failure> {
        if self.json {
            let reply = host.agent.send(&host.scope, conversation, question).await?;
            return write(&format!("{}\n", answer_json(&reply)));
        }
        let mut events = host.agent.stream(&host.scope, conversation, question);
        while let Some(event) = events.next().await {
            match event? {
                AgentEvent::Text(text) => self.print(&text)?,
                AgentEvent::Finished(reply) => self.print(&sources(&reply))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Asks what was not typed at the prompt: the question is shown before the answer.
    pub(crate) async fn ask(&self, host: &Host, conversation: ConversationId, question: &str) -> Result<(), Failure> {
        if !self.json {
            self.print(&format!("> {question}\n\n"))?;
        }
        self.answer(host, conversation, question).await
    }

    pub(crate) async fn history(&self, folder: &Folder) -> Result<(), Failure> {
        let mut page = PageRequest::default();
        loop {
            let conversations = folder.store.conversations().conversations(&folder.scope, &page).await?;
            for conversation in &conversations.items {
                self.conversation(folder, conversation).await?;
            }
            match conversations.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(()),
            }
        }
    }

    async fn conversation(
        &self,
        folder: &Folder,
        conversation: &ironclaw_core::model::conversations::Conversation,
    ) -> Result<(), Failure> {
        let mut messages = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let found = folder.store.conversations().messages(&folder.scope, conversation.id, &page).await?;
            messages.extend(found.items);
            match found.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        if self.json {
            return write(&format!("{}\n", json!({ "conversation": conversation, "messages": messages })));
        }
        let mut text = format!("{} (started {})\n", conversation.id, conversation.created_at);
        for message in &messages {
            let (at, message) = (message.created_at, &message.message);
            let who = match message.role {
                Role::User => "you",
                Role::Assistant => "agent",
                Role::System => "system",
                Role::Tool => "tool",
            };
            if !message.content.is_empty() {
                text.push_str(&format!("  {at} {who}: {}\n", message.content.replace('\n', "\n    ")));
            }
            for call in &message.tool_calls {
                text.push_str(&format!("  {at} {who} called {} with {}\n", call.name, call.arguments));
            }
        }
        self.print(&text)
    }
}

/// Writes all of it out to standard output.
fn write(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|error| Failure::output(&error))
}

/// Text as a terminal may see it: a file's control characters can't move the cursor or hide what is there.
fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => visible.push(character),
            // A line that ends as on Windows ends as here.
            '\r' if characters.peek() == Some(&'\n') => {}
            _ if is_hidden(character) => visible.push('\u{fffd}'),
            _ => visible.push(character),
        }
    }
    visible
}

/// A path that stays on its line.
fn one_line(path: &Path) -> String {
    path.to_string_lossy().replace(is_hidden, "\u{fffd}")
}

/// Control characters, and those that turn the order of what follows around (Unicode's UAX #9).
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn sources(reply: &Reply) -> String {
    let mut text = "\n".to_owned();
    match reply.finish {
        FinishReason::Length => text.push_str("[cut: the model reached its token limit]\n"),
        FinishReason::Filtered => text.push_str("[cut: the service or the model withheld the rest]\n"),
        _ => {}
    }
    if !reply.citations.is_empty() {
        text.push_str("\nSources:\n");
    }
    for citation in &reply.citations {
        let (number, passage) = (citation.number, &citation.passage);
        let line = match &citation.message {
            Some(message) => {
                format!("  [{number}] message {} of conversation {}\n", message.sequence, message.conversation)
            }
            None => {
                let path = one_line(passage.path.as_str().as_ref());
                let (start, end, score) = (passage.start, passage.end, passage.score);
                format!("  [{number}] {path}, bytes {start} to {end} (score {score:.2})\n")
            }
        };
        text.push_str(&line);
    }
    for omission in &reply.degraded {
        text.push_str(&format!("Note: {omission}.\n"));
    }
    for call in &reply.tool_calls {
        text.push_str(&format!("Tool: {} {} → {}\n", call.name, call.arguments, json!(call.outcome)));
    }
    text
}

fn answer_json(reply: &Reply) -> Value {
    // Earlier messages that are cited are no files: they stand in the answer only.
    let files: Vec<_> = reply.citations.iter().filter(|citation| citation.message.is_none()).collect();
    let cited = reply.citations.iter().flat_map(|cited| {
        let number = files.iter().position(|file| file.number == cited.number);
        cited.places.iter().map(move |place| (place.clone(), number))
    });
    let answer = renumbered(&reply.text, cited);
    let citations: Vec<Value> = files
        .iter()
        .map(|citation| {
            let passage = &citation.passage;
            json!({
                "path": relative(&passage.path),
                "start": passage.start,
                "end": passage.end,
                "text": passage.text,
                "score": passage.score,
            })
        })
        .collect();
    let tool_calls: Vec<Value> = reply
        .tool_calls
        .iter()
        .map(|call| json!({ "name": call.name, "arguments": call.arguments, "outcome": json!(call.outcome) }))
        .collect();
    json!({
        "answer": answer,
        "citations": citations,
        "tool_calls": tool_calls,
        "model": reply.model,
        "finish": reply.finish,
        "conversation": reply.conversation,
        "degraded": reply.degraded,
        "timings_ms": reply.timings,
    })
}

/// The answer with each number that it cites as its place in the list of citations, from 1; an earlier message has none.
fn renumbered(answer: &str, cited: impl Iterator<Item = (Range<usize>, Option<usize>)>) -> String {
    let mut cited: Vec<_> = cited.collect();
    cited.sort_by_key(|(place, _)| place.start);
    let (mut text, mut at) = (String::with_capacity(answer.len()), 0);
    for (place, number) in cited {
        text.push_str(&answer[at..place.start]);
        text.push_str(&number.map_or("earlier message".to_owned(), |number| (number + 1).to_string()));
        at = place.end;
    }
    text + &answer[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_the_answer_are_places_in_the_citations() {
        let answer = "五 [4], b [2][4], [7, 2], [9].";
        let place = |at: usize| at..at + 1;
        let cited = [(5, Some(0)), (15, Some(0)), (12, Some(1)), (23, Some(1)), (20, None)];
        let shown = renumbered(answer, cited.into_iter().map(|(at, number)| (place(at), number)));
        assert_eq!(shown, "五 [1], b [2][1], [earlier message, 2], [9].");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[2J\tb\r\nc\rd\u{9b}"), "a\u{fffd}[2J\tb\nc\u{fffd}d\u{fffd}");
        assert_eq!(one_line(Path::new("a\nb\u{7}")), "a\u{fffd}b\u{fffd}");
        assert_eq!(one_line(Path::new("bidi\u{202e}gpj.md")), "bidi\u{fffd}gpj.md");
    }
}

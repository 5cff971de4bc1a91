//! What the user sees: text, or one JSON object per answer.

use std::io::Write;

use futures::StreamExt;
use ironclaw_core::agent::{AgentEvent, Reply};
use ironclaw_core::id::ConversationId;
use ironclaw_core::model::conversations::Role;
use ironclaw_core::{PageRequest, Store};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::host::Host;
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

    /// Something worth knowing that is no answer: on standard error.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    pub(crate) fn ingested(&self, source: &Source, report: &Report) {
        let name = source.path.display();
        let Report { written, unchanged, deleted, chunks, skipped } = report;
        let mut text = format!("{name}: {written} files read into {chunks} chunks, {unchanged} unchanged");
        if *deleted > 0 {
            text.push_str(&format!(", {deleted} gone"));
        }
        if !skipped.is_empty() {
            text.push_str(&format!(", {} skipped:", skipped.len()));
        }
        self.note(&text);
        let shown = if self.json { skipped.len() } else { SKIPPED_SHOWN };
        for file in skipped.iter().take(shown) {
            self.note(&format!("  {}: {}", file.path.display(), file.reason));
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
            println!("{}", answer_json(&reply));
            return Ok(());
        }
        println!("> {question}\n");
        let mut events = host.agent.stream(&host.scope, conversation, question);
        while let Some(event) = events.next().await {
            match event? {
                AgentEvent::Text(text) => {
                    print!("{text}");
                    std::io::stdout().flush()?;
                }
                AgentEvent::Finished(reply) => print_sources(&reply),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn history(&self, host: &Host) -> Result<(), Failure> {
        let mut page = PageRequest::default();
        loop {
            let conversations = host.store.conversations().conversations(&host.scope, &page).await?;
            for conversation in &conversations.items {
                self.conversation(host, conversation).await?;
            }
            match conversations.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(()),
            }
        }
    }

    async fn conversation(
        &self,
        host: &Host,
        conversation: &ironclaw_core::model::conversations::Conversation,
    ) -> Result<(), Failure> {
        let mut messages = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let found = host.store.conversations().messages(&host.scope, conversation.id, &page).await?;
            messages.extend(found.items);
            match found.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        if self.json {
            println!("{}", json!({ "conversation": conversation, "messages": messages }));
            return Ok(());
        }
        println!("{} (started {})", conversation.id, conversation.created_at);
        for message in &messages {
            let who = match message.message.role {
                Role::User => "you",
                Role::Assistant => "agent",
                Role::System => "system",
                Role::Tool => "tool",
            };
            if !message.message.content.is_empty() {
                println!("  {} {who}: {}", message.created_at, message.message.content.replace('\n', "\n    "));
            }
            for call in &message.message.tool_calls {
                println!("  {} {who} called {} with {}", message.created_at, call.name, call.arguments);
            }
        }
        Ok(())
    }
}

fn print_sources(reply: &Reply) {
    println!();
    if !reply.citations.is_empty() {
        println!("\nSources:");
    }
    for citation in &reply.citations {
        let (number, passage) = (citation.number, &citation.passage);
        match &citation.message {
            Some(message) => {
                println!("  [{number}] message {} of conversation {}", message.sequence, message.conversation)
            }
            None => println!(
                "  [{number}] {}, bytes {} to {} (score {:.2})",
                passage.path, passage.start, passage.end, passage.score
            ),
        }
    }
    for call in &reply.tool_calls {
        println!("Tool: {} {} → {}", call.name, call.arguments, json!(call.outcome));
    }
}

fn answer_json(reply: &Reply) -> Value {
    // Earlier messages that are cited are no files: they stand in the answer only.
    let files = reply.citations.iter().filter(|citation| citation.message.is_none());
    let citations: Vec<Value> = files
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
        "answer": reply.text,
        "citations": citations,
        "tool_calls": tool_calls,
        "model": reply.model,
        "conversation": reply.conversation,
        "timings_ms": reply.timings,
    })
}

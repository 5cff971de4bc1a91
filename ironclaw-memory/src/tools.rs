//! The tools through which an agent uses a memory.

use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::memory::{MemoryError, MemoryErrorKind, SearchQuery};
use ironclaw_core::omission::Omission;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::tool::{ToolError, ToolErrorKind, ToolOutput, ToolSpec};
use ironclaw_core::{Cursor, Memory, PageRequest, Scope, Tool};
use serde_json::{Value, json};

mod arguments;
mod specs;
mod window;

use arguments::{Arguments, invalid};
use window::{Window, window};

/// The most passages of one call.
const PASSAGES: u64 = 20;
/// The longest text of a passage, in bytes; what is longer is cut and can be read on.
const PASSAGE_BYTES: usize = 4 << 10;
/// The most bytes of one reading, and how many it is if the model does not say.
const READ_BYTES: u64 = 64 << 10;
const READ_BYTES_DEFAULT: u64 = 16 << 10;
/// The largest text that is written.
const WRITE_BYTES: usize = 1 << 20;
/// The most files of one listing.
const FILES: u64 = 100;

pub(crate) fn tools(memory: Arc<dyn Memory>) -> Vec<Arc<dyn Tool>> {
    let all = [
        (Action::Search, specs::search()),
        (Action::Read, specs::read()),
        (Action::Write, specs::write()),
        (Action::List, specs::list()),
    ];
    let tool = |(action, spec)| Arc::new(MemoryTool { memory: Arc::clone(&memory), action, spec }) as Arc<dyn Tool>;
    all.into_iter().map(tool).collect()
}

#[derive(Debug)]
struct MemoryTool {
    memory: Arc<dyn Memory>,
    action: Action,
    spec: ToolSpec,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Search,
    Read,
    Write,
    List,
}

#[async_trait]
impl Tool for MemoryTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let arguments = Arguments::new(arguments)?;
        let value = match self.action {
            Action::Search => self.search(scope, arguments).await,
            Action::Read => self.read(scope, arguments).await,
            Action::Write => self.write(scope, arguments).await,
            Action::List => self.list(scope, arguments).await,
        };
        value.map(ToolOutput::new)
    }
}

impl MemoryTool {
    async fn search(&self, scope: &Scope, mut arguments: Arguments) -> Result<Value, ToolError> {
        let mut query = SearchQuery::new(arguments.text("query")?);
        query.limit = usize::try_from(arguments.number("limit", 1, PASSAGES)?.unwrap_or(8)).unwrap_or(1);
        query.prefix = arguments.path("prefix")?;
        arguments.done()?;
        let mut found = self.memory.search(scope, &query).await.map_err(failed)?;
        let long = found.passages.iter().filter(|passage| passage.text.len() > PASSAGE_BYTES).count();
        if long > 0 {
            found.degraded.push(Omission::PassageStarts { passages: long, bytes: PASSAGE_BYTES }.to_string());
        }
        let passages = found.passages.into_iter().map(|passage| {
            let text = &passage.text[..passage.text.floor_char_boundary(PASSAGE_BYTES)];
            let (path, start, end) = (passage.path.as_str(), passage.start, passage.start + text.len() as u64);
            json!({"path": path, "start": start, "end": end, "score": passage.score, "text": text})
        });
        let mut answer = json!({"passages": passages.collect::<Vec<_>>()});
        if !found.degraded.is_empty() {
            answer["degraded"] = found.degraded.into();
        }
        Ok(answer)
    }

    async fn read(&self, scope: &Scope, mut arguments: Arguments) -> Result<Value, ToolError> {
        let path = arguments.required_path("path")?;
        let offset = arguments.number("offset", 0, u64::MAX)?.unwrap_or(0);
        let bytes = arguments.number("max_bytes", 16, READ_BYTES)?.unwrap_or(READ_BYTES_DEFAULT);
        arguments.done()?;
        let entry = self.memory.entry(scope, &path).await.map_err(failed)?;
        let content = self.memory.read(scope, &path, offset, offset.saturating_add(bytes)).await.map_err(failed)?;
        let (Some(entry), Some(content)) = (entry, content) else {
            let advice = "there is no file at this path; memory_list shows the paths there are";
            return Err(ToolError::new(ToolErrorKind::Failed, "memory_read", advice));
        };
        let end = offset.saturating_add(content.len() as u64);
        let mut answer = json!({"path": path.as_str(), "size": entry.size});
        match window(&content, offset > 0, end < entry.size) {
            Window::Binary => {
                answer["binary"] = true.into();
                answer["note"] = "these bytes are not text and can't be shown".into();
            }
            Window::Text { skipped, text } => {
                let start = offset.saturating_add(skipped as u64);
                let next = start.saturating_add(text.len() as u64);
                answer["offset"] = start.into();
                answer["text"] = text.into();
                if next < entry.size && !text.is_empty() {
                    answer["next_offset"] = next.into();
                }
            }
        }
        Ok(answer)
    }

    async fn write(&self, scope: &Scope, mut arguments: Arguments) -> Result<Value, ToolError> {
        let path = arguments.required_path("path")?;
        let content = arguments.text("content")?;
        arguments.done()?;
        if content.len() > WRITE_BYTES {
            return Err(invalid(format!(
                "`content` must have at most {WRITE_BYTES} bytes; split it into several files"
            )));
        }
        // What the host keeps with a file is not the model's to drop.
        let old = self.memory.entry(scope, &path).await.map_err(failed)?;
        let metadata = old.map_or(Value::Null, |entry| entry.metadata);
        let written = self.memory.write(scope, &path, content.as_bytes(), metadata).await.map_err(failed)?;
        Ok(json!({"path": path.as_str(), "size": written.entry.size, "changed": written.changed}))
    }

    async fn list(&self, scope: &Scope, mut arguments: Arguments) -> Result<Value, ToolError> {
        let prefix = arguments.path("prefix")?;
        let limit = u32::try_from(arguments.number("limit", 1, FILES)?.unwrap_or(FILES)).unwrap_or(1);
        let cursor = arguments.optional_text("cursor")?;
        arguments.done()?;
        let mut page = PageRequest::first(limit).map_err(|refused| invalid(refused.to_string()))?;
        if let Some(cursor) = cursor {
            page = page.after(Cursor::new(cursor));
        }
        let page = self.memory.list(scope, prefix.as_ref(), &page).await.map_err(failed)?;
        let file = |entry: &ironclaw_core::model::workspace::Entry| json!({"path": entry.path.as_str(), "size": entry.size, "updated_at": entry.updated_at.to_string()});
        let mut answer = json!({"files": page.items.iter().map(file).collect::<Vec<_>>()});
        if let Some(next) = page.next {
            answer["next_cursor"] = next.as_str().into();
        }
        Ok(answer)
    }
}

/// What a memory's failure is for a tool's caller.
fn failed(error: MemoryError) -> ToolError {
    match error.kind() {
        MemoryErrorKind::InvalidInput => invalid(match error.input() {
            Some(input) => input.to_string(),
            None => error.without_cause(),
        }),
        _ => {
            let (kind, context) = match store_kind(&error).and_then(obstacle) {
                Some((kind, obstacle)) => (kind, obstacle),
                None => (ToolErrorKind::Unavailable, "the memory failed; try again"),
            };
            ToolError::new(kind, "memory", context).with_source(error)
        }
    }
}

/// How the store failed, if it was the store.
fn store_kind(error: &MemoryError) -> Option<&StoreErrorKind> {
    error.cause().and_then(|cause| cause.downcast_ref()).map(StoreError::kind)
}

/// What stands in the way of a call, if trying again does not help. Where the store is and what else its error tells are
/// not for the model, which has no use for them: they stay in the source.
fn obstacle(kind: &StoreErrorKind) -> Option<(ToolErrorKind, &'static str)> {
    use ToolErrorKind::{Denied, Failed};
    Some(match kind {
        StoreErrorKind::LegalHold => (
            Denied,
            "a legal hold stands on the user: what is there can't be changed or deleted; new files can be written",
        ),
        StoreErrorKind::Denied => (Denied, "whoever calls may not do that"),
        StoreErrorKind::Suspended => (Denied, "the user is suspended"),
        StoreErrorKind::QuotaExceeded => (Denied, "the user's quota is used up"),
        StoreErrorKind::InvalidInput(_) => (Failed, "the store refused the input"),
        StoreErrorKind::NotFound => (Failed, "what it is about is not there any more"),
        StoreErrorKind::AlreadyExists => (Failed, "it is there already"),
        StoreErrorKind::PreconditionFailed => (Failed, "something changed meanwhile; read it again"),
        StoreErrorKind::ReadOnly => (Failed, "the store can only be read; nothing can be written"),
        StoreErrorKind::Full => (Failed, "the store is full; nothing can be written"),
        StoreErrorKind::Closed => (Failed, "the store was closed"),
        StoreErrorKind::Corrupt => (Failed, "the data is damaged; an operator must see to it"),
        StoreErrorKind::NewerSchema
        | StoreErrorKind::NotMigrated
        | StoreErrorKind::NotAStore
        | StoreErrorKind::UnsupportedVersion
        | StoreErrorKind::MissingExtension
        | StoreErrorKind::Credentials
        | StoreErrorKind::Privileges
        | StoreErrorKind::UntrustedServer
        | StoreErrorKind::FileMoved
        | StoreErrorKind::Exposed => (Failed, "the store can't be used as it is; an operator must see to it"),
        // The rest passes, or may: an outage, a race, a lock.
        _ => return None,
    })
}

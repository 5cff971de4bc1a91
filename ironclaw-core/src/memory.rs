//! What an agent remembers: a workspace of files, searched by meaning and by words.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::embedder::EmbedError;
use crate::error::error_type;
use crate::forward::forward;
use crate::input::{InputError, parsed};
use crate::model::workspace::{Entry, WorkspacePath};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::setters::setters;
use crate::store::StoreError;
use crate::tool::Tool;

pub use crate::model::workspace::Passage;
mod ext;

pub use ext::MemoryExt;

/// A workspace that can be searched.
///
/// ```
/// use ironclaw_core::model::workspace::WorkspacePath;
/// use ironclaw_core::prelude::*;
/// use ironclaw_memory::{HashEmbedder, HybridMemory};
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let memory: Box<dyn Memory> = Box::new(HybridMemory::new(store, HashEmbedder::default()));
/// let path = WorkspacePath::parse("notes/plan.md")?;
/// memory.write(&ada, &path, b"We launch on Friday.", serde_json::json!({"by": "ada"})).await?;
///
/// let found = memory.search(&ada, &SearchQuery::new("When do we launch?").within("notes")?).await?;
/// assert_eq!(found.passages[0].text, "We launch on Friday.");
/// assert!(memory.delete(&ada, &path).await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Memory: Send + Sync + std::fmt::Debug {
    /// Writes a file and makes its text searchable. Nothing is embedded or written if content and metadata are what
    /// the file already holds, embedded with the model in use. Bytes that are not UTF-8 text are kept, and not searched.
    ///
    /// Readers see the old file or the new one, never a part. Dropping the future before the last step leaves the
    /// old file; after it, the new one.
    ///
    /// # Errors
    /// [`MemoryErrorKind::InvalidInput`], [`MemoryErrorKind::Embedding`] or [`MemoryErrorKind::Store`]; the old file
    /// stays.
    async fn write(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        content: &[u8],
        metadata: Value,
    ) -> Result<Written, MemoryError>;

    /// A file's entry, or `None`.
    ///
    /// # Errors
    /// [`MemoryErrorKind::Store`].
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, MemoryError>;

    /// The bytes of a file from `start` to `end` (both byte offsets; `end` beyond the file means its end), or `None`
    /// if there is no such file.
    ///
    /// # Errors
    /// [`MemoryErrorKind::InvalidInput`] if `start` exceeds `end`; [`MemoryErrorKind::Store`].
    async fn read(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>, MemoryError>;

    /// The files whose path is `prefix` or lies below it (all if absent), ordered by path bytes.
    ///
    /// # Errors
    /// [`MemoryErrorKind::Store`].
    async fn list(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, MemoryError>;

    /// Deletes a file with its chunks and vectors. Whether there was one.
    ///
    /// # Errors
    /// [`MemoryErrorKind::Store`].
    async fn delete(&self, scope: &Scope, path: &WorkspacePath) -> Result<bool, MemoryError>;

    /// The passages that fit the query best, best first; equal scores in the order of path and offset.
    ///
    /// # Errors
    /// [`MemoryErrorKind::InvalidInput`] for an empty query or one over the limit; [`MemoryErrorKind::Store`].
    /// A failed embedding is no error: the search falls back to full text and says so in
    /// [`SearchResults::degraded`], where all stands that it left out.
    async fn search(&self, scope: &Scope, query: &SearchQuery) -> Result<SearchResults, MemoryError>;

    /// The tools through which an agent uses this memory.
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
}

forward! {
    Memory:
    async fn write(&self, scope: &Scope, path: &WorkspacePath, content: &[u8], metadata: Value) -> Result<Written, MemoryError>;
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, MemoryError>;
    async fn read(&self, scope: &Scope, path: &WorkspacePath, start: u64, end: u64) -> Result<Option<Vec<u8>>, MemoryError>;
    async fn list(&self, scope: &Scope, prefix: Option<&WorkspacePath>, page: &PageRequest) -> Result<Page<Entry>, MemoryError>;
    async fn delete(&self, scope: &Scope, path: &WorkspacePath) -> Result<bool, MemoryError>;
    async fn search(&self, scope: &Scope, query: &SearchQuery) -> Result<SearchResults, MemoryError>;
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Written {
    /// The file as it is now.
    pub entry: Entry,
    /// Whether anything changed; if not, nothing was written or embedded.
    pub changed: bool,
    /// How many chunks were embedded.
    pub embedded: usize,
}

impl Written {
    /// What a write did to this file.
    pub fn new(entry: Entry, changed: bool, embedded: usize) -> Self {
        Self { entry, changed, embedded }
    }
}

/// What to search for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SearchQuery {
    /// The question or the words, in any language.
    pub text: String,
    /// The most passages. Default 10, at most 100.
    pub limit: usize,
    /// Only files whose path is this or lies below it.
    pub prefix: Option<WorkspacePath>,
}

setters! {
    SearchQuery:
    limit: usize,
    prefix: into Option<WorkspacePath>,
}

impl SearchQuery {
    /// Searches everything for `text`, for at most 10 passages.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), limit: 10, prefix: None }
    }

    /// The same search among the files at or below `prefix` only.
    ///
    /// # Errors
    /// What [`WorkspacePath::parse`] refuses.
    pub fn within(self, prefix: impl TryInto<WorkspacePath, Error: Into<InputError>>) -> Result<Self, InputError> {
        Ok(Self { prefix: Some(parsed(prefix)?), ..self })
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SearchResults {
    /// The passages, best first.
    pub passages: Vec<Passage>,
    /// What the search left out, and why, in the words of [`Omission`](crate::omission::Omission): a query that could not
    /// be embedded, words beyond [`Limits::query_terms`](crate::Limits::query_terms). Empty if nothing was.
    pub degraded: Vec<String>,
}

impl SearchResults {
    /// These passages, and nothing left out.
    pub fn new(passages: Vec<Passage>) -> Self {
        Self { passages, degraded: Vec::new() }
    }
}

setters! {
    SearchResults:
    degraded: Vec<String>,
}

/// How the label of an earlier message begins, where one is shown as a [`Passage`].
pub(crate) const MESSAGES: &str = "conversations/";

/// Which way a memory failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemoryErrorKind {
    /// An argument was refused.
    #[error("invalid input")]
    InvalidInput,
    /// The texts could not be embedded.
    #[error("embedding failed")]
    Embedding,
    /// The store failed.
    #[error("store failed")]
    Store,
}

error_type! {
    /// Why a memory failed.
    MemoryError, MemoryErrorKind, retryable: [], causes: [StoreError, EmbedError]
}

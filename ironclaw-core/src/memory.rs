//! What an agent remembers: a workspace of files, searched by meaning and by words.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::error::error_type;
use crate::model::workspace::{Entry, WorkspacePath};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::tool::Tool;

/// A workspace that can be searched.
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

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Memory + ?Sized> Memory for Arc<T> {
    async fn write(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        content: &[u8],
        metadata: Value,
    ) -> Result<Written, MemoryError> {
        (**self).write(scope, path, content, metadata).await
    }

    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, MemoryError> {
        (**self).entry(scope, path).await
    }

    async fn read(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>, MemoryError> {
        (**self).read(scope, path, start, end).await
    }

    async fn list(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, MemoryError> {
        (**self).list(scope, prefix, page).await
    }

    async fn delete(&self, scope: &Scope, path: &WorkspacePath) -> Result<bool, MemoryError> {
        (**self).delete(scope, path).await
    }

    async fn search(&self, scope: &Scope, query: &SearchQuery) -> Result<SearchResults, MemoryError> {
        (**self).search(scope, query).await
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        (**self).tools()
    }
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file as it is now.
    pub entry: Entry,
    /// Whether anything changed; if not, nothing was written or embedded.
    pub changed: bool,
    /// How many chunks were embedded.
    pub embedded: usize,
}

/// What to search for.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    /// The question or the words, in any language.
    pub text: String,
    /// The most passages. Default 10, at most 100.
    pub limit: usize,
    /// Only files whose path is this or lies below it.
    pub prefix: Option<WorkspacePath>,
}

impl SearchQuery {
    /// Searches everything for `text`, for at most 10 passages.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), limit: 10, prefix: None }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResults {
    /// The passages, best first.
    pub passages: Vec<Passage>,
    /// What the search left out, and why, in the words of [`Omission`](crate::omission::Omission): a query that could not
    /// be embedded, words beyond [`Limits::query_terms`](crate::Limits::query_terms). Empty if nothing was.
    pub degraded: Vec<String>,
}

/// How the label of an earlier message begins, where one is shown as a [`Passage`].
pub(crate) const MESSAGES: &str = "conversations/";

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The file.
    pub path: WorkspacePath,
    /// Where the passage starts, in bytes from the start of the file.
    pub start: u64,
    /// Where it ends, exclusive.
    pub end: u64,
    /// Exactly those bytes.
    pub text: String,
    /// How well it fits: 0 to 1, comparable within one search.
    pub score: f32,
}

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
    MemoryError, MemoryErrorKind
}

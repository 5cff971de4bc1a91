//! Workspace files: entries, their versions, and the chunks that are searched.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{ChunkId, EmbeddingModelId, VersionId};
use crate::input::{InputError, Problem, check_size, check_text};
use crate::setters::setters;

/// A path in a user's workspace: relative, `/` between its parts, no way to escape.
///
/// ```
/// use ironclaw_core::model::workspace::WorkspacePath;
///
/// assert!(WorkspacePath::parse("notes/2026/plan.md").is_ok());
/// for refused in ["", "/etc/passwd", "../up", "a//b", "a/./b", "a/", "c:\\x", "a\0b"] {
///     assert!(WorkspacePath::parse(refused).is_err(), "{refused:?}");
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspacePath(String);

impl WorkspacePath {
    /// The longest path, in bytes.
    pub const BYTES: usize = 4_096;

    /// Accepts 1 to [`Self::BYTES`] bytes of parts separated by single slashes, none of them `.` or `..`, without
    /// backslashes and control characters.
    ///
    /// # Errors
    /// An [`InputError`] on the field `path`.
    pub fn parse(text: impl Into<String>) -> Result<Self, InputError> {
        let text = text.into();
        if text.is_empty() {
            return Err(InputError::new("path", Problem::Empty));
        }
        check_text("path", &text, Self::BYTES)?;
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(InputError::new("path", Problem::Control { at }));
        }
        if text.contains('\\') || text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let expected = "relative parts separated by single slashes, without `.`, `..` and backslashes";
            return Err(InputError::new("path", Problem::Malformed { expected }));
        }
        Ok(Self(text))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path is `prefix` or lies below it.
    pub fn is_within(&self, prefix: &Self) -> bool {
        self.0.strip_prefix(&prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for WorkspacePath {
    type Error = InputError;

    fn try_from(text: String) -> Result<Self, InputError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for WorkspacePath {
    type Error = InputError;

    fn try_from(text: &str) -> Result<Self, InputError> {
        Self::parse(text)
    }
}

impl TryFrom<&String> for WorkspacePath {
    type Error = InputError;

    fn try_from(text: &String) -> Result<Self, InputError> {
        Self::parse(text)
    }
}

impl From<&WorkspacePath> for WorkspacePath {
    fn from(path: &WorkspacePath) -> Self {
        path.clone()
    }
}

impl From<WorkspacePath> for String {
    fn from(path: WorkspacePath) -> String {
        path.0
    }
}

/// A file as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its path.
    pub path: WorkspacePath,
    /// The version that is visible.
    pub version: VersionId,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub content_hash: ContentHash,
    /// Whatever the host keeps with it: an object, or null.
    pub metadata: Value,
    /// The model of its chunks' embeddings, if they have any.
    pub embedding_model: Option<EmbeddingModelId>,
    /// How many chunks are searched.
    pub chunks: u64,
    /// When the path was first written.
    pub created_at: Timestamp,
    /// When this version was published.
    pub updated_at: Timestamp,
}

impl Entry {
    /// A file as it is when it was first published, with neither metadata nor chunks.
    pub fn new(
        path: WorkspacePath,
        version: VersionId,
        size: u64,
        content_hash: ContentHash,
        created_at: Timestamp,
    ) -> Self {
        Self {
            path,
            version,
            size,
            content_hash,
            metadata: Value::Null,
            embedding_model: None,
            chunks: 0,
            created_at,
            updated_at: created_at,
        }
    }
}

setters! {
    Entry:
    metadata: Value,
    embedding_model: into Option<EmbeddingModelId>,
    chunks: u64,
    updated_at: Timestamp,
}

/// A SHA-256 of content, as lower-case hex in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of these bytes.
    pub fn of(content: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(content).into())
    }

    /// The hash that is these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::hex::text(&self.0))
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = InputError;

    fn try_from(text: String) -> Result<Self, InputError> {
        let malformed = || InputError::new("content hash", Problem::Malformed { expected: "64 hex digits" });
        crate::hex::bytes(&text).map(Self).ok_or_else(malformed)
    }
}

/// A new version of a file: invisible until it is published.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NewVersion {
    /// Its id.
    pub id: VersionId,
    /// The file's path.
    pub path: WorkspacePath,
    /// Whatever the host keeps with it: an object, or null.
    pub metadata: Value,
    /// The model of the chunks' embeddings, which must have been registered; absent if the chunks have none.
    pub embedding_model: Option<EmbeddingModelId>,
}

impl NewVersion {
    /// A version of the file at this path, without metadata and embeddings.
    pub fn new(id: VersionId, path: WorkspacePath) -> Self {
        Self { id, path, metadata: Value::Null, embedding_model: None }
    }
}

setters! {
    NewVersion:
    metadata: Value,
    embedding_model: into Option<EmbeddingModelId>,
}

/// A piece of a version's content with the chunks that lie in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// Where the piece starts, in bytes from the start of the file. Parts are put in order, without gaps.
    pub offset: u64,
    /// The bytes: not empty, at most [`Limits::part_bytes`](crate::Limits::part_bytes).
    pub bytes: Vec<u8>,
    /// The chunks, each wholly within these bytes.
    pub chunks: Vec<NewChunk>,
}

impl Part {
    /// These bytes, of which nothing is searched.
    pub fn new(offset: u64, bytes: Vec<u8>) -> Self {
        Self { offset, bytes, chunks: Vec::new() }
    }
}

setters! {
    Part:
    chunks: Vec<NewChunk>,
}

impl Part {
    /// The text of the range from `start` to `end`, both in bytes from the start of the file: `None` unless it is a
    /// range of whole characters of UTF-8 text within this part, not empty.
    pub fn chunk_text(&self, start: u64, end: u64) -> Option<&str> {
        let start = usize::try_from(start.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(end.checked_sub(self.offset)?).ok()?;
        let bytes = self.bytes.get(start..end).filter(|bytes| !bytes.is_empty())?;
        std::str::from_utf8(bytes).ok()
    }
}

/// A piece of a file that is searched.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NewChunk {
    /// Its id.
    pub id: ChunkId,
    /// Where it starts, in bytes from the start of the file: at a character boundary of UTF-8 text.
    pub start: u64,
    /// Where it ends, exclusive, greater than `start`: at a character boundary.
    pub end: u64,
    /// Its vector, of the version's model; present exactly if the version has a model.
    pub embedding: Option<Vec<f32>>,
}

impl NewChunk {
    /// A chunk of the bytes from `start` to `end`, without a vector.
    pub fn new(id: ChunkId, start: u64, end: u64) -> Self {
        Self { id, start, end, embedding: None }
    }
}

setters! {
    NewChunk:
    embedding: into Option<Vec<f32>>,
}

/// Refuses a vector that is not of `dimensions` finite numbers.
///
/// # Errors
/// An [`InputError`] on the field `embedding`.
pub fn check_vector(vector: &[f32], dimensions: usize) -> Result<(), InputError> {
    check_size("embedding", vector.len(), dimensions, "dimensions")?;
    if vector.len() < dimensions {
        let expected = "as many numbers as the model has dimensions";
        return Err(InputError::new("embedding", Problem::Malformed { expected }));
    }
    if vector.iter().any(|x| !x.is_finite()) {
        return Err(InputError::new("embedding", Problem::OutOfRange { expected: "finite numbers" }));
    }
    Ok(())
}

/// A chunk that a search found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChunkHit {
    /// The chunk.
    pub chunk: ChunkId,
    /// BM25 with the user's own statistics, or cosine similarity; higher is better.
    pub score: f64,
}

impl ChunkHit {
    /// A chunk with its score.
    pub fn new(chunk: ChunkId, score: f64) -> Self {
        Self { chunk, score }
    }
}

/// A chunk's place and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChunkText {
    /// The chunk.
    pub chunk: ChunkId,
    /// The file.
    pub path: WorkspacePath,
    /// Where it starts, in bytes from the start of the file.
    pub start: u64,
    /// Where it ends, exclusive.
    pub end: u64,
    /// Exactly those bytes.
    pub text: String,
}

impl ChunkText {
    /// The text of the bytes from `start` to `end` of this file.
    pub fn new(chunk: ChunkId, path: WorkspacePath, start: u64, end: u64, text: impl Into<String>) -> Self {
        Self { chunk, path, start, end, text: text.into() }
    }
}

/// A piece of a file, or an earlier message among such.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Passage {
    /// The file. Of a message only a label, which a file may be called as well.
    pub path: WorkspacePath,
    /// Where the passage starts, in bytes from the start of the file.
    pub start: u64,
    /// Where it ends, exclusive.
    pub end: u64,
    /// Exactly those bytes.
    pub text: String,
    /// How well it fits: 0 to 1, comparable within one search.
    pub score: f32,
    /// Whether it is an earlier message and no file. Left out where it is false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_message: bool,
}

setters! {
    Passage:
    is_message: bool,
}

impl Passage {
    /// The text of the bytes from `start` to `end` of this file.
    pub fn new(path: WorkspacePath, start: u64, end: u64, text: impl Into<String>, score: f32) -> Self {
        Self { path, start, end, text: text.into(), score, is_message: false }
    }
}

//! Files with chunks and vectors, and what searching them must find.

use ironclaw_core::change::{Operation, WorkspaceOp};
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, EmbeddingModelId, VersionId};
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::store::{Apply, Store, VectorQuery};
use ironclaw_core::{Change, Limits, Scope, SystemClock};
use serde_json::Value;

/// A user.
pub(crate) fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

/// A path.
pub(crate) fn path(path: &str) -> WorkspacePath {
    WorkspacePath::parse(path).unwrap()
}

/// The name of a model that tells its dimensions.
pub(crate) fn model(name: &str) -> EmbeddingModelId {
    EmbeddingModelId::parse(name).unwrap()
}

/// A search near a vector.
pub(crate) fn near(name: &str, vector: &[f32]) -> VectorQuery {
    VectorQuery { model: model(name), vector: vector.to_vec() }
}

/// Makes a model known to a user.
pub(crate) async fn register(store: &dyn Store, scope: &Scope, name: &str, dimensions: u32) {
    let model = EmbeddingModel { id: model(name), dimensions, lexical: false };
    store.apply(scope, Change::new().with(WorkspaceOp::RegisterModel { model })).await.unwrap();
}

/// A file with a chunk for each text.
pub(crate) struct File {
    pub(crate) path: WorkspacePath,
    pub(crate) model: Option<EmbeddingModelId>,
    pub(crate) chunks: Vec<Chunk>,
}

/// A chunk of a file.
#[derive(Clone)]
pub(crate) struct Chunk {
    pub(crate) id: ChunkId,
    pub(crate) text: String,
    pub(crate) vector: Option<Vec<f32>>,
}

impl File {
    /// A file whose chunks say nothing and have these vectors.
    pub(crate) fn of_vectors(at: &str, name: &str, vectors: impl IntoIterator<Item = Vec<f32>>) -> Self {
        let chunk = |vector| Chunk { id: ChunkId::make(&SystemClock), text: "x ".to_owned(), vector: Some(vector) };
        Self { path: path(at), model: Some(model(name)), chunks: vectors.into_iter().map(chunk).collect() }
    }

    /// A file of texts without vectors.
    pub(crate) fn of_texts<'a>(at: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let chunk = |text: &str| Chunk { id: ChunkId::make(&SystemClock), text: text.to_owned(), vector: None };
        Self { path: path(at), model: None, chunks: texts.into_iter().map(chunk).collect() }
    }

    /// What stages it: begins a version and puts its parts, which are as large as they may be.
    pub(crate) fn staged(&self) -> (VersionId, Vec<Operation>) {
        let version = VersionId::make(&SystemClock);
        let (path, embedding_model) = (self.path.clone(), self.model.clone());
        let begin = NewVersion { id: version, path, metadata: Value::Null, embedding_model };
        let mut parts: Vec<Part> = Vec::new();
        let mut size = 0;
        for chunk in &self.chunks {
            let length = chunk.text.len();
            let is_full = |part: &Part| part.bytes.len() + length > Limits::default().part_bytes;
            if parts.last().is_none_or(is_full) {
                parts.push(Part { offset: size, bytes: Vec::new(), chunks: Vec::new() });
            }
            let part = parts.last_mut().unwrap();
            part.bytes.extend_from_slice(chunk.text.as_bytes());
            let (start, end) = (size, size + length as u64);
            part.chunks.push(NewChunk { id: chunk.id, start, end, embedding: chunk.vector.clone() });
            size = end;
        }
        let operations =
            vec![WorkspaceOp::BeginVersion { version: begin }.into(), WorkspaceOp::PutParts { version, parts }.into()];
        (version, operations)
    }

    /// What writes it.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let (version, mut operations) = self.staged();
        let content: Vec<u8> = self.chunks.iter().flat_map(|chunk| chunk.text.bytes()).collect();
        let (size, content_hash) = (content.len() as u64, ContentHash::of(&content));
        operations.push(WorkspaceOp::Publish { version, size, content_hash }.into());
        operations
    }
}

/// Applies operations in one change.
pub(crate) async fn apply(store: &dyn Store, scope: &Scope, operations: Vec<Operation>) {
    let change = operations.into_iter().fold(Change::new(), Change::with);
    Apply::apply(store, scope, change).await.unwrap();
}

/// Writes a file.
pub(crate) async fn write(store: &dyn Store, scope: &Scope, file: &File) {
    apply(store, scope, file.operations()).await;
}

/// Numbers that are the same on every run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below a limit.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }

    /// A vector of numbers between -1 and 1.
    pub(crate) fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.below(2_000_001) as f32 / 1e6 - 1.0).collect()
    }

    /// As many vectors.
    pub(crate) fn vectors(&mut self, dimensions: usize, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector(dimensions)).collect()
    }
}

/// The cosine similarity of two vectors, in 64 bits.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The nearest of some chunks by comparing all: their ids, best first.
pub(crate) fn nearest<'a>(
    chunks: impl IntoIterator<Item = &'a Chunk>,
    query: &[f32],
    limit: usize,
) -> Vec<(ChunkId, f64)> {
    let score = |chunk: &Chunk| (chunk.id, cosine(chunk.vector.as_ref().unwrap(), query));
    let mut scored: Vec<_> = chunks.into_iter().map(score).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.truncate(limit);
    scored
}

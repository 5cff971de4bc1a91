use async_trait::async_trait;

use super::StoreError;
use crate::embedder::EmbeddingModel;
use crate::forward::forward;
use crate::id::{ChunkId, EmbeddingModelId};
use crate::model::workspace::{ChunkHit, ChunkText, Entry, WorkspacePath};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::search::TextQuery;
use crate::setters::setters;

/// Reads and searches workspace files. Only published versions are seen.
///
/// Every method fails with a [`StoreError`] only when the store itself does or an argument is refused; absence is
/// `None` or an empty page. Dropping a future has no effect.
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
/// HybridMemory::new(store.clone(), HashEmbedder::default()).write_text(&ada, "plan.md", "On Friday.").await?;
/// let path = WorkspacePath::parse("plan.md")?;
/// let bytes = store.workspace().content(&ada, &path, 3, 9).await?;
/// assert_eq!(bytes.as_deref(), Some(&b"Friday"[..]));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Workspace: Send + Sync {
    /// A file, or `None`.
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, StoreError>;

    /// The files at or below `prefix` (all if absent), ordered by the bytes of their paths.
    async fn entries(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError>;

    /// The bytes of a file from `start` to `end`, exclusive, both counted from its start and cut at its end; `None`
    /// if there is no such file. A range that ends before it starts is refused.
    async fn content(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// The embedding models that were registered for this owner, ordered by id.
    async fn embedding_models(&self, scope: &Scope) -> Result<Vec<EmbeddingModel>, StoreError>;

    /// The chunks that fit the query best: by BM25 with this owner's own statistics, equal scores in the order of
    /// chunk ids. At most `limit`. An empty query finds nothing. Scores are the same on every store, within
    /// [`TEXT_TOLERANCE`](crate::search::TEXT_TOLERANCE).
    async fn search_text(
        &self,
        scope: &Scope,
        query: &TextQuery,
        filter: &SearchFilter,
        limit: u32,
    ) -> Result<Vec<ChunkHit>, StoreError>;

    /// The chunks whose vectors are nearest: by cosine similarity, equal ones in the order of chunk ids. Vectors of
    /// another model are not looked at; a vector of zeros is similar to nothing (0). At most `limit`.
    ///
    /// A query vector that is not of the registered model's dimensions or not finite is refused; a model that is not
    /// registered finds nothing. Scores are the same on every store, within
    /// [`VECTOR_TOLERANCE`](crate::search::VECTOR_TOLERANCE). A store of many vectors may look them up in an index,
    /// which finds at least 99 of 100 of the nearest; there are always as many hits as asked, if there are as many chunks.
    async fn search_vectors(
        &self,
        scope: &Scope,
        query: &VectorQuery,
        filter: &SearchFilter,
        limit: u32,
    ) -> Result<Vec<ChunkHit>, StoreError>;

    /// The places and texts of these chunks, in the order asked; those that are gone are left out. At most 1,000.
    async fn chunks(&self, scope: &Scope, chunks: &[ChunkId]) -> Result<Vec<ChunkText>, StoreError>;
}

forward! {
    Workspace workspace:
    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, StoreError>;
    async fn entries(&self, scope: &Scope, prefix: Option<&WorkspacePath>, page: &PageRequest) -> Result<Page<Entry>, StoreError>;
    async fn content(&self, scope: &Scope, path: &WorkspacePath, start: u64, end: u64) -> Result<Option<Vec<u8>>, StoreError>;
    async fn embedding_models(&self, scope: &Scope) -> Result<Vec<EmbeddingModel>, StoreError>;
    async fn search_text(&self, scope: &Scope, query: &TextQuery, filter: &SearchFilter, limit: u32) -> Result<Vec<ChunkHit>, StoreError>;
    async fn search_vectors(&self, scope: &Scope, query: &VectorQuery, filter: &SearchFilter, limit: u32) -> Result<Vec<ChunkHit>, StoreError>;
    async fn chunks(&self, scope: &Scope, chunks: &[ChunkId]) -> Result<Vec<ChunkText>, StoreError>;
}

/// Where to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchFilter {
    /// Only files at or below this path.
    pub prefix: Option<WorkspacePath>,
}

setters! {
    SearchFilter:
    prefix: into Option<WorkspacePath>,
}

/// What to search near.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VectorQuery {
    /// The model that made the vector.
    pub model: EmbeddingModelId,
    /// The vector.
    pub vector: Vec<f32>,
}

impl VectorQuery {
    /// Near this vector of this model.
    pub fn new(model: EmbeddingModelId, vector: Vec<f32>) -> Self {
        Self { model, vector }
    }
}

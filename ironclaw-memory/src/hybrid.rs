use std::io::{Read, Seek};
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::change::{Change, WorkspaceOp};
use ironclaw_core::input::{Problem, parsed};
use ironclaw_core::memory::{MemoryError, SearchQuery, SearchResults, Written};
use ironclaw_core::model::workspace::{Entry, WorkspacePath};
use ironclaw_core::{Clock, Embedder, InputError, Memory, MemoryStore, Page, PageRequest, Scope, SystemClock, Tool};
use serde_json::Value;

use crate::chunk::Chunker;
use crate::error;
use crate::options::Options;
use crate::tools::tools;

mod blocking;
mod draft;
mod search;
mod source;
mod stream;
mod version;
mod write;

pub use write::NewFile;

/// A workspace that is searched by full text and by vectors at once, over any store and any embedder.
///
/// Clones are cheap and share everything. Nothing is cached between calls: several processes can use one store.
///
/// One search gives at most 100 passages. Its [tools](Memory::tools) take less at once, so that a model's context is
/// not filled by one call; more is refused as
/// [`InvalidArguments`](ironclaw_core::tool::ToolErrorKind::InvalidArguments):
///
/// | tool | at most |
/// |---|---|
/// | `memory_search` | 20 passages (8 by default); the text of each is cut after 4 KiB and can be read on |
/// | `memory_read` | 64 KiB (16 KiB by default) |
/// | `memory_write` | 1 MiB |
/// | `memory_list` | 100 files |
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_memory::{HashEmbedder, HybridMemory};
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = HybridMemory::new(LibsqlStore::in_memory().await?, HashEmbedder::default());
/// let ada = Scope::user("ada")?;
/// memory.write_text(&ada, "notes/plan.md", "We launch on the third of March.").await?;
///
/// let found = memory.find(&ada, "When do we launch?").await?;
/// assert_eq!(found.passages[0].path.as_str(), "notes/plan.md");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HybridMemory {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    store: Arc<dyn MemoryStore>,
    embedder: Arc<dyn Embedder>,
    clock: Arc<dyn Clock>,
    options: Options,
    chunker: Chunker,
}

impl HybridMemory {
    /// A memory in `store` whose vectors `embedder` makes, with the default [`Options`] and the machine's clock.
    ///
    /// After a change of the embedder, files that were written with another are still found by full text; writing
    /// them again gives them vectors of the new one.
    pub fn new(store: impl MemoryStore + 'static, embedder: impl Embedder + 'static) -> Self {
        let inner = Inner {
            store: Arc::new(store),
            embedder: Arc::new(embedder),
            clock: Arc::new(SystemClock),
            options: Options::default(),
            chunker: Chunker::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The same memory with other options.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] on the first option that is out of its range.
    pub fn with_options(self, options: Options) -> Result<Self, InputError> {
        let chunker = options.check()?;
        Ok(Self { inner: Arc::new(Inner { chunker, options, ..Arc::unwrap_or_clone(self.inner) }) })
    }

    /// The same memory with ids made at another clock's time.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { clock, ..Arc::unwrap_or_clone(self.inner) }) }
    }

    /// Writes a file from `source`, from its start to its end, in bounded memory: as [`Memory::write`], for files that
    /// are too large to hold.
    ///
    /// The source is read twice: first for its hash, so that nothing is embedded if the content is what the file
    /// already holds; then part by part, while earlier parts are embedded and written. It is read on threads where
    /// blocking is allowed. What counts is the second reading, if the two differ.
    ///
    /// Dropping the future leaves the old file; what was begun is invisible and swept by the store.
    ///
    /// # Errors
    /// As [`Memory::write`]; [`MemoryErrorKind::InvalidInput`](ironclaw_core::memory::MemoryErrorKind::InvalidInput)
    /// also if the source can't be read, or was text at first and is not any more.
    pub async fn write_from(
        &self,
        scope: &Scope,
        path: impl TryInto<WorkspacePath, Error: Into<InputError>>,
        metadata: Value,
        source: impl Read + Seek + Send + 'static,
    ) -> Result<Written, MemoryError> {
        let path = parsed(path).map_err(error::invalid("write_from"))?;
        self.inner.write_stream(scope, &path, metadata, Box::new(source)).await
    }

    /// Writes many files: as [`Memory::write`] for each, but with many small ones in one commit, which is far faster.
    ///
    /// Each file is written whole or not at all. When one fails, those of earlier commits stay written; writing all of
    /// them again costs little, as unchanged ones are skipped. Dropping the future is the same as a failure.
    ///
    /// # Errors
    /// As [`Memory::write`]; [`MemoryErrorKind::InvalidInput`](ironclaw_core::memory::MemoryErrorKind::InvalidInput)
    /// also for two files with one path, before anything is written.
    pub async fn write_many(&self, scope: &Scope, files: Vec<NewFile>) -> Result<Vec<Written>, MemoryError> {
        self.inner.write_files(scope, files).await
    }
}

#[async_trait]
impl Memory for HybridMemory {
    async fn write(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        content: &[u8],
        metadata: Value,
    ) -> Result<Written, MemoryError> {
        self.inner.write_one(scope, path, content, metadata).await
    }

    async fn entry(&self, scope: &Scope, path: &WorkspacePath) -> Result<Option<Entry>, MemoryError> {
        self.inner.store.workspace().entry(scope, path).await.map_err(error::store("entry"))
    }

    async fn read(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        start: u64,
        end: u64,
    ) -> Result<Option<Vec<u8>>, MemoryError> {
        if start > end {
            let problem = Problem::OutOfRange { expected: "a start that does not exceed the end" };
            return Err(error::invalid("read")(InputError::new("start", problem)));
        }
        self.inner.store.workspace().content(scope, path, start, end).await.map_err(error::store("read"))
    }

    async fn list(
        &self,
        scope: &Scope,
        prefix: Option<&WorkspacePath>,
        page: &PageRequest,
    ) -> Result<Page<Entry>, MemoryError> {
        self.inner.store.workspace().entries(scope, prefix, page).await.map_err(error::store("list"))
    }

    async fn delete(&self, scope: &Scope, path: &WorkspacePath) -> Result<bool, MemoryError> {
        let change = Change::new().with(WorkspaceOp::DeleteEntry { path: path.clone() });
        let receipt = self.inner.store.apply(scope, change).await.map_err(error::store("delete"))?;
        Ok(receipt.numbers.first().is_some_and(|&deleted| deleted > 0))
    }

    async fn search(&self, scope: &Scope, query: &SearchQuery) -> Result<SearchResults, MemoryError> {
        self.inner.search(scope, query).await
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        tools(Arc::new(self.clone()))
    }
}

use async_trait::async_trait;
use serde_json::Value;

use super::{Memory, MemoryError, MemoryErrorKind, SearchQuery, SearchResults, Written};
use crate::input::{InputError, check_utf8, parsed};
use crate::model::workspace::{Entry, WorkspacePath};
use crate::page::{PageRequest, PageStream, pages};
use crate::scope::Scope;

/// What is done daily with any memory: files of text, and simple searches. A path may be given as text, which is then
/// parsed, or as a [`WorkspacePath`].
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_memory::{HashEmbedder, HybridMemory};
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let memory = HybridMemory::new(LibsqlStore::in_memory().await?, HashEmbedder::default());
/// let ada = Scope::user("ada")?;
/// memory.write_text(&ada, "notes/plan.md", "We launch in May.").await?;
/// assert_eq!(memory.find(&ada, "When do we launch?").await?.passages[0].text, "We launch in May.");
/// assert_eq!(memory.read_text(&ada, "notes/plan.md").await?.as_deref(), Some("We launch in May."));
/// assert!(memory.delete_file(&ada, "notes/plan.md").await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait MemoryExt: Memory {
    /// Writes a file of text, without metadata: as [`Memory::write`].
    ///
    /// # Errors
    /// As [`Memory::write`]; [`MemoryErrorKind::InvalidInput`] also for text that is no path.
    async fn write_text<P>(&self, scope: &Scope, path: P, text: &str) -> Result<Written, MemoryError>
    where
        P: TryInto<WorkspacePath, Error: Into<InputError>> + Send,
    {
        let path = parsed(path).map_err(refused("write_text"))?;
        self.write(scope, &path, text.as_bytes(), Value::Null).await
    }

    /// A whole file as text, or `None` if there is no such file. Large files are better read in parts, by
    /// [`Memory::read`].
    ///
    /// # Errors
    /// [`MemoryErrorKind::InvalidInput`] for text that is no path, and for a file that is no UTF-8 text;
    /// [`MemoryErrorKind::Store`].
    async fn read_text<P>(&self, scope: &Scope, path: P) -> Result<Option<String>, MemoryError>
    where
        P: TryInto<WorkspacePath, Error: Into<InputError>> + Send,
    {
        let path = parsed(path).map_err(refused("read_text"))?;
        let Some(content) = self.read(scope, &path, 0, u64::MAX).await? else { return Ok(None) };
        check_utf8("content", &content).map_err(refused("read_text"))?;
        Ok(String::from_utf8(content).ok())
    }

    /// The 10 passages that fit `text` best: as [`Memory::search`].
    ///
    /// # Errors
    /// As [`Memory::search`].
    async fn find(&self, scope: &Scope, text: &str) -> Result<SearchResults, MemoryError> {
        self.search(scope, &SearchQuery::new(text)).await
    }

    /// Deletes a file: as [`Memory::delete`]. Whether there was one.
    ///
    /// # Errors
    /// As [`Memory::delete`]; [`MemoryErrorKind::InvalidInput`] for text that is no path.
    async fn delete_file<P>(&self, scope: &Scope, path: P) -> Result<bool, MemoryError>
    where
        P: TryInto<WorkspacePath, Error: Into<InputError>> + Send,
    {
        let path = parsed(path).map_err(refused("delete_file"))?;
        self.delete(scope, &path).await
    }

    /// The files at or below `prefix` (all if absent) one by one, ordered by the bytes of their paths.
    fn files(&self, scope: &Scope, prefix: Option<&WorkspacePath>) -> PageStream<'_, Entry, MemoryError> {
        let (scope, prefix) = (scope.clone(), prefix.cloned());
        pages(PageRequest::default(), move |page| {
            let (scope, prefix) = (scope.clone(), prefix.clone());
            async move { self.list(&scope, prefix.as_ref(), &page).await }
        })
    }
}

impl<T: Memory + ?Sized> MemoryExt for T {}

fn refused(operation: &'static str) -> impl Fn(InputError) -> MemoryError {
    move |error| MemoryError::new(MemoryErrorKind::InvalidInput, operation, "").with_source(error)
}

//! The embedded store: one libSQL file and no server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::change::{Operation, PrivacyOp};
use ironclaw_core::id::OperatorName;
use ironclaw_core::input::{InputError, parsed};
use ironclaw_core::store::{
    Access, AgentStore, Apply, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, Store, StoreError,
    StoreErrorKind, VaultStore, Workspace,
};
use ironclaw_core::{Change, Clock, Limits, Receipt, Scope, SystemClock};

use self::db::Db;
use self::engine::{Handle, Options};
use self::tx::Tx;
use self::workspace::VectorCache;
use crate::prepared::{self, APPLY, Failure, Prepared};
use crate::sql::{Absent, Categories};

mod audit;
mod budget;
mod change;
mod conversations;
mod copy;
mod db;
mod engine;
mod error;
mod health;
mod jobs;
mod locked;
mod looked;
mod maintenance;
mod migrations;
mod place;
mod portions;
mod privacy;
mod removal;
mod remove;
mod restore;
mod row;
mod schema;
mod statement;
#[cfg(test)]
mod tests;
mod transaction;
mod tx;
mod users;
mod wait;
mod workspace;

pub use health::LibsqlHealth;
pub use maintenance::LibsqlMaintenance;

/// A store in one libSQL file, or in memory.
///
/// Clones share the file, its threads and its connections; a clone costs nothing. Several processes may open the same
/// file. A change is on disk before [`apply`](Apply::apply) returns: neither a crash of the process nor of the machine
/// loses it.
///
/// SQLite runs on the store's own threads, never on the executor: one that writes and a few that read. Changes that
/// are waiting when the writer becomes free commit together. When the last clone is dropped, the threads finish what
/// was begun and end by themselves; [`close`](Store::close) waits for that and tells of errors.
#[derive(Clone)]
pub struct LibsqlStore {
    categories: Categories<Arc<Handle>>,
    vectors: Arc<VectorCache>,
}

impl LibsqlStore {
    /// Opens the store in this file, with the defaults of [`builder`](Self::builder), and makes it if there is no
    /// such file.
    ///
    /// # Errors
    /// As [`LibsqlStoreBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder().open(path).await
    }

    /// A new store that keeps nothing on disk and is gone with its last clone.
    ///
    /// # Errors
    /// As [`LibsqlStoreBuilder::open`].
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::builder().in_memory().await
    }

    /// Puts a copy of a backup, which may be any store's file with the log beside it, in the place of the file `to`,
    /// which need not be there. The backup stays as it is. The old store is whole until the new one has taken its place,
    /// also if the process is killed; nothing of its log is left to be read into the new one.
    ///
    /// # Errors
    /// [`Busy`](StoreErrorKind::Busy) while anybody has the file `to` open;
    /// [`NotAStore`](StoreErrorKind::NotAStore) if either is something else than a store;
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) for the backup of a newer version;
    /// [`Corrupt`](StoreErrorKind::Corrupt) if the backup is damaged, or the old file so that it can't be opened: then
    /// move that and the files beside it away first. The old store stays after each of them.
    pub async fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| {
                let context = "the path can't be made absolute";
                StoreError::new(StoreErrorKind::Io, "restore", context).with_source(error)
            })
        };
        let (from, to) = (absolute(from.as_ref())?, absolute(to.as_ref())?);
        engine::on_thread("restore", move || restore::restore(&from, &to)).await
    }

    /// A store to open with other limits, another clock or other numbers of threads.
    pub fn builder() -> LibsqlStoreBuilder {
        LibsqlStoreBuilder {
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            busy_timeout: Duration::from_secs(5),
            readers: 3,
            vector_cache_bytes: VectorCache::DEFAULT_BYTES,
            log_limit: 64 << 20,
            reserve_bytes: 16 << 20,
        }
    }

    /// The admin plane: whoever may open the file may use it. The operator's name is audited with what is done.
    pub fn maintenance(&self, operator: OperatorName) -> LibsqlMaintenance {
        LibsqlMaintenance::new(self.clone(), operator)
    }

    /// [`maintenance`](Self::maintenance) by the operator of this name.
    ///
    /// # Errors
    /// What [`OperatorName::parse`] refuses.
    pub fn maintenance_by(
        &self,
        operator: impl TryInto<OperatorName, Error: Into<InputError>>,
    ) -> Result<LibsqlMaintenance, InputError> {
        Ok(self.maintenance(parsed(operator)?))
    }

    /// How the store's files are: the log's size, what keeps it large, free space, others' rights.
    ///
    /// # Errors
    /// [`FileMoved`](StoreErrorKind::FileMoved) if the file or its log is not where it was opened;
    /// [`Closed`](StoreErrorKind::Closed).
    pub async fn health(&self) -> Result<LibsqlHealth, StoreError> {
        self.engine().health().await
    }

    /// The limits on what the store accepts.
    pub fn limits(&self) -> &Limits {
        self.engine().limits()
    }

    fn engine(&self) -> &Arc<Handle> {
        &self.categories.0
    }

    /// Reads one snapshot of the scope's user; one whom the store does not know has nothing.
    async fn read<T, F>(&self, operation: &'static str, scope: &Scope, read: F) -> Result<T, StoreError>
    where
        T: Absent + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.engine().read_scope(operation, scope, read).await
    }

    /// Reads one snapshot of everything.
    async fn read_any<T, F>(&self, operation: &'static str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        self.engine().read(operation, move |db| db.snapshot(|| read(db))).await
    }
}

impl std::fmt::Debug for LibsqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LibsqlStore").finish_non_exhaustive()
    }
}

/// How to open a [`LibsqlStore`].
#[derive(Debug, Clone)]
pub struct LibsqlStoreBuilder {
    limits: Limits,
    clock: Arc<dyn Clock>,
    busy_timeout: Duration,
    readers: usize,
    vector_cache_bytes: usize,
    log_limit: u64,
    reserve_bytes: u64,
}

impl LibsqlStoreBuilder {
    /// Limits on what is accepted. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the time comes from. Default: the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long to wait for another process's lock before a call fails with
    /// [`StoreErrorKind::Busy`]. Default: 5 seconds.
    #[must_use]
    pub fn busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// How many threads read at the same time, from 1 to 64. Default: 3. A store in memory has one thread for all.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.clamp(1, 64);
        self
    }

    /// How much memory vectors may take between searches, in bytes; those of users who search are kept. Default:
    /// 256 MiB.
    #[must_use]
    pub fn vector_cache_bytes(mut self, bytes: usize) -> Self {
        self.vector_cache_bytes = bytes;
        self
    }

    /// How large the write-ahead log may become, in bytes, from 1 MiB on. Default: 64 MiB. Readings of this process wait
    /// for a moment when it nears that; what can still make it larger is said by [`LibsqlStore::health`].
    #[must_use]
    pub fn log_limit(mut self, bytes: u64) -> Self {
        self.log_limit = bytes.max(1 << 20);
        self
    }

    /// How much room on the disk to keep for deleting, in bytes; 0 for none. Default: 16 MiB, or a quarter of what is free
    /// if that is less.
    ///
    /// It is a file beside the database, named as that with `-reserve` behind, which holds nothing. Without it nothing can
    /// be deleted from a store whose disk is full, since deleting writes to the log first. The log is moved into the file
    /// before it is larger than this.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Opens the store in this file, and makes it if there is no such file: readable and writable by its owner only.
    /// Its folder must exist.
    ///
    /// A file that is open in this process already, by whatever name, is shared: its threads, connections and vectors
    /// are those of whoever opened it first, and so are the numbers of readers, of bytes for vectors and the log, and
    /// the clock of what is done in the background. Limits, clock and busy timeout are each opening's own. It is closed
    /// with the last of them.
    ///
    /// A file that can't be written to, or whose folder can't, is opened for reading; changes then fail with
    /// [`ReadOnly`](StoreErrorKind::ReadOnly).
    ///
    /// # Errors
    /// [`NotAStore`](StoreErrorKind::NotAStore) for anything else than such a file, to which nothing is written;
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) if a newer version wrote it; [`Exposed`](StoreErrorKind::Exposed) if
    /// others may write to it and that can't be mended; otherwise what the disk or another process does not allow.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<LibsqlStore, StoreError> {
        let failed = |context| StoreError::new(StoreErrorKind::Io, "open", context);
        let path = std::path::absolute(path.as_ref())
            .map_err(|e| failed("the path can't be made absolute").with_source(e))?
            .into_os_string()
            .into_string()
            .map_err(|_| failed("the path is not UTF-8"))?;
        self.start(Some(path)).await
    }

    /// A new store that keeps nothing on disk.
    ///
    /// # Errors
    /// What the operating system does not allow: threads, randomness.
    pub async fn in_memory(self) -> Result<LibsqlStore, StoreError> {
        self.start(None).await
    }

    async fn start(self, path: Option<String>) -> Result<LibsqlStore, StoreError> {
        let options = Options {
            clock: self.clock,
            busy_timeout: self.busy_timeout,
            readers: self.readers,
            vector_cache_bytes: self.vector_cache_bytes,
            log_limit: self.log_limit,
            receipts_kept: self.limits.receipts_kept,
            reserve_bytes: self.reserve_bytes,
        };
        let engine = Arc::new(Handle::open(path, self.limits, options).await?);
        Ok(LibsqlStore { vectors: Arc::clone(engine.vectors()), categories: Categories(engine) })
    }
}

#[async_trait]
impl Apply for LibsqlStore {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        if let Err(error) = prepared::check(scope, &change, self.limits()) {
            let failure = Failure::new(scope, &change, &error, self.limits())?;
            self.engine().record(failure).await?;
            return Err(error);
        }
        if Prepared::is_empty(&change) {
            self.engine().check_open(APPLY)?;
            return Ok(Receipt::new(self.engine().now(), Vec::new()));
        }
        let forgets = change.operations().iter().any(|op| matches!(op, Operation::Privacy(PrivacyOp::Forget)));
        let removed: Vec<_> = change.operations().iter().filter_map(removal::Removed::by).collect();
        let prepared = Prepared::make(scope.clone(), change).await?;
        let promised = if forgets { prepared.promise() } else { None };
        let receipt = self.engine().apply(prepared).await?;
        if forgets {
            self.vectors.clear();
        }
        match removed.is_empty() {
            true => Ok(receipt),
            false => wait::gone(self.engine(), scope, &removed, receipt, promised).await,
        }
    }
}

impl VaultStore for LibsqlStore {
    fn secrets(&self) -> &dyn Secrets {
        &self.categories
    }

    fn access(&self) -> &dyn Access {
        &self.categories
    }

    fn audit(&self) -> &dyn Audit {
        &self.categories
    }
}

impl MemoryStore for LibsqlStore {
    fn workspace(&self) -> &dyn Workspace {
        self
    }
}

impl AgentStore for LibsqlStore {
    fn conversations(&self) -> &dyn Conversations {
        &self.categories
    }

    fn jobs(&self) -> &dyn Jobs {
        &self.categories
    }
}

#[async_trait]
impl Store for LibsqlStore {
    fn settings(&self) -> &dyn Settings {
        &self.categories
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.engine().close().await
    }
}

//! The shared store: a PostgreSQL server with pgvector, for many users and many processes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use ironclaw_core::store::{
    Access, AgentStore, Apply, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, Store, StoreError,
    VaultStore, Workspace,
};
use ironclaw_core::{Change, Limits, Receipt, Scope};

use self::engine::{Engine, Reach};
use self::tx::Tx;
use crate::sql::{Absent, Categories, Freshness};

mod audit;
mod builder;
mod change;
mod connection;
mod conversations;
mod copy;
mod definitions;
mod engine;
mod error;
mod idle;
mod indexed;
mod maintenance;
mod migrate;
mod migration;
mod parameters;
mod passfile;
mod pool;
mod pooler;
mod privacy;
mod removal;
mod role;
mod row;
mod server;
mod servers;
mod session;
mod text;
mod transaction;
mod turns;
mod tx;
mod workspace;

pub use builder::PostgresStoreBuilder;
pub use indexed::{DropReason, DroppedIndex, IndexedVectors};
pub use maintenance::PostgresMaintenance;

/// A store in a PostgreSQL database.
///
/// Clones share its connections; a clone costs nothing. Many processes may use the same database. Every change is one
/// transaction, committed before [`apply`](Apply::apply) returns, and runs in a task of its own on the runtime that
/// opened the store: a caller that goes away does not stop it half-way, and leaves no transaction and no scope behind.
///
/// The application's role has the least rights it can do with, and row-level security binds it to the scope that each
/// transaction begins with.
///
/// ```no_run
/// use ironclaw_store::PostgresStore;
///
/// # async fn run() -> Result<(), ironclaw_core::store::StoreError> {
/// // Once, and after each update, as the owner:
/// PostgresStore::migrate("postgres://owner:password@localhost/agents").await?;
/// // The application, as a member of the role ironclaw_app:
/// let store = PostgresStore::connect("postgres://agent:password@localhost/agents").await?;
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresStore {
    categories: Categories<Arc<Engine>>,
}

impl PostgresStore {
    /// Brings the schema of a database up to date, in one transaction; one that is, is left alone.
    ///
    /// The first time, the role that connects must be able to make roles and the extension `vector`, or find them made,
    /// and own the database; later it must be a member of `ironclaw_owner`. Of several processes that migrate at the same time one
    /// does, and the others wait for it.
    ///
    /// # Errors
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy) if another process migrates for longer than a minute,
    /// [`NewerSchema`](ironclaw_core::store::StoreErrorKind::NewerSchema),
    /// [`UnsupportedVersion`](ironclaw_core::store::StoreErrorKind::UnsupportedVersion) of the server or of pgvector,
    /// [`UnsupportedEncoding`](ironclaw_core::store::StoreErrorKind::UnsupportedEncoding) for a database that is not UTF-8,
    /// [`MissingExtension`](ironclaw_core::store::StoreErrorKind::MissingExtension) if pgvector is not there and the role
    /// may not make it, [`InvalidInput`](ironclaw_core::store::StoreErrorKind::InvalidInput) for a URL that leads to a
    /// pooler in transaction mode, or what the server does not allow. Nothing is half-done.
    pub async fn migrate(url: &str) -> Result<(), StoreError> {
        Self::builder().migrate(url).await
    }

    /// Connects as the application, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`PostgresStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// Connects as the application to a server and its standby, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    /// As [`PostgresStoreBuilder::connect_with_replica`].
    pub async fn connect_with_replica(url: &str, replica: &str) -> Result<Self, StoreError> {
        Self::builder().connect_with_replica(url, replica).await
    }

    /// A store to connect with other limits, timeouts or numbers of connections.
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::default()
    }

    /// The limits on what the store accepts.
    pub fn limits(&self) -> &Limits {
        self.engine().limits()
    }

    fn over(engine: Engine) -> Self {
        Self { categories: Categories(Arc::new(engine)) }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.categories.0
    }

    /// Reads one snapshot of the scope's user; one whom the store does not know has nothing. A standby may answer.
    async fn read<A, T, F>(
        &self,
        operation: &'static str,
        scope: &Scope,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.engine().read(operation, Reach::User(scope.clone()), Freshness::of(scope), arguments, read).await
    }
}

#[async_trait]
impl Apply for PostgresStore {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        change::apply(self.engine(), scope, change).await
    }
}

impl VaultStore for PostgresStore {
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

impl MemoryStore for PostgresStore {
    fn workspace(&self) -> &dyn Workspace {
        self
    }
}

impl AgentStore for PostgresStore {
    fn conversations(&self) -> &dyn Conversations {
        &self.categories
    }

    fn jobs(&self) -> &dyn Jobs {
        &self.categories
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn settings(&self) -> &dyn Settings {
        &self.categories
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.engine().close().await;
        Ok(())
    }
}

/// How long a migration waits for another by default.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(60);

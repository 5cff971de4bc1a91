use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ironclaw_core::id::OperatorName;
use ironclaw_core::input::{InputError, parsed};
use ironclaw_core::store::StoreError;
use ironclaw_core::{BoxError, Clock, Limits};

use super::engine::{Engine, Settings, Timeouts};
use super::maintenance::PostgresMaintenance;
use super::pool::{Password, Pool};
use super::role::Role;
use super::server;
use super::servers::Servers;
use super::{MIGRATION_PATIENCE, PostgresStore, migrate, passfile};

/// How to connect a [`PostgresStore`] or a [`PostgresMaintenance`].
#[derive(Clone)]
pub struct PostgresStoreBuilder {
    limits: Limits,
    clock: Option<Arc<dyn Clock>>,
    connections: u32,
    acquire_timeout: Duration,
    timeouts: Timeouts,
    migration_patience: Duration,
    vector_indexes: u32,
    replica_lag: Duration,
    transaction_pooling: bool,
    any_role: bool,
    unverified: bool,
    password: Option<Password>,
}

/// How many indexes over users' vectors there are at most by default.
const VECTOR_INDEXES: u32 = 64;

impl Default for PostgresStoreBuilder {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            clock: None,
            connections: 10,
            acquire_timeout: Duration::from_secs(10),
            timeouts: Timeouts {
                statement: Duration::from_secs(30),
                lock: Duration::from_secs(10),
                idle: Duration::from_secs(30),
            },
            migration_patience: MIGRATION_PATIENCE,
            vector_indexes: VECTOR_INDEXES,
            replica_lag: Duration::from_secs(5),
            transaction_pooling: false,
            any_role: false,
            unverified: false,
            password: None,
        }
    }
}

impl PostgresStoreBuilder {
    /// Limits on what is accepted. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the time of rows comes from. Default: the server's clock, which all processes share. The audit trail's
    /// time is always the server's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The most connections to each server. Default: 10.
    ///
    /// Users take turns for them: at the same time one change of a user has one, in the order of asking, and the readings
    /// of a user have half of them at most. If the server has fewer left, calls share those. Behind a pooler, all processes
    /// together should have no more than the pooler may open.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a call waits for its turn and for a free connection before it fails with
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy), or, if those in use wait for a server that does not answer,
    /// with [`Unavailable`](ironclaw_core::store::StoreErrorKind::Unavailable). Default: 10 seconds. Connecting a store, with
    /// all that is checked then, takes no longer either, or 5 seconds if this is less.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long one statement may take before it fails with
    /// [`TimedOut`](ironclaw_core::store::StoreErrorKind::TimedOut). Default: 30 seconds. An operator's statements
    /// are not limited.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.statement = timeout;
        self
    }

    /// How long a change waits for another process's change of the same user before it fails with
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy). Default: 10 seconds. It holds a connection for a small part of
    /// that time.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.lock = timeout;
        self
    }

    /// After how long the server ends a transaction that does nothing, as when a process was stopped in the middle of
    /// it. Default: 30 seconds. An operator's readings, for which no change waits, are not limited: they compute between
    /// their statements.
    #[must_use]
    pub fn idle_in_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle = timeout;
        self
    }

    /// How long a migration waits for another before it fails with
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy). Default: a minute.
    #[must_use]
    pub fn migration_timeout(mut self, timeout: Duration) -> Self {
        self.migration_patience = timeout;
        self
    }

    /// The most indexes over users' vectors that
    /// [`index_vectors`](PostgresMaintenance::index_vectors) makes and keeps, each user's largest first. Default: 64.
    /// Each costs whoever searches or writes vectors in this database a little, and saves its own user time. With 0 every
    /// search compares all of a user's vectors, and is exact. It is nowhere in the database: give all operators the same.
    #[must_use]
    pub fn vector_indexes(mut self, indexes: u32) -> Self {
        self.vector_indexes = indexes;
        self
    }

    /// How far a standby may be behind that answers a reading: beyond it the primary answers. Default: 5 seconds. Zero asks
    /// the primary before each reading how far its log reaches. See [`connect_with_replica`](Self::connect_with_replica).
    #[must_use]
    pub fn replica_lag(mut self, lag: Duration) -> Self {
        self.replica_lag = lag;
        self
    }

    /// Works through a pooler in transaction mode, such as PgBouncer: no statement is prepared by name, which costs a
    /// round trip for each, and one call at a time waits at a lock that another process holds. Default: off, and such a
    /// pooler is refused. Migrations and operators go to the server itself.
    #[must_use]
    pub fn transaction_pooling(mut self) -> Self {
        self.transaction_pooling = true;
        self
    }

    /// Accepts any role, also a superuser, an owner or one with `BYPASSRLS`, which row-level security does not bind. For
    /// development only. Default: a role that may do more than the application needs is refused, whether by itself, by a
    /// membership or by a grant to `PUBLIC`.
    #[must_use]
    pub fn allow_privileged_role(mut self) -> Self {
        self.any_role = true;
        self
    }

    /// Accepts a server on another host that does not prove by TLS who it is. For networks that nobody else can reach
    /// only. Default: `sslmode=verify-full` is needed for any host but this one.
    ///
    /// A server on this host need not prove itself either way: whoever can listen in its place may ask for the password, and
    /// gets it in clear. Ask for `sslmode=verify-full` there too, or use its socket, where others have accounts.
    #[must_use]
    pub fn allow_unverified_server(mut self) -> Self {
        self.unverified = true;
        self
    }

    /// Where the password comes from when the server refuses the one in use: a password that was changed is picked up
    /// without a restart. The one in the URL is tried first.
    ///
    /// ```
    /// use ironclaw_store::PostgresStore;
    ///
    /// let builder = PostgresStore::builder()
    ///     .password_from(|| Box::pin(async { Ok(std::fs::read_to_string("/run/secrets/database")?.trim().to_owned()) }));
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn password_from(
        mut self,
        password: impl Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync + 'static,
    ) -> Self {
        self.password = Some(Arc::new(password));
        self
    }

    /// Brings the schema of a database up to date: see [`PostgresStore::migrate`].
    ///
    /// # Errors
    /// As [`PostgresStore::migrate`].
    pub async fn migrate(self, url: &str) -> Result<(), StoreError> {
        migrate::migrate(url, self.migration_patience, self.unverified).await
    }

    /// Connects as the application.
    ///
    /// # Errors
    /// Each of these has a kind of its own: a URL that is none or that does not ask for a verified server, a server
    /// that can't be reached or is too old, a database that is not UTF-8, refused credentials, a missing extension or
    /// migration, a schema of a newer version, a role with too many or too few rights, a schema in which others than the
    /// store's owner may create.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        let role = self.role();
        Ok(PostgresStore::over(self.open(&[url], role).await?))
    }

    /// Connects as the application to a server and its streaming standby, named in either order. When the one that takes
    /// writes is lost and the other promoted, writes go there, without a restart.
    ///
    /// What decides who may do what ([`Access`](ironclaw_core::store::Access), [`Secrets`](ironclaw_core::store::Secrets),
    /// and all that a change requires) is asked of the primary alone, and is not answered while there is none. Whatever
    /// else only reads is asked of the standby if that is well, has all that this store wrote, and is behind by no more
    /// than [`replica_lag`](Self::replica_lag); otherwise the primary answers. Where the primary does not, a standby does
    /// that may be behind by more: what is read from it is then as old as what it replayed last.
    ///
    /// A standby that fails or hangs costs a reading half a second, and is then left alone for some seconds.
    ///
    /// A promotion starts a new timeline. A server on an older timeline than this store ever saw is neither written to
    /// nor read from, even if it still takes itself for the primary. That is no fence: a process that can reach only the
    /// old primary, and has never seen the new one, writes to it, so stop it before the standby is promoted.
    ///
    /// Streaming replication is asynchronous by default: a change that was acknowledged just before the primary was lost
    /// may not have reached the standby, and is gone with it. Set `synchronous_standby_names` (and leave
    /// `synchronous_commit` at `on` or higher) on the primary, and no acknowledged change is lost.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), of each server that can be reached: one of them must be.
    /// [`InvalidInput`](ironclaw_core::store::StoreErrorKind::InvalidInput) on `replica` if the two are not copies of
    /// one cluster.
    pub async fn connect_with_replica(self, url: &str, replica: &str) -> Result<PostgresStore, StoreError> {
        let role = self.role();
        Ok(PostgresStore::over(self.open(&[url, replica], role).await?))
    }

    /// Connects as an operator: see [`PostgresMaintenance`]. The role must be able to take the rights of `ironclaw_owner`. A
    /// superuser may be one, and has no others in its transactions.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); a pooler in transaction mode is refused, whatever was set, and text that is no
    /// operator's name.
    pub async fn connect_maintenance(
        mut self,
        url: &str,
        operator: impl TryInto<OperatorName, Error: Into<InputError>>,
    ) -> Result<PostgresMaintenance, StoreError> {
        let operator = parsed(operator).map_err(|refused| StoreError::invalid_input("connect", refused))?;
        self.transaction_pooling = false;
        let vector_indexes = self.vector_indexes;
        let engine = self.open(&[url], Role::Operator).await?;
        Ok(PostgresMaintenance::new(Arc::new(engine), operator, vector_indexes))
    }

    fn role(&self) -> Role {
        if self.any_role { Role::Any } else { Role::Application }
    }

    async fn open(self, urls: &[&str], role: Role) -> Result<Engine, StoreError> {
        const OPERATION: &str = "connect";
        let mut pools = Vec::with_capacity(urls.len());
        for url in urls {
            let mut options = server::options(OPERATION, url, self.unverified)?;
            if self.transaction_pooling {
                options = options.statement_cache_capacity(0);
            }
            let (wait, password) = (self.acquire_timeout, self.password.clone());
            pools.push(Pool::new(options, self.connections, wait, password, self.transaction_pooling));
        }
        let named_statements = !self.transaction_pooling;
        let connected =
            Servers::connect(OPERATION, pools, role, named_statements, self.replica_lag, self.acquire_timeout).await;
        let (servers, database) = connected.map_err(|error| match self.password {
            Some(_) => error,
            None => urls.iter().fold(error, |error, url| passfile::explain(url, error)),
        })?;
        let settings = Settings { limits: self.limits, clock: self.clock, timeouts: self.timeouts, named_statements };
        Ok(Engine::new(servers, database, settings))
    }
}

impl std::fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("limits", &self.limits)
            .field("connections", &self.connections)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl PostgresMaintenance {
    /// Connects as an operator, with the defaults of [`PostgresStoreBuilder`].
    ///
    /// # Errors
    /// As [`PostgresStoreBuilder::connect_maintenance`].
    pub async fn connect(
        url: &str,
        operator: impl TryInto<OperatorName, Error: Into<InputError>>,
    ) -> Result<Self, StoreError> {
        PostgresStoreBuilder::default().connect_maintenance(url, operator).await
    }
}

//! The connections to one server.
//!
//! sqlx's own pool tries a server that refuses for as long as a caller may wait, and then says only that it took long;
//! it can't be told that a server was restarted and that all connections to it are lost; and it asks the server once
//! more whenever a connection comes back. This one says at once what is wrong, and asks nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use ironclaw_core::BoxError;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Connection;
use super::error::from_sqlx;
use super::server::is_socket;
use crate::error::closed;

/// How long a server may take to accept a connection or to begin a transaction: one that takes longer is as good as
/// gone.
pub(super) const REACH: Duration = Duration::from_secs(5);

/// After how long without use a connection is closed.
const UNUSED: Duration = Duration::from_secs(600);

/// How long a connection is used, so that what a server keeps for it does not grow for ever.
const LIFETIME: Duration = Duration::from_secs(1_800);

/// How long closing a connection may take.
const CLOSE: Duration = Duration::from_secs(1);

/// Gives the password for new connections.
pub(super) type Password = Arc<dyn Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync>;

/// A server and the connections to it, none of which is opened before it is needed.
pub(super) struct Pool {
    options: Mutex<PgConnectOptions>,
    password: Option<Password>,
    /// As many as there may be connections.
    slots: Arc<Semaphore>,
    /// How long to wait for one.
    wait: Duration,
    idle: Arc<Idle>,
    /// Whether the server could not be reached the last time.
    is_gone: AtomicBool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, connections: u32, wait: Duration, password: Option<Password>) -> Self {
        Self {
            options: Mutex::new(options),
            password,
            slots: Arc::new(Semaphore::new(connections as usize)),
            wait,
            idle: Arc::default(),
            is_gone: AtomicBool::new(false),
        }
    }

    /// A connection on which `begin` was run, and the row that this gave. Later statements may take as long as
    /// `patience`.
    pub(super) async fn begin(
        &self,
        operation: &'static str,
        patience: Duration,
        begin: &str,
    ) -> Result<(Connection, Option<PgRow>), StoreError> {
        let slot = self.slot(operation, self.wait).await?;
        self.begin_with(operation, slot, patience, begin).await
    }

    /// As [`begin`](Self::begin), or `None` if all connections are in use.
    pub(super) async fn try_begin(
        &self,
        operation: &'static str,
        patience: Duration,
        begin: &str,
    ) -> Result<Option<(Connection, Option<PgRow>)>, StoreError> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => self.begin_with(operation, slot, patience, begin).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn begin_with(
        &self,
        operation: &'static str,
        slot: OwnedSemaphorePermit,
        patience: Duration,
        begin: &str,
    ) -> Result<(Connection, Option<PgRow>), StoreError> {
        loop {
            let (mut pooled, is_new) = match self.idle.take() {
                Some(pooled) => (pooled, false),
                None => (Pooled::new(self.reach(operation).await?), true),
            };
            let begun = sqlx::raw_sql(AssertSqlSafe(begin)).fetch_optional(&mut pooled.connection);
            let error = match tokio::time::timeout(REACH, begun).await {
                Ok(Ok(row)) => {
                    self.is_gone.store(false, Ordering::Relaxed);
                    return Ok((Connection::new(pooled, Arc::clone(&self.idle), patience, slot), row));
                }
                Ok(Err(error)) => from_sqlx(operation, error),
                Err(_) => {
                    self.idle.clear();
                    return Err(self.gone(operation));
                }
            };
            if *error.kind() != StoreErrorKind::Unavailable || is_new {
                return Err(error);
            }
            // It was lost while nobody used it, as by a restart of the server, and so were those beside it.
            self.idle.clear();
        }
    }

    /// A connection, by itself: with the password that is right now, within a bounded time.
    pub(super) async fn reach(&self, operation: &'static str) -> Result<PgConnection, StoreError> {
        let connected = match connect(operation, &self.options()).await {
            Err(error) if *error.kind() == StoreErrorKind::Credentials && self.password.is_some() => {
                self.renew_password(operation).await?;
                connect(operation, &self.options()).await
            }
            other => other,
        };
        let is_gone = connected.as_ref().is_err_and(|error| *error.kind() == StoreErrorKind::Unavailable);
        self.is_gone.store(is_gone, Ordering::Relaxed);
        connected
    }

    /// Closes the connections that are not in use: what the server keeps for them is of no use any more.
    pub(super) fn renew(&self) {
        self.idle.clear();
    }

    /// Closes the connections, all of which are back. Later calls fail.
    pub(super) async fn close(&self) {
        self.slots.close();
        let closing =
            self.idle.drain().into_iter().map(|pooled| tokio::time::timeout(CLOSE, pooled.connection.close()));
        join_all(closing).await;
    }

    async fn slot(&self, operation: &'static str, wait: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(slot) => slot.map_err(|_| closed(operation)),
            // More connections would not help.
            Err(_) if self.is_gone.load(Ordering::Relaxed) => Err(self.gone(operation)),
            Err(_) => Err(from_sqlx(operation, sqlx::Error::PoolTimedOut)),
        }
    }

    fn gone(&self, operation: &'static str) -> StoreError {
        self.is_gone.store(true, Ordering::Relaxed);
        StoreError::new(StoreErrorKind::Unavailable, operation, NO_ANSWER)
    }

    fn options(&self) -> PgConnectOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew_password(&self, operation: &'static str) -> Result<(), StoreError> {
        let Some(password) = &self.password else {
            return Ok(());
        };
        let refused = StoreError::new(StoreErrorKind::Credentials, operation, "the password could not be had");
        let password = match tokio::time::timeout(self.wait, password()).await {
            Ok(Ok(password)) => password,
            Ok(Err(error)) => return Err(refused.with_source(error)),
            Err(elapsed) => return Err(refused.with_source(elapsed)),
        };
        let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        *options = options.clone().password(&password);
        Ok(())
    }
}

/// A connection that has nothing to do with any pool.
pub(super) async fn connect(operation: &'static str, options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    match tokio::time::timeout(REACH, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| match &error {
            // Nothing else of a connection over TCP is a file.
            sqlx::Error::Io(io) if is_no_file(io.kind()) && !is_socket(options) => {
                let expected = "sslrootcert, sslcert and sslkey to name files that are there";
                StoreError::invalid_input(operation, InputError::new("url", Problem::Malformed { expected }))
            }
            _ => from_sqlx(operation, error),
        }),
        Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, operation, NO_ANSWER)),
    }
}

fn is_no_file(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory)
}

const NO_ANSWER: &str = "the server does not answer; see whether it runs and can be reached";

/// A connection that outlives the transactions on it.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) connection: PgConnection,
    opened: Instant,
    used: Instant,
}

impl Pooled {
    fn new(connection: PgConnection) -> Self {
        let now = Instant::now();
        Self { connection, opened: now, used: now }
    }

    fn is_young(&self) -> bool {
        self.opened.elapsed() < LIFETIME && self.used.elapsed() < UNUSED
    }
}

/// The connections that nobody uses, each in no transaction. Dropping one closes its socket.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<Pooled>>);

impl Idle {
    /// Keeps a connection for the next one.
    pub(super) fn put(&self, mut pooled: Pooled) {
        pooled.used = Instant::now();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Pooled::is_young);
        idle.push(pooled);
    }

    /// The one that was used last: those that are not needed grow old.
    fn take(&self) -> Option<Pooled> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Pooled::is_young);
        idle.pop()
    }

    fn clear(&self) {
        drop(self.drain());
    }

    fn drain(&self) -> Vec<Pooled> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

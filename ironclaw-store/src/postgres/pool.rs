//! The connections to one server.
//!
//! sqlx's own pool tries a server that refuses for as long as a caller may wait, and then says only that it took long;
//! it can't be told that a server was restarted and that all connections to it are lost; and it asks the server once
//! more whenever a connection comes back. This one says at once what is wrong, and asks nothing.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use ironclaw_core::BoxError;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::connection::Connection;
use super::error::{from_sqlx, no_connection_left};
use super::idle::{Idle, Pooled};
use super::server::is_socket;
use super::turns::{Awaited, Caller, Turn, Turns};
use crate::error::closed;

/// How long a server may take to accept a connection or to begin a transaction: one that takes longer is as good as
/// gone.
pub(super) const REACH: Duration = Duration::from_secs(5);

/// How often a server that had no connection left is asked again, by one call for all.
const AGAIN: Duration = Duration::from_millis(250);

/// How long closing a connection may take.
const CLOSE: Duration = Duration::from_secs(1);

/// Gives the password for new connections.
pub(super) type Password = Arc<dyn Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync>;

/// A server and the connections to it, none of which is opened before it is needed.
pub(super) struct Pool {
    options: Mutex<PgConnectOptions>,
    password: Option<Password>,
    /// Whether a pooler in transaction mode is in front of the server.
    is_pooled: bool,
    /// As many as there may be connections.
    turns: Arc<Turns>,
    /// How long to wait for one.
    wait: Duration,
    idle: Arc<Idle>,
    /// When the server was last asked for a connection and had none left.
    refused_at: Mutex<Option<Instant>>,
    /// Whether the server could not be reached the last time.
    is_gone: AtomicBool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(
        options: PgConnectOptions,
        connections: u32,
        wait: Duration,
        password: Option<Password>,
        is_pooled: bool,
    ) -> Self {
        Self {
            options: Mutex::new(options),
            password,
            is_pooled,
            turns: Turns::new(connections, is_pooled),
            wait,
            idle: Arc::default(),
            refused_at: Mutex::default(),
            is_gone: AtomicBool::new(false),
        }
    }

    /// A connection on which `begin` was run, and the row that this gave, when it is the caller's turn. Later statements
    /// may take as long as `patience`.
    pub(super) async fn begin(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
        begin: &str,
    ) -> Result<(Connection, Option<PgRow>), StoreError> {
        let deadline = Instant::now() + self.wait;
        let turn = self.turn(operation, caller, deadline).await?;
        self.begin_with(operation, caller, turn, deadline, patience, begin).await
    }

    /// As [`begin`](Self::begin), or `None` if there is none at once.
    pub(super) async fn try_begin(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
        begin: &str,
    ) -> Result<Option<(Connection, Option<PgRow>)>, StoreError> {
        match self.turns.try_take(caller) {
            Some(turn) => self.begin_with(operation, caller, turn, Instant::now(), patience, begin).await.map(Some),
            None => Ok(None),
        }
    }

    async fn begin_with(
        &self,
        operation: &'static str,
        caller: &Caller,
        turn: Turn,
        deadline: Instant,
        patience: Duration,
        begin: &str,
    ) -> Result<(Connection, Option<PgRow>), StoreError> {
        loop {
            let (mut pooled, is_new) = self.connection(operation, caller, deadline).await?;
            let begun = sqlx::raw_sql(AssertSqlSafe(begin)).fetch_optional(&mut pooled.connection);
            // A pooler lets it wait for a connection of the server's.
            let left = if self.is_pooled { deadline.saturating_duration_since(Instant::now()) } else { REACH };
            let error = match tokio::time::timeout(left.max(REACH), begun).await {
                Ok(Ok(row)) => {
                    self.is_gone.store(false, Ordering::Relaxed);
                    return Ok((Connection::new(pooled, Arc::clone(&self.idle), patience, turn), row));
                }
                Ok(Err(error)) => from_sqlx(operation, error),
                Err(_) => {
                    self.idle.clear();
                    return Err(self.gone(operation));
                }
            };
            match error.kind() {
                // A pooler takes a connection before it knows whether the server has one for it.
                StoreErrorKind::Busy if Instant::now() < deadline => self.refused(Some(Instant::now())),
                // It was lost while nobody used it, as by a restart of the server, and so were those beside it.
                StoreErrorKind::Unavailable if !is_new => self.idle.clear(),
                _ => return Err(error),
            }
        }
    }

    /// A connection that nobody uses, or a new one, and whether it is new. If the server has none left, the next one that
    /// comes back or that the server has again.
    async fn connection(
        &self,
        operation: &'static str,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<(Pooled, bool), StoreError> {
        let mut refused = None;
        loop {
            if let Some(pooled) = self.idle.take() {
                return Ok((pooled, false));
            }
            if self.may_ask() {
                match self.reach(operation).await {
                    Err(error) if *error.kind() == StoreErrorKind::Busy => {
                        self.refused(Some(Instant::now()));
                        refused = Some(error);
                    }
                    reached => {
                        self.refused(None);
                        return reached.map(|connection| (Pooled::new(connection), true));
                    }
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(refused.unwrap_or_else(|| no_connection_left(operation)));
            }
            match caller.unless_left(self.idle.next(left.min(AGAIN))).await {
                Some(Some(pooled)) => return Ok((pooled, false)),
                Some(None) => {}
                None => return Err(nobody_waits(operation)),
            }
        }
    }

    /// Whether the server may be asked for another connection: after it had none left only every so often, by one call.
    fn may_ask(&self) -> bool {
        let mut refused_at = self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        match *refused_at {
            Some(at) if at.elapsed() < AGAIN => false,
            Some(_) => {
                *refused_at = Some(Instant::now());
                true
            }
            None => true,
        }
    }

    fn refused(&self, at: Option<Instant>) {
        *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// As [`reach`](Self::reach), waiting for a server that has no connection left, for a part of the time that there is.
    pub(super) async fn reach_patiently(
        &self,
        operation: &'static str,
        deadline: Instant,
    ) -> Result<PgConnection, StoreError> {
        let deadline = (Instant::now() + self.wait).min(deadline - AGAIN);
        let mut reached = self.reach(operation).await;
        loop {
            match reached {
                Err(error) if *error.kind() == StoreErrorKind::Busy && Instant::now() < deadline => {
                    tokio::time::sleep(AGAIN).await;
                    // What it said is true as long as it says nothing else.
                    let again = tokio::time::timeout_at(deadline.into(), self.reach(operation));
                    reached = again.await.unwrap_or(Err(error));
                }
                reached => return reached,
            }
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
        self.turns.close();
        let closing =
            self.idle.drain().into_iter().map(|pooled| tokio::time::timeout(CLOSE, pooled.connection.close()));
        join_all(closing).await;
    }

    async fn turn(&self, operation: &'static str, caller: &Caller, deadline: Instant) -> Result<Turn, StoreError> {
        // Kept beyond the time: what it waits for is seen while it is in its line.
        let mut turn = pin!(self.turns.take(caller));
        match caller.unless_left(tokio::time::timeout_at(deadline.into(), turn.as_mut())).await {
            Some(Ok(turn)) => turn.ok_or_else(|| closed(operation)),
            None => Err(nobody_waits(operation)),
            // More connections would not help.
            Some(Err(_)) if self.is_gone.load(Ordering::Relaxed) => Err(self.gone(operation)),
            Some(Err(_)) => Err(match self.turns.awaited(caller) {
                Awaited::OwnCalls => StoreError::new(StoreErrorKind::Busy, operation, OWN),
                Awaited::Alike => StoreError::new(StoreErrorKind::Busy, operation, ALIKE),
                Awaited::Lock => StoreError::new(StoreErrorKind::Busy, operation, LOCKED),
                Awaited::Connection => from_sqlx(operation, sqlx::Error::PoolTimedOut),
            }),
        }
    }

    /// Where the server is, for an error.
    pub(super) fn address(&self) -> String {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let host = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => options.get_host().to_owned(),
        };
        format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default())
    }

    /// Notes that the server does not answer.
    pub(super) fn gone(&self, operation: &'static str) -> StoreError {
        self.is_gone.store(true, Ordering::Relaxed);
        let context = if self.is_pooled { NO_ANSWER_BEHIND } else { NO_ANSWER };
        StoreError::new(StoreErrorKind::Unavailable, operation, context)
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
        Err(_) => Err(no_answer(operation)),
    }
}

/// Says that the server does not answer.
pub(super) fn no_answer(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, operation, NO_ANSWER)
}

fn is_no_file(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory)
}

const NO_ANSWER: &str = "the server does not answer; see whether it runs and can be reached";

const NO_ANSWER_BEHIND: &str = "neither the server nor the pooler before it answers; see whether both run, and whether the \
                                pooler may open as many connections (default_pool_size) as all stores together \
                                (max_connections)";

const ALIKE: &str = "other calls that are about no single user took all the time that it may wait; make fewer at once, wait \
                     longer or allow more connections";

const LOCKED: &str = "another process's change of the same user holds a lock, and many calls wait so; try again";

const OWN: &str = "other calls for the same user took all the time that it may wait; make fewer at once or wait longer";

/// What a call is told that nobody waits for any more. It has begun nothing.
pub(super) fn nobody_waits(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Closed, operation, "whoever made the call went away before its turn")
}

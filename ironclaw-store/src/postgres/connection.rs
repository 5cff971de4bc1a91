//! A connection that never goes back to the pool inside a transaction.

use std::future::Future;
use std::io;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};
use tokio::sync::OwnedSemaphorePermit;

use super::error::from_sqlx;

/// A connection taken from a pool. Unless it is given back, it is closed, and with it the transaction it is in: a
/// future that was dropped half-way, or a panic, leaves nothing open and no scope behind.
#[derive(Debug)]
pub(super) struct Connection {
    connection: Option<PoolConnection<Postgres>>,
    /// The longest that a statement may take before the server counts as gone.
    pub(super) patience: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(connection: PoolConnection<Postgres>, patience: Duration, slot: OwnedSemaphorePermit) -> Self {
        Self { connection: Some(connection), patience, _slot: slot }
    }

    /// The connection itself.
    pub(super) fn as_mut(&mut self, operation: &'static str) -> Result<&mut PgConnection, StoreError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(StoreError::new(StoreErrorKind::Internal, operation, "the connection was given back")),
        }
    }

    /// Runs a statement without parameters: of a transaction.
    pub(super) async fn run(&mut self, operation: &'static str, sql: &'static str) -> Result<(), StoreError> {
        self.run_built(operation, sql.to_owned()).await
    }

    /// Runs a statement that was put together without anything of a user in it.
    pub(super) async fn run_built(&mut self, operation: &'static str, sql: String) -> Result<(), StoreError> {
        let patience = self.patience;
        let done = bounded(patience, self.as_mut(operation)?.execute(AssertSqlSafe(sql))).await;
        done.map(drop).map_err(|error| from_sqlx(operation, error))
    }

    /// The number in the only row of a query; `None` if it failed.
    pub(super) async fn number(&mut self, sql: &'static str, named: bool) -> Option<i64> {
        let patience = self.patience;
        let connection = self.as_mut("number").ok()?;
        bounded(patience, sqlx::query_scalar(sql).persistent(named).fetch_one(connection)).await.ok()
    }

    /// Gives the connection, which is in no transaction, back to its pool.
    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Closes the socket; the server rolls back.
            drop(connection.detach());
        }
    }
}

/// What a call to the server gives, or an error of the kind [`io::ErrorKind::TimedOut`] if it does not end in time. The
/// connection is of no use then.
pub(super) async fn bounded<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(patience, call).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(io::Error::from(io::ErrorKind::TimedOut))),
    }
}

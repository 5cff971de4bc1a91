//! A connection that never goes back to the pool inside a transaction.

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use super::error::from_sqlx;

/// A connection taken from a pool. Unless it is given back, it is closed, and with it the transaction it is in: a
/// future that was dropped half-way, or a panic, leaves nothing open and no scope behind.
#[derive(Debug)]
pub(super) struct Connection(Option<PoolConnection<Postgres>>);

impl Connection {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self(Some(connection))
    }

    /// The connection itself.
    pub(super) fn as_mut(&mut self, operation: &'static str) -> Result<&mut PgConnection, StoreError> {
        match &mut self.0 {
            Some(connection) => Ok(connection),
            None => Err(StoreError::new(StoreErrorKind::Internal, operation, "the connection was given back")),
        }
    }

    /// Runs a statement without parameters: of a transaction.
    pub(super) async fn run(&mut self, operation: &'static str, sql: &'static str) -> Result<(), StoreError> {
        let done = self.as_mut(operation)?.execute(sql).await;
        done.map(drop).map_err(|error| from_sqlx(operation, error))
    }

    /// Runs a statement that was put together without anything of a user in it.
    pub(super) async fn run_built(&mut self, operation: &'static str, sql: String) -> Result<(), StoreError> {
        let done = self.as_mut(operation)?.execute(AssertSqlSafe(sql)).await;
        done.map(drop).map_err(|error| from_sqlx(operation, error))
    }

    /// The number in the only row of a query; `None` if it failed.
    pub(super) async fn number(&mut self, sql: &'static str, named: bool) -> Option<i64> {
        let connection = self.as_mut("number").ok()?;
        sqlx::query_scalar(sql).persistent(named).fetch_one(connection).await.ok()
    }

    /// Gives the connection, which is in no transaction, back to its pool.
    pub(super) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Closes the socket; the server rolls back.
            drop(connection.detach());
        }
    }
}

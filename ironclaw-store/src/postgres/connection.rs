//! A connection that never goes back to the pool inside a transaction.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::from_sqlx;
use super::idle::{Idle, Pooled};
use super::turns::Turn;

/// A connection taken from a pool. Unless it is given back, it is closed, and with it the transaction it is in: a
/// future that was dropped half-way, or a panic, leaves nothing open and no scope behind.
#[derive(Debug)]
pub(super) struct Connection {
    pooled: Option<Pooled>,
    idle: Arc<Idle>,
    /// The longest that a statement may take before the server counts as gone.
    pub(super) patience: Duration,
    // Last: the connection is closed or back before another may be opened.
    _turn: Turn,
}

/// How long the end of a transaction that leaves nothing may take before the connection is closed instead, which does
/// the same.
const END: Duration = Duration::from_secs(2);

/// An operator's statements, and those that delete all of something, may take as long as they need: a day is not reached.
pub(super) const UNBOUNDED: Duration = Duration::from_secs(86_400);

impl Connection {
    pub(super) fn new(pooled: Pooled, idle: Arc<Idle>, patience: Duration, turn: Turn) -> Self {
        Self { pooled: Some(pooled), idle, patience, _turn: turn }
    }

    /// The connection itself.
    pub(super) fn as_mut(&mut self, operation: &'static str) -> Result<&mut PgConnection, StoreError> {
        match &mut self.pooled {
            Some(pooled) => Ok(&mut pooled.connection),
            None => Err(StoreError::new(StoreErrorKind::Internal, operation, "the connection was given back")),
        }
    }

    /// Runs statements without parameters, in which there is nothing of a user. The first row, if there is one.
    pub(super) async fn run(
        &mut self,
        operation: &'static str,
        sql: impl Into<String>,
    ) -> Result<Option<PgRow>, StoreError> {
        let patience = self.patience;
        let call = sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_optional(self.as_mut(operation)?);
        bounded(patience, call).await.map_err(|error| from_sqlx(operation, error))
    }

    /// Ends a transaction that wrote nothing that is to be kept, by a commit or a roll-back, and gives the connection
    /// back; one that does not answer is closed.
    pub(super) async fn end(mut self, operation: &'static str, how: &'static str) {
        self.patience = self.patience.min(END);
        if self.run(operation, how).await.is_ok() {
            self.give_back();
        }
    }

    /// Gives the connection, which is in no transaction, back to its pool.
    pub(super) fn give_back(mut self) {
        if let Some(pooled) = self.pooled.take() {
            self.idle.put(pooled);
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

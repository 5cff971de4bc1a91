//! A transaction.

use std::borrow::Cow;
use std::sync::Arc;

use ironclaw_core::id::{TenantId, UserId};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use tokio::sync::Mutex;

use super::connection::{Connection, UNBOUNDED, bounded};
use super::error::from_sqlx;
use super::row::{Params, Row, params, tables};
use crate::damage;
use crate::sql::Standing;

mod bulk;

/// An open transaction with the scope of a user.
///
/// It runs in a task of its own, which nothing cancels: it ends by a commit or by a roll-back.
#[derive(Debug)]
pub(super) struct Tx {
    connection: Mutex<Connection>,
    operation: &'static str,
    /// Whether the server may keep statements by name: a pooler in transaction mode may not.
    named_statements: bool,
    limits: Arc<Limits>,
    pgvector: Arc<str>,
    scope: Entered,
}

/// The user in whose scope a transaction runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    /// The user: it stands for tenant and owner in every key. 0 for an operator.
    pub(super) owner_no: i64,
    /// The time that the change's rows carry.
    pub(super) now: Timestamp,
    /// Whether a legal hold stands on the user.
    pub(super) held: bool,
    /// Whether who writes was suspended.
    pub(super) suspended: bool,
    /// As what they are in the place that they write in.
    pub(super) standing: Standing,
}

/// An operator's, or nobody's yet.
impl Default for Entered {
    fn default() -> Self {
        let now = Timestamp::from_micros(0);
        Self { owner_no: 0, now, held: false, suspended: false, standing: Standing::Own }
    }
}

impl Tx {
    pub(super) fn new(
        connection: Connection,
        operation: &'static str,
        named_statements: bool,
        limits: Arc<Limits>,
        pgvector: Arc<str>,
    ) -> Self {
        let (connection, scope) = (Mutex::new(connection), Entered::default());
        Self { connection, operation, named_statements, limits, pgvector, scope }
    }

    /// Goes on in the scope that was entered.
    pub(super) fn enter(&mut self, scope: Entered) {
        self.scope = scope;
    }

    /// The user's number: it stands for tenant and owner in every key.
    pub(super) fn owner_no(&self) -> i64 {
        self.scope.owner_no
    }

    /// The time that the change's rows carry.
    pub(super) fn now(&self) -> Timestamp {
        self.scope.now
    }

    /// What is accepted.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The schema of pgvector, quoted. The path does not hold it: whatever is named there is named with it.
    pub(super) fn pgvector(&self) -> &str {
        &self.pgvector
    }

    /// The operation that is under way, for errors.
    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether a legal hold stands on the user.
    pub(super) fn is_held(&self) -> bool {
        self.scope.held
    }

    /// Whether the user was suspended.
    pub(super) fn is_suspended(&self) -> bool {
        self.scope.suspended
    }

    /// As what whoever writes is in the place that they write in.
    pub(super) fn standing(&self) -> Standing {
        self.scope.standing
    }

    /// Refuses to delete or overwrite what a legal hold protects. Whatever loses a value calls this first.
    pub(super) fn check_not_held(&self) -> Result<(), StoreError> {
        if self.is_held() {
            return Err(self.error(StoreErrorKind::LegalHold, "ask the operator to release the hold first"));
        }
        Ok(())
    }

    /// All rows of a query, each read by `read`.
    pub(super) async fn query<T>(
        &self,
        sql: impl Into<Sql>,
        params: Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut connection = self.connection.lock().await;
        let sql = sql.into();
        let (patience, text) = (connection.patience, sql.text());
        let query = self.prepared(sql, params)?;
        let rows = bounded(patience, query.fetch_all(connection.as_mut(self.operation)?)).await;
        let rows = rows.map_err(|error| self.failed_at(&text, error))?;
        rows.iter().map(|row| read(&Row::new(row, self.operation, &text))).collect()
    }

    /// The first row of a query, or `None`.
    pub(super) async fn query_row<T>(
        &self,
        sql: impl Into<Sql>,
        params: Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut connection = self.connection.lock().await;
        let sql = sql.into();
        let (patience, text) = (connection.patience, sql.text());
        let query = self.prepared(sql, params)?;
        let row = bounded(patience, query.fetch_optional(connection.as_mut(self.operation)?)).await;
        let row = row.map_err(|error| self.failed_at(&text, error))?;
        row.map(|row| read(&Row::new(&row, self.operation, &text))).transpose()
    }

    /// The number (`bigint`) in the first row of a query; 0 if there is no row.
    pub(super) async fn number(&self, sql: impl Into<Sql>, params: Params) -> Result<i64, StoreError> {
        Ok(self.query_row(sql, params, |row| row.i64(0)).await?.unwrap_or_default())
    }

    /// Runs a statement. How many rows it touched.
    pub(super) async fn execute(&self, sql: impl Into<Sql>, params: Params) -> Result<u64, StoreError> {
        let mut connection = self.connection.lock().await;
        let (patience, query) = (connection.patience, self.prepared(sql.into(), params)?);
        let done = bounded(patience, query.execute(connection.as_mut(self.operation)?)).await;
        Ok(done.map_err(|error| self.failed(error))?.rows_affected())
    }

    /// From now on the transaction's statements may take as long as they need: what deletes a million rows makes nobody else
    /// wait, and could not be done at all if it had to end sooner.
    pub(super) async fn take_time(&self) -> Result<(), StoreError> {
        self.connection.lock().await.patience = UNBOUNDED;
        self.query_row("SELECT set_config('statement_timeout', '0', true)", params![], |_| Ok(())).await.map(drop)
    }

    /// Enters the scope of a user within an operator's transaction, to write: locks the user, who is made known if
    /// they are not.
    pub(super) async fn lock_user(&self, tenant: &TenantId, user: &UserId) -> Result<Entered, StoreError> {
        let entered = self
            .query_row(
                "SELECT owner_no, held FROM ironclaw.enter_to_write($1, $2, '[]', current_setting('lock_timeout'))",
                params![tenant.as_str(), user.as_str()],
                |row| Ok(Entered { owner_no: row.i64(0)?, held: row.bool(1)?, ..self.scope }),
            )
            .await?;
        entered.ok_or_else(|| self.error(StoreErrorKind::Internal, "the user could not be made known"))
    }

    /// Enters the scope of a user whose number is known within an operator's transaction, to write: locks the user; `None`
    /// if they are not there any more.
    pub(super) async fn lock_owner(&self, owner_no: i64) -> Result<Option<Entered>, StoreError> {
        let lock = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR NO KEY UPDATE";
        if self.query_row(lock, params![owner_no], |_| Ok(())).await?.is_none() {
            return Ok(None);
        }
        // Only now, so that a hold which was placed meanwhile is seen.
        let sql = "SELECT count(*) FROM ironclaw.holds WHERE owner_no = $1 AND released_at IS NULL";
        let held = self.number(sql, params![owner_no]).await? > 0;
        Ok(Some(Entered { owner_no, held, ..self.scope }))
    }

    /// The connection, whose transaction is to be ended.
    pub(super) fn into_connection(self) -> Connection {
        self.connection.into_inner()
    }

    /// Ends a transaction that only read, and gives its connection back.
    pub(super) async fn end(self) {
        self.connection.into_inner().end(self.operation, "COMMIT").await;
    }

    /// Undoes what was done, and gives the connection back.
    pub(super) async fn roll_back(self) {
        self.connection.into_inner().end(self.operation, "ROLLBACK").await;
    }

    /// An error of this kind in the operation that is under way.
    pub(super) fn error(&self, kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        StoreError::new(kind, self.operation, context)
    }

    /// Says that what the change is about is not there.
    pub(super) fn not_found(&self, what: &str) -> StoreError {
        self.error(StoreErrorKind::NotFound, what)
    }

    /// Says that the change came too late.
    pub(super) fn conflict(&self, why: &str) -> StoreError {
        self.error(StoreErrorKind::Conflict, why)
    }

    /// The error of a statement; one that says that a stored value makes no sense names where it is.
    fn failed_at(&self, sql: &str, error: sqlx::Error) -> StoreError {
        let error = self.failed(error);
        let tables = tables(sql);
        if *error.kind() != StoreErrorKind::Corrupt || tables.is_empty() {
            return error;
        }
        damage::corrupt(self.operation, format!("a number of {tables} makes no sense")).with_source(error)
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        from_sqlx(self.operation, error)
    }

    fn prepared(&self, sql: Sql, params: Params) -> Result<Query<'static, Postgres, PgArguments>, StoreError> {
        let arguments = params.into_result().map_err(|error| {
            self.error(StoreErrorKind::Internal, "a parameter could not be encoded").with_source(error.to_string())
        })?;
        Ok(match sql {
            Sql::Static(sql) => sqlx::query_with(sql, arguments),
            Sql::Built(sql) => sqlx::query_with(AssertSqlSafe(sql), arguments),
        }
        .persistent(self.named_statements))
    }
}

/// The text of a statement. What is built holds nothing of a user: values are parameters.
pub(super) enum Sql {
    /// Written in the source.
    Static(&'static str),
    /// Put together from such texts and numbers.
    Built(String),
}

impl Sql {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Static(sql) => Cow::Borrowed(sql),
            Self::Built(sql) => Cow::Owned(sql.clone()),
        }
    }
}

impl From<&'static str> for Sql {
    fn from(sql: &'static str) -> Self {
        Self::Static(sql)
    }
}

impl From<&'static String> for Sql {
    fn from(sql: &'static String) -> Self {
        Self::Static(sql)
    }
}

impl From<String> for Sql {
    fn from(sql: String) -> Self {
        Self::Built(sql)
    }
}

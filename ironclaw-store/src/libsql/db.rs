//! One connection of libSQL, made synchronous, with its prepared statements.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::params::Params;
use libsql::{Connection, Value};

use super::budget::Budget;
use super::error::{error, now};
use super::locked::Locked;
use super::migrations;
use super::place::{Found, Place};
use super::row::{Row, params};
use super::statement::Prepared;

/// One connection, used by one thread at a time, whose statements are done when their calls return.
pub(super) struct Db {
    // The order of the fields is the order in which they are dropped: statements before their connection.
    statements: Locked<HashMap<(usize, usize), Prepared>>,
    connection: Connection,
    operation: Locked<&'static str>,
    /// Where the file must still be for a change to count; absent for a store in memory.
    place: Locked<Option<Arc<Place>>>,
    log_bytes: Locked<u64>,
    /// SQLite's number for what others have done to the file, when the log was that large.
    data_version: Locked<i64>,
    found: Locked<Option<Arc<Found>>>,
    deadline: Locked<Option<Instant>>,
    /// Whether transactions make sure that the schema is one that this version knows.
    checks_schema: Locked<bool>,
    /// How much the transaction under way may still remove.
    pub(super) budget: Budget,
    /// The texts of all statements that were run.
    #[cfg(test)]
    pub(super) texts: Locked<Vec<&'static str>>,
}

/// The longest pause between two tries to take a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// What begins a transaction that writes.
pub(super) const IMMEDIATE: &str = "BEGIN IMMEDIATE";

impl Db {
    /// Opens a connection; `path` must be absolute, a `file:` URI of such a path, or `:memory:`.
    pub(super) fn open(path: &str, flags: libsql::OpenFlags, busy_timeout: Duration) -> Result<Self, StoreError> {
        const OPEN: &str = "open";
        let database = now(OPEN, libsql::Builder::new_local(path).flags(flags).build())?;
        let connection = database.connect().map_err(|e| error(OPEN, e))?;
        connection.busy_timeout(busy_timeout).map_err(|e| error(OPEN, e))?;
        Ok(Self {
            statements: Locked::default(),
            connection,
            operation: Locked::new(OPEN),
            place: Locked::default(),
            log_bytes: Locked::default(),
            data_version: Locked::default(),
            found: Locked::default(),
            deadline: Locked::default(),
            checks_schema: Locked::default(),
            budget: Budget::default(),
            #[cfg(test)]
            texts: Locked::default(),
        })
    }

    /// Says that the file is a store of a schema that this version knows: each transaction looks whether it still is.
    pub(super) fn is_of_a_store(&self) {
        self.checks_schema.set(true);
    }

    /// How long SQLite itself waits for a lock.
    pub(super) fn patience(&self, busy_timeout: Duration) -> Result<(), StoreError> {
        self.connection.busy_timeout(busy_timeout).map_err(|e| error(self.operation(), e))
    }

    /// From now on changes count only while the store's files are at this place.
    pub(super) fn stay_at(&self, place: Arc<Place>) {
        self.place.set(Some(place));
    }

    /// Until when changes wait for another process's lock; without it they wait as long as the connection does.
    pub(super) fn wait_until(&self, deadline: Option<Instant>) {
        self.deadline.set(deadline);
    }

    /// The size of the log after the last change, in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes.get()
    }

    /// From now on this connection answers only while the files are as they were found: nothing tells it of changes.
    pub(super) fn stay_as(&self, found: Arc<Found>) {
        self.found.set(Some(found));
    }

    /// Fails if files that nothing tells of were changed.
    pub(super) fn unchanged(&self) -> Result<(), StoreError> {
        self.found.get().map_or(Ok(()), |found| found.check(self.operation()))
    }

    /// Fails if the store's files are not where they were.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        if let Some(place) = self.place.get() {
            self.log_bytes.set(place.check(self.operation())?);
        }
        Ok(())
    }

    /// Fails if the files are not where they were, or the log has lost what this connection left in it. It is asked while
    /// a transaction that writes is open: nobody else can cut the log then.
    pub(super) fn check_whole(&self) -> Result<(), StoreError> {
        if self.place.with(|place| place.is_none()) {
            return Ok(());
        }
        let before = self.log_bytes();
        // Whoever begins the log anew may cut it, and changes this number. Our own changes do not, and are looked at after
        // each commit.
        let version = self.number("PRAGMA data_version", params![])?;
        let is_ours = self.data_version.replace(version) == version;
        self.check_place()?;
        if is_ours && self.log_bytes() < before {
            // It stays so.
            self.log_bytes.set(before);
            let context = "the store's write-ahead log was cut short while it was open, with changes in it; close the store, \
                           and put the whole log back or restore a backup";
            return Err(self.error(StoreErrorKind::FileMoved, context));
        }
        Ok(())
    }

    /// Free space on the disk of the file that changes must stay at, in bytes, where there is one and the system tells.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.place.get().and_then(|place| place.free_bytes())
    }

    /// The size of that file without its log, in bytes.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.place.get().and_then(|place| place.path().metadata().ok()).map(|found| found.len())
    }

    /// Names the operation that errors will carry from now on, and renews what may be removed in it.
    pub(super) fn begin_operation(&self, operation: &'static str) {
        self.operation.set(operation);
        self.budget.renew();
    }

    /// The operation that is under way.
    pub(super) fn operation(&self) -> &'static str {
        self.operation.get()
    }

    /// An error of this kind in the operation that is under way.
    pub(super) fn error(&self, kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        StoreError::new(kind, self.operation(), context)
    }

    /// Runs a statement that gives no rows. How many rows it inserted, changed or deleted.
    pub(super) fn execute(&self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        self.with_statement(sql, |operation, prepared| {
            let rows = now(operation, prepared.statement.execute(Params::Positional(params)))?;
            Ok(rows as u64)
        })
    }

    /// Runs a statement and maps each of its rows.
    pub(super) fn query<T>(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        self.for_each(sql, params, |row| {
            items.push(map(row)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// Runs a statement and hands out each of its rows.
    pub(super) fn for_each(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        mut take: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.with_statement(sql, |operation, prepared| {
            let mut rows = now(operation, prepared.statement.query(Params::Positional(params)))?;
            while let Some(row) = now(operation, rows.next())? {
                take(&Row::new(&row, &prepared.columns, operation))?;
            }
            Ok(())
        })
    }

    /// Runs a statement that was put together from texts in the program, and hands out its rows until it is told to
    /// stop.
    pub(super) fn for_some(
        &self,
        sql: &str,
        params: Vec<Value>,
        mut take: impl FnMut(&Row<'_>) -> Result<Next, StoreError>,
    ) -> Result<(), StoreError> {
        let operation = self.operation();
        let prepared = Prepared::new(&self.connection, operation, sql)?;
        let mut rows = now(operation, prepared.statement.query(Params::Positional(params)))?;
        while let Some(row) = now(operation, rows.next())? {
            if take(&Row::new(&row, &prepared.columns, operation))? == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Runs a statement and maps its first row, if there is one. Changes with `RETURNING` are made whole before that.
    pub(super) fn query_row<T>(
        &self,
        sql: &'static str,
        params: Vec<Value>,
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.with_statement(sql, |operation, prepared| {
            let mut rows = now(operation, prepared.statement.query(Params::Positional(params)))?;
            match now(operation, rows.next())? {
                Some(row) => map(&Row::new(&row, &prepared.columns, operation)).map(Some),
                None => Ok(None),
            }
        })
    }

    /// The first column of the first row, which must be a whole number; 0 if there is no row.
    pub(super) fn number(&self, sql: &'static str, params: Vec<Value>) -> Result<i64, StoreError> {
        Ok(self.query_row(sql, params, |row| row.i64(0))?.unwrap_or_default())
    }

    /// Runs statements that take no parameters: schema and pragmas.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        now(self.operation(), self.connection.execute_batch(sql)).map(drop)
    }

    /// Whether no transaction is open.
    pub(super) fn is_autocommit(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// How many rows were changed since the connection was opened.
    pub(super) fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// The rowid of the last row inserted.
    pub(super) fn last_insert_rowid(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    /// Runs `run` in a transaction that writes.
    pub(super) fn write<T>(&self, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.patiently(|| self.begin(IMMEDIATE))?;
        self.end_write(run)
    }

    /// Runs `run` in the transaction that writes and is open, and ends it.
    pub(super) fn end_write<T>(&self, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.ending(run, Self::commit)
    }

    /// Commits the open transaction: an error if the files were moved away under it, before or after.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.check_place()?;
        self.execute("COMMIT", Vec::new())?;
        self.check_place()
    }

    /// Runs what needs another process's lock again and again, until it has it or the time is up.
    pub(super) fn patiently<T>(&self, run: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut pause = Duration::from_millis(1);
        loop {
            match run() {
                Err(error) if error.is_retryable() && self.deadline.get().is_some_and(|at| at > Instant::now()) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE);
                }
                result => return result,
            }
        }
    }

    /// A change that changes nothing, but stands in the log.
    pub(super) fn touch(&self) -> Result<(), StoreError> {
        self.write(|| {
            let version = self.number("PRAGMA user_version", params![])?;
            self.batch(&format!("PRAGMA user_version = {version}"))
        })
    }

    /// Runs `run` in a transaction that reads one snapshot.
    pub(super) fn snapshot<T>(&self, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.begin("BEGIN")?;
        self.ending(run, |db| db.execute("COMMIT", Vec::new()).map(drop))
    }

    /// Begins a transaction, unless another process has brought the file to a schema that this version does not know.
    pub(super) fn begin(&self, begin: &'static str) -> Result<(), StoreError> {
        self.execute(begin, Vec::new())?;
        let checked = match self.checks_schema.get() {
            true => self.check_not_newer(),
            false => Ok(()),
        };
        // A large change is in the log before it is committed.
        let checked = checked.and_then(|()| if begin == IMMEDIATE { self.check_whole() } else { Ok(()) });
        if checked.is_err() {
            self.roll_back();
        }
        checked
    }

    /// Fails if a newer version of this crate has migrated the file since it was opened.
    fn check_not_newer(&self) -> Result<(), StoreError> {
        match self.number("PRAGMA user_version", params![])? > migrations::ALL.len() as i64 {
            true => Err(migrations::newer(self.operation())),
            false => Ok(()),
        }
    }

    fn ending<T>(
        &self,
        run: impl FnOnce() -> Result<T, StoreError>,
        commit: impl FnOnce(&Self) -> Result<(), StoreError>,
    ) -> Result<T, StoreError> {
        let result = run().and_then(|value| commit(self).map(|()| value));
        if result.is_err() {
            self.roll_back();
        }
        result
    }

    /// Ends the open transaction, if there is one, without its changes.
    pub(super) fn roll_back(&self) {
        // Some errors have ended the transaction already; then there is nothing left to do.
        if !self.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK", Vec::new())
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn with_statement<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&'static str, &Prepared) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Once for all rows: asking takes a lock.
        let operation = self.operation();
        #[cfg(test)]
        self.texts.with(|texts| texts.push(sql));
        // Texts in the program are known by their address, which is cheaper to hash than the text.
        let key = (sql.as_ptr() as usize, sql.len());
        let kept = self.statements.with(|statements| statements.remove(&key));
        let prepared = match kept {
            Some(prepared) => prepared,
            None => Prepared::new(&self.connection, operation, sql)?,
        };
        let result = run(operation, &prepared);
        // Binding to a statement that was not reset would be ignored.
        prepared.statement.reset();
        self.statements.with(|statements| statements.insert(key, prepared));
        result
    }
}

/// Whether further rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Stop,
}

//! Calls of the crate as values, and what SQLite's codes say as errors.

use futures::FutureExt;
use ironclaw_core::store::{StoreError, StoreErrorKind};

/// The calls of a local connection are ready at once: the crate runs SQLite inside them.
pub(super) fn now<T>(
    operation: &'static str,
    future: impl Future<Output = Result<T, libsql::Error>>,
) -> Result<T, StoreError> {
    match future.now_or_never() {
        Some(result) => result.map_err(|e| error(operation, e)),
        None => Err(StoreError::new(StoreErrorKind::Internal, operation, "a call of a local database had to wait")),
    }
}

/// The primary result codes of SQLite (<https://sqlite.org/rescode.html>) and the extended ones we tell apart.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    pub(super) const READONLY_DBMOVED: i32 = 1032;
    pub(super) const CONSTRAINT_FOREIGNKEY: i32 = 787;
    pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
    pub(super) const CONSTRAINT_UNIQUE: i32 = 2067;
}

pub(super) fn error(operation: &'static str, error: libsql::Error) -> StoreError {
    let (kind, context) = match &error {
        libsql::Error::SqliteFailure(extended, _) => kind(*extended),
        libsql::Error::ConnectionFailed(_) => (StoreErrorKind::Io, "the file could not be opened"),
        _ => (StoreErrorKind::Internal, "the database refused a call"),
    };
    StoreError::new(kind, operation, context).with_source(error)
}

fn kind(extended: i32) -> (StoreErrorKind, &'static str) {
    match extended {
        code::CONSTRAINT_PRIMARYKEY | code::CONSTRAINT_UNIQUE => {
            return (StoreErrorKind::AlreadyExists, "its id is taken");
        }
        code::READONLY_DBMOVED => {
            let context = "the store's file was moved, deleted or replaced while it was open; close the store, put back the \
                           files that belong together, and open it again";
            return (StoreErrorKind::FileMoved, context);
        }
        code::CONSTRAINT_FOREIGNKEY => return (StoreErrorKind::NotFound, "what it belongs to is not there"),
        _ => {}
    }
    match extended & 0xff {
        code::BUSY | code::LOCKED => (StoreErrorKind::Busy, "another process holds a lock; try again"),
        code::READONLY => (StoreErrorKind::ReadOnly, "the file or its folder can't be written to"),
        code::FULL => (StoreErrorKind::Full, "free space on the file's disk and try again"),
        code::CORRUPT => (StoreErrorKind::Corrupt, "the database's structure is damaged; restore a backup"),
        code::NOTADB => (StoreErrorKind::NotAStore, "the file is not a database"),
        code::IOERR | code::CANTOPEN => (StoreErrorKind::Io, "the database's files could not be read or written"),
        _ => (StoreErrorKind::Internal, "the database failed"),
    }
}

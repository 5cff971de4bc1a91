//! Opening a file: what it may be used for, and its connections.

use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::OpenFlags;

use super::private::make_private;
use super::{Opened, Options};
use crate::libsql::db::Db;
use crate::libsql::place::{Found, Place};
use crate::libsql::schema;

/// How long the connections that write wait inside SQLite: the writer waits outside, where it can answer others.
const STEP: Duration = Duration::from_millis(10);

/// All connections that a file has in this process.
pub(super) struct Connections {
    pub(super) writer: Db,
    /// Absent where nothing is written, or nothing to disk.
    pub(super) checkpointer: Option<Db>,
    /// One that can't write, beside the one that checkpoints.
    pub(super) keeper: Option<Db>,
    /// Absent for a store in memory, whose one connection does everything.
    pub(super) readers: Vec<Db>,
    pub(super) found: Opened,
}

impl Connections {
    pub(super) fn in_memory(options: &Options) -> Result<Self, StoreError> {
        let writer = Db::open(":memory:", OpenFlags::default(), options.busy_timeout)?;
        schema::configure(&writer, false)?;
        schema::migrate(&writer)?;
        Ok(Self { writer, checkpointer: None, keeper: None, readers: Vec::new(), found: Opened::default() })
    }

    /// All of a file, which must stay where it was found: whatever fails because it was replaced meanwhile says so.
    pub(super) fn open(place: Arc<Place>, options: &Options) -> Result<Self, StoreError> {
        Self::open_found(Arc::clone(&place), options).map_err(|error| match place.check("open") {
            Err(moved) => moved.with_source(error),
            Ok(_) => error,
        })
    }

    fn open_found(place: Arc<Place>, options: &Options) -> Result<Self, StoreError> {
        schema::check_is_ours(&place)?;
        let privacy = make_private(&place)?;
        if !place.is_writable() {
            return Self::read_only(&place, options, Opened { read_only: true, privacy });
        }
        let path = place.name()?;
        let connect = |patience, read_only| {
            let db = Db::open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience)?;
            schema::configure(&db, read_only)?;
            Ok::<_, StoreError>(db)
        };
        // Nobody else asks for anything yet: SQLite may do the waiting.
        let writer = connect(options.busy_timeout, false)?;
        writer.stay_at(Arc::clone(&place));
        schema::enable_wal(&writer, options.busy_timeout)?;
        schema::migrate(&writer)?;
        place.remember_log()?;
        writer.patience(STEP)?;
        let checkpointer = connect(STEP, true)?;
        schema::check_newest(&checkpointer)?;
        // It holds a lock on the file from its first reading on.
        let keeper = Db::open(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, STEP)?;
        schema::check_newest(&keeper)?;
        let readers =
            (0..options.readers).map(|_| connect(options.busy_timeout, true)).collect::<Result<Vec<_>, _>>()?;
        readers.iter().for_each(Db::is_of_a_store);
        let found = Opened { read_only: false, privacy };
        Ok(Self { writer, checkpointer: Some(checkpointer), keeper: Some(keeper), readers, found })
    }

    /// Opens what can't be written to. The log can be read where it is whole: with the index beside it, or with none of
    /// its own in it.
    fn read_only(place: &Arc<Place>, options: &Options, found: Opened) -> Result<Self, StoreError> {
        let (path, frozen) = match place.beside("-wal").metadata() {
            Ok(log) if log.len() > 0 => (place.name()?, None),
            // Nothing tells SQLite of changes to such a file, so each reading looks for itself.
            _ => (place.immutable_name()?, Some(Arc::new(Found::at(place)?))),
        };
        let connect = || {
            let db = Db::open(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, options.busy_timeout)?;
            schema::configure(&db, true)?;
            schema::check_newest(&db)?;
            if let Some(frozen) = &frozen {
                db.stay_as(Arc::clone(frozen));
            }
            Ok::<_, StoreError>(db)
        };
        let writer = connect().map_err(|error| match error.kind() {
            StoreErrorKind::Io if frozen.is_none() => {
                let context = "a write-ahead log stands beside the file, which can't be read where nothing can be \
                               written; copy both files to a folder that you may write to and open that, or close the \
                               store where it was written";
                StoreError::new(StoreErrorKind::ReadOnly, "open", context).with_source(error)
            }
            _ => error,
        })?;
        let readers = (0..options.readers).map(|_| connect()).collect::<Result<_, _>>()?;
        Ok(Self { writer, checkpointer: None, keeper: None, readers, found })
    }
}

#[cfg(test)]
mod tests {
    use ironclaw_core::SystemClock;

    use super::*;

    #[test]
    fn a_file_that_goes_while_it_is_opened_was_moved() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            clock: Arc::new(SystemClock),
            busy_timeout: Duration::ZERO,
            readers: 1,
            vector_cache_bytes: 0,
            log_limit: 1 << 20,
            receipts_kept: Duration::ZERO,
            reserve_bytes: 0,
        };
        let path = folder.path().join("agent.db");
        let place = Arc::new(Place::find_or_make(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let error = Connections::open(Arc::clone(&place), &options).err().unwrap();
        assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{error}");
        // What SQLite itself says to whoever writes then.
        let error = {
            let place = Arc::new(Place::find_or_make(&path).unwrap());
            let db = Db::open(&place.name().unwrap(), OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::ZERO).unwrap();
            db.batch("CREATE TABLE t (x)").unwrap();
            std::fs::remove_file(&path).unwrap();
            db.batch("INSERT INTO t VALUES (1)").unwrap_err()
        };
        assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{error}");
    }
}

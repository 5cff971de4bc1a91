use ironclaw_core::maintenance::Scrubbed;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::libsql::LibsqlStore;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::{change, wait, workspace};

const OPERATION: &str = "scrub";

/// From this size on the file is rewritten by way of a temporary file, and not of memory.
const REWRITTEN_IN_MEMORY: i64 = 256 << 20;

/// How many receipts one step removes.
const RECEIPTS_AT_ONCE: u32 = 1_000;

/// Removes what is swept, rewrites the file and empties the log. Everybody who writes waits while the file is rewritten: it
/// is the one thing that is not done in small steps.
pub(super) async fn scrub(store: &LibsqlStore) -> Result<Scrubbed, StoreError> {
    let mut pending = Vec::new();
    wait::settled(store.engine(), OPERATION).await?;
    while pending.is_empty() {
        let (now, kept) = (store.engine().now(), store.limits().receipts_kept);
        let swept = store.engine().delete(OPERATION, move |db| {
            db.write(|| {
                let receipts = change::sweep_receipts(db, kept, now, RECEIPTS_AT_ONCE)?;
                Ok(receipts + workspace::give_up_abandoned(db, now)? + workspace::sweep(db)?)
            })
        });
        let swept = swept.await;
        if note_busy(swept, "what was deleted is not swept", &mut pending)? == Some(0) {
            break;
        }
    }
    // On the writer's thread: while that removes something, the reserve may be free for it, and for nobody else.
    let rewritten = store.engine().write(OPERATION, |db| {
        let room = Room::of(db)?;
        room.check()?;
        tracing::info!(bytes = room.needed, "rewriting the store's file; whoever writes waits until it is done");
        rewrite(db).map_err(|error| room.told(error))
    });
    let rewritten = rewritten.await;
    note_busy(rewritten, "the file is not rewritten", &mut pending)?;
    let emptied = store.engine().empty_log(OPERATION).await;
    if note_busy(emptied, "the log is not emptied", &mut pending)? == Some(false) {
        pending.push("the log still holds deleted bytes: another process is reading; scrub again".to_owned());
    }
    Ok(Scrubbed::new(pending))
}

/// What room there is on the disk, in bytes.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// About how much the rewriting takes.
    needed: u64,
    /// Absent where the system does not tell.
    free: Option<u64>,
}

impl Room {
    fn of(db: &Db) -> Result<Self, StoreError> {
        let sql = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, \
                   pragma_page_size";
        let used = db.number(sql, params![])?.max(0).cast_unsigned();
        // Each page that is in use goes into the log, with what says which it is; then the file grows by what it has not yet.
        let log = used + used / 100 + (1 << 20);
        Ok(Self { needed: log + used.saturating_sub(db.file_bytes().unwrap_or(used)), free: db.free_bytes() })
    }

    fn check(self) -> Result<(), StoreError> {
        match self.free {
            Some(free) if free < self.needed => Err(self.full("are free")),
            _ => Ok(()),
        }
    }

    /// Says what room it needs, too, where others took it after it had begun.
    fn told(self, error: StoreError) -> StoreError {
        match error.kind() {
            StoreErrorKind::Full => self.full("were free when it began").with_source(error),
            _ => error,
        }
    }

    fn full(self, how: &str) -> StoreError {
        let (needed, free) = (self.needed, self.free.map_or_else(|| "not enough".to_owned(), |free| free.to_string()));
        let context = format!(
            "rewriting the file needs {needed} bytes on its disk, and {free} {how}; what was deleted is overwritten, free \
             space and scrub again for copies of it in pages that were rearranged"
        );
        StoreError::new(StoreErrorKind::Full, OPERATION, context)
    }
}

fn rewrite(db: &Db) -> Result<(), StoreError> {
    let size = db.number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", params![])?;
    if size > REWRITTEN_IN_MEMORY {
        db.batch("PRAGMA temp_store = FILE")?;
    }
    // Overwriting what is deleted leaves copies in pages that were rearranged; rewriting the file does not.
    let vacuumed = db.patiently(|| db.execute("VACUUM", params![]));
    if size > REWRITTEN_IN_MEMORY {
        db.batch("PRAGMA temp_store = MEMORY")?;
    }
    vacuumed?;
    // The log may be shorter now.
    db.check_place()
}

/// What was done; that others are using the file is no error of the scrub.
fn note_busy<T>(result: Result<T, StoreError>, what: &str, pending: &mut Vec<String>) -> Result<Option<T>, StoreError> {
    match result {
        Err(error) if *error.kind() == StoreErrorKind::Busy => {
            pending.push(format!("{what}: another process is using the file; scrub again"));
            Ok(None)
        }
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_room_it_needs_is_said_before() {
        let error = Room { needed: 5_000, free: Some(4_999) }.check().unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Full);
        assert!(error.context().contains("5000 bytes") && error.context().contains("4999 are free"), "{error}");
        Room { needed: 5_000, free: Some(5_000) }.check().unwrap();
        Room { needed: 5_000, free: None }.check().unwrap();
    }

    #[test]
    fn the_room_it_needs_is_said_when_it_ran_out_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let db = Db::open(path.to_str().unwrap(), libsql::OpenFlags::default(), Duration::ZERO).unwrap();
        db.batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1 << 20))").unwrap();
        // No larger than it is: to SQLite that is what a full disk is.
        let room = Room { needed: 2_000_000, free: Some(3_000_000) };
        let error = db.batch("PRAGMA max_page_count = 1; INSERT INTO t VALUES (zeroblob(1 << 20))").unwrap_err();
        let error = room.told(error);
        assert_eq!(*error.kind(), StoreErrorKind::Full);
        assert!(error.context().contains("2000000 bytes") && error.context().contains("3000000 were free"), "{error}");
        assert!(error.cause().is_some());
    }
}

use ironclaw_core::maintenance::Scrubbed;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::libsql::LibsqlStore;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::{change, removal, workspace};

const OPERATION: &str = "scrub";

/// From this size on the file is rewritten by way of a temporary file, and not of memory.
const REWRITTEN_IN_MEMORY: i64 = 256 << 20;

/// How many receipts one step removes.
const RECEIPTS_AT_ONCE: u32 = 1_000;

/// Removes what is swept, rewrites the file and empties the log. Everybody who writes waits while the file is rewritten: it
/// is the one thing that is not done in small steps.
pub(super) async fn scrub(store: &LibsqlStore) -> Result<Scrubbed, StoreError> {
    let mut pending = Vec::new();
    removal::settled(&store.engine, OPERATION).await?;
    while pending.is_empty() {
        let (now, kept) = (store.engine.now(), store.limits().receipts_kept);
        let swept = store.engine.delete(OPERATION, move |db| {
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
    let needed = store.read_any(OPERATION, needed).await?;
    check_room(needed, store.engine.health().await?.free_bytes)?;
    tracing::info!(bytes = needed, "rewriting the store's file; whoever writes waits until it is done");
    let rewritten = store.engine.write(OPERATION, rewrite).await;
    note_busy(rewritten, "the file is not rewritten", &mut pending)?;
    let emptied = store.engine.empty_log(OPERATION).await;
    if note_busy(emptied, "the log is not emptied", &mut pending)? == Some(false) {
        pending.push("the log still holds deleted bytes: another process is reading; scrub again".to_owned());
    }
    Ok(Scrubbed { pending })
}

/// About how many bytes the log takes while the file is rewritten: each page that is in use, and what says which it is.
fn needed(db: &Db) -> Result<u64, StoreError> {
    let sql = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, \
               pragma_page_size";
    let used = db.number(sql, params![])?.max(0).cast_unsigned();
    Ok(used + used / 100 + (1 << 20))
}

fn check_room(needed: u64, free: Option<u64>) -> Result<(), StoreError> {
    match free {
        Some(free) if free < needed => Err(StoreError::new(
            StoreErrorKind::Full,
            OPERATION,
            format!(
                "rewriting the file needs {needed} bytes on its disk, and {free} are free; what was deleted is \
                 overwritten, free space and scrub again for copies of it in pages that were rearranged"
            ),
        )),
        _ => Ok(()),
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
    use super::*;

    #[test]
    fn the_room_it_needs_is_said_before() {
        let error = check_room(5_000, Some(4_999)).unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Full);
        assert!(error.context().contains("5000 bytes") && error.context().contains("4999 are free"), "{error}");
        check_room(5_000, Some(5_000)).unwrap();
        check_room(5_000, None).unwrap();
    }
}

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

/// Removes what is swept, rewrites the file and empties the log.
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
    let rewritten = store.engine.write(OPERATION, rewrite).await;
    note_busy(rewritten, "the file is not rewritten", &mut pending)?;
    let emptied = store.engine.empty_log(OPERATION).await;
    if note_busy(emptied, "the log is not emptied", &mut pending)? == Some(false) {
        pending.push("the log still holds deleted bytes: another process is reading; scrub again".to_owned());
    }
    Ok(Scrubbed { pending })
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
    vacuumed.map(drop)
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

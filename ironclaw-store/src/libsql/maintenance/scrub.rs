use ironclaw_core::maintenance::Scrubbed;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::libsql::LibsqlStore;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::workspace;

const OPERATION: &str = "scrub";

/// How many rows one transaction of the sweep deletes.
const SWEPT_AT_ONCE: u32 = 2_000;

/// From this size on the file is rewritten by way of a temporary file, and not of memory.
const REWRITTEN_IN_MEMORY: i64 = 256 << 20;

/// Removes what is swept, rewrites the file and empties the log.
pub(super) async fn scrub(store: &LibsqlStore) -> Result<Scrubbed, StoreError> {
    let mut pending = Vec::new();
    while pending.is_empty() {
        let now = store.engine.now();
        let swept =
            store.engine.write(OPERATION, move |db| db.write(|| workspace::sweep(db, now, SWEPT_AT_ONCE))).await;
        match swept {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => note(error, "what was deleted is not swept", &mut pending)?,
        }
    }
    store.engine.write(OPERATION, move |db| rewrite(db, &mut pending).map(|()| Scrubbed { pending })).await
}

fn rewrite(db: &Db, pending: &mut Vec<String>) -> Result<(), StoreError> {
    let size = db.number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", params![])?;
    if size > REWRITTEN_IN_MEMORY {
        db.batch("PRAGMA temp_store = FILE")?;
    }
    // Overwriting what is deleted leaves copies in pages that were rearranged; rewriting the file does not.
    let vacuumed = db.execute("VACUUM", params![]);
    if size > REWRITTEN_IN_MEMORY {
        db.batch("PRAGMA temp_store = MEMORY")?;
    }
    if let Err(error) = vacuumed {
        note(error, "the file is not rewritten", pending)?;
    }
    match db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", params![], |row| row.i64(0)) {
        Ok(Some(0) | None) => {}
        Ok(Some(_)) => {
            pending.push("the log still holds deleted bytes: somebody is reading or writing; scrub again".to_owned());
        }
        Err(error) => note(error, "the log is not emptied", pending)?,
    }
    Ok(())
}

/// That others are using the file is no error of the scrub.
fn note(error: StoreError, what: &str, pending: &mut Vec<String>) -> Result<(), StoreError> {
    match error.kind() {
        StoreErrorKind::Busy => {
            pending.push(format!("{what}: another process is using the file; scrub again"));
            Ok(())
        }
        _ => Err(error),
    }
}

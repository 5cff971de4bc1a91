//! What steps remove of a user: their content, private parts of their events, or all of them.

use ironclaw_core::Timestamp;
use ironclaw_core::store::StoreError;

use crate::codes::forgotten_actions;
use crate::libsql::db::Db;
use crate::libsql::portions::{portion, some};
use crate::libsql::removal::Removal;
use crate::libsql::row::params;
use crate::libsql::workspace;
use crate::{access, conversations, jobs, secrets, settings};

/// Deletes some of a user who is erased: of everything but the public part of their chain. How many rows.
pub(in crate::libsql) fn remove_user(db: &Db, owner_no: i64, content_no: i64) -> Result<u64, StoreError> {
    let mut rows = remove_content(db, content_no)?;
    for table in secrets::OWNED.iter().chain(&access::OWNED).chain(&settings::OWNED) {
        rows += portion(db, table, owner_no)?;
    }
    for sql in [
        "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence IN \
         (SELECT sequence FROM audit_private WHERE owner_no = ?1 LIMIT ?2)",
        // What operators did to the user names them too, and what spaces tell of them.
        "DELETE FROM audit_private WHERE (owner_no, sequence) IN \
         (SELECT owner_no, sequence FROM audit_private WHERE about = ?1 LIMIT ?2)",
        "DELETE FROM audit_pseudonyms WHERE owner_no = ?1 AND (kind, name) IN \
         (SELECT kind, name FROM audit_pseudonyms WHERE owner_no = ?1 LIMIT ?2)",
        "DELETE FROM holds WHERE hold_no IN (SELECT hold_no FROM holds WHERE owner_no = ?1 LIMIT ?2)",
        "DELETE FROM user_roles WHERE owner_no = ?1 AND role IN \
         (SELECT role FROM user_roles WHERE owner_no = ?1 LIMIT ?2)",
    ] {
        rows += some(db, sql, owner_no, 1)?;
    }
    Ok(rows)
}

/// Deletes the row of a user of whom nothing else is left.
pub(in crate::libsql) fn delete_user(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    db.execute("UPDATE users SET content_no = NULL WHERE owner_no = ?1", params![owner_no])?;
    db.execute("DELETE FROM users WHERE owner_no = ?1", params![owner_no])
}

/// Keeps the record of an erasure, which names nobody.
pub(in crate::libsql) fn record_erasure(
    db: &Db,
    owner_no: i64,
    id: [u8; 16],
    rows: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO erasures (id, stream, deleted_rows, created_at) \
         SELECT ?2, stream, ?3, ?4 FROM audit_streams WHERE owner_no = ?1",
        params![owner_no, &id, rows, now],
    )
    .map(drop)
}

/// Deletes some of the content under a number. How many rows.
pub(super) fn remove_content(db: &Db, content_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for table in jobs::OWNED.iter().chain(&conversations::OWNED) {
        rows += portion(db, table, content_no)?;
    }
    rows += workspace::erase(db, content_no)?;
    rows += some(
        db,
        "DELETE FROM receipts WHERE owner_no = ?1 AND key IN (SELECT key FROM receipts WHERE owner_no = ?1 LIMIT ?2)",
        content_no,
        4,
    )?;
    Ok(rows)
}

/// Deletes the private parts of some of the events that a user forgets, and moves the position on. How many.
pub(super) fn remove_private(db: &Db, removal: &mut Removal) -> Result<u64, StoreError> {
    let forgotten = serde_json::json!(forgotten_actions()).to_string();
    let mut rows = 0;
    while removal.position < removal.last_event && db.budget.is_left() {
        let end = removal.last_event.min(removal.position + u64::from(db.budget.left()));
        rows += db.execute(
            "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence > ?2 AND sequence <= ?3 AND sequence IN \
             (SELECT sequence FROM audit_events WHERE owner_no = ?1 AND sequence > ?2 AND sequence <= ?3 \
             AND action IN (SELECT value FROM json_each(?4)))",
            params![removal.owner_no, removal.position, end, forgotten.as_str()],
        )?;
        db.budget.spend(end - removal.position);
        removal.position = end;
    }
    Ok(rows)
}

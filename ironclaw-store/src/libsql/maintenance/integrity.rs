use ironclaw_core::store::StoreError;

use crate::copy::{self, STAGED};
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::{access, conversations, removal, secrets, workspace};

/// What is wrong with the file, in words, without a user's content.
pub(super) fn check(db: &Db) -> Result<Vec<String>, StoreError> {
    let mut wrong = db.query("PRAGMA integrity_check", params![], |row| row.text(0))?;
    wrong.retain(|line| line != "ok");
    db.for_each("PRAGMA foreign_key_check", params![], |row| {
        wrong.push(format!("{}: a row refers to one of {} that is not there", row.text(0)?, row.text(2)?));
        Ok(())
    })?;
    // A text index can only be compared with rows that can be read.
    if wrong.is_empty() {
        let staged = db.number("SELECT count(*) FROM users WHERE tenant = ?1", params![STAGED])?;
        wrong.extend(copy::unfinished(staged));
        wrong.extend(removal::unfinished(db)?);
        wrong.extend(conversations::check(db)?);
        wrong.extend(sequences(db)?);
        wrong.extend(workspace::check(db)?);
        wrong.extend(secrets::check(db)?);
        wrong.extend(access::check(db)?);
    }
    Ok(wrong)
}

/// Sequences without gaps, and chains as long as their rows say.
fn sequences(db: &Db) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    for (sql, what) in [
        (
            "SELECT count(*) FROM conversations c WHERE c.messages <> (SELECT count(*) FROM messages m \
             WHERE m.owner_no = c.owner_no AND m.conversation = c.id AND m.sequence BETWEEN 1 AND c.messages)",
            "conversations: messages are missing",
        ),
        (
            "SELECT count(*) FROM (SELECT 1 FROM job_events GROUP BY owner_no, job \
             HAVING max(sequence) <> count(*) OR min(sequence) <> 1)",
            "job_events: steps are missing",
        ),
        (
            "SELECT count(*) FROM audit_streams s WHERE s.sequence <> \
             (SELECT count(*) FROM audit_events e WHERE e.owner_no = s.owner_no)",
            "audit_events: events are missing",
        ),
        (
            "SELECT count(*) FROM users u WHERE u.tenant <> char(1) || 'content' AND NOT EXISTS \
             (SELECT 1 FROM audit_streams s WHERE s.owner_no = u.owner_no)",
            "users: a user has no audit stream",
        ),
    ] {
        let rows = db.number(sql, params![])?;
        if rows > 0 {
            wrong.push(format!("{what} ({rows})"));
        }
    }
    Ok(wrong)
}

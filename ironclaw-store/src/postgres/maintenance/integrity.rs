use ironclaw_core::store::StoreError;

use crate::copy::{self, STAGED};
use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::postgres::{access, conversations, secrets, workspace};

/// What is wrong with the database, in words, without a user's content.
pub(super) async fn check(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let staged = tx.number("SELECT count(*) FROM ironclaw.users WHERE tenant = $1", params![STAGED]).await?;
    wrong.extend(copy::unfinished(staged));
    wrong.extend(conversations::check(tx).await?);
    for (sql, what) in SEQUENCES {
        let rows = tx.number(sql, params![]).await?;
        if rows > 0 {
            wrong.push(format!("{what} ({rows})"));
        }
    }
    wrong.extend(workspace::check(tx).await?);
    wrong.extend(secrets::check(tx).await?);
    wrong.extend(access::check(tx).await?);
    wrong.extend(unprotected(tx).await?);
    Ok(wrong)
}

/// Sequences without gaps, and chains as long as their rows say.
const SEQUENCES: [(&str, &str); 4] = [
    (
        "SELECT count(*) FROM ironclaw.conversations c WHERE c.messages <> (SELECT count(*) FROM ironclaw.messages m \
         WHERE m.owner_no = c.owner_no AND m.conversation = c.id AND m.sequence BETWEEN 1 AND c.messages)",
        "conversations: messages are missing",
    ),
    (
        "SELECT count(*) FROM (SELECT FROM ironclaw.job_events GROUP BY owner_no, job \
         HAVING max(sequence) <> count(*) OR min(sequence) <> 1) torn",
        "job_events: steps are missing",
    ),
    (
        "SELECT count(*) FROM ironclaw.audit_streams s WHERE s.sequence <> \
         (SELECT count(*) FROM ironclaw.audit_events e WHERE e.owner_no = s.owner_no)",
        "audit_events: events are missing",
    ),
    (
        "SELECT count(*) FROM ironclaw.users u WHERE NOT EXISTS \
         (SELECT FROM ironclaw.audit_streams s WHERE s.owner_no = u.owner_no)",
        "users: a user has no audit stream",
    ),
];

/// Tables that hold a user's rows without forced row-level security: somebody switched it off.
async fn unprotected(tx: &Tx) -> Result<Vec<String>, StoreError> {
    tx.query(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace AND c.relkind = 'r' \
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND EXISTS (SELECT FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attname IN ('owner_no', 'tenant') AND NOT a.attisdropped) \
         AND c.relname <> 'retention_policies' ORDER BY 1",
        params![],
        |row| Ok(format!("{}: row-level security is switched off", row.text(0)?)),
    )
    .await
}

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

/// Protection that somebody loosened: row-level security that is switched off, policies that are not the schema's, and
/// tables of the audit trail that the application may write by itself.
async fn unprotected(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    for (sql, what) in LOOSENED {
        wrong.extend(tx.query(sql, params![], |row| Ok(format!("{}: {what}", row.text(0)?))).await?);
    }
    Ok(wrong)
}

const LOOSENED: [(&str, &str); 3] = [
    (
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace AND c.relkind = 'r' \
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity) AND EXISTS (SELECT FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attname IN ('owner_no', 'tenant') AND NOT a.attisdropped) ORDER BY 1",
        "row-level security is switched off",
    ),
    (
        "SELECT DISTINCT p.tablename::text FROM pg_policies p WHERE p.schemaname = 'ironclaw' AND NOT ( \
         p.policyname IN ('scope_select', 'scope_insert', 'scope_update', 'scope_delete') AND p.roles = '{ironclaw_app}' \
         AND p.cmd = upper(substr(p.policyname::text, 7)) \
         OR p.policyname = 'owner_all' AND p.roles = '{ironclaw_owner}' \
         OR p.policyname = 'auditor_select' AND p.roles = '{ironclaw_auditor}' AND p.cmd = 'SELECT') ORDER BY 1",
        "a policy is not the schema's",
    ),
    (
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace AND c.relkind = 'r' \
         AND c.relname LIKE 'audit\\_%' AND (has_table_privilege('ironclaw_app', c.oid, 'DELETE, TRUNCATE, TRIGGER') \
         OR has_any_column_privilege('ironclaw_app', c.oid, 'INSERT, UPDATE')) ORDER BY 1",
        "the application may write the audit trail by itself",
    ),
];

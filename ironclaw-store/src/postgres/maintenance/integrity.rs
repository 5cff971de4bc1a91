//! The check of the database's integrity: one thing after the other, each in a snapshot of its own.

use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::PostgresMaintenance;
use crate::copy;
use crate::integrity::Found;
use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::postgres::{audit, conversations, workspace};
use crate::reserved::STAGED;

mod rows;

const OPERATION: &str = "check_integrity";

/// One thing that is looked at: what is wrong with it, in words.
type Look = for<'a> fn(&'a Tx) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

/// What is looked at beside the rows of each table.
const LOOKS: [(&str, Look); 4] = [
    ("the index of messages", |tx| conversations::check(tx).boxed()),
    ("the workspace", |tx| workspace::check(tx).boxed()),
    ("the audit trail", |tx| chains(tx).boxed()),
    ("the tables' protection", |tx| unprotected(tx).boxed()),
];

/// What is wrong with the database, in words, without a user's content.
pub(super) async fn check(maintenance: &PostgresMaintenance) -> Result<Vec<String>, StoreError> {
    let mut found = Found::default();
    // What is unfinished comes first: what else is found may be its.
    let unfinished = maintenance.read(OPERATION, (), |tx, ()| unfinished(tx).boxed()).await?;
    unfinished.into_iter().for_each(|line| found.note(line, None));
    for table in maintenance.read(OPERATION, (), |tx, ()| rows::tables(tx).boxed()).await? {
        let name = table.clone();
        let looked = maintenance.read(OPERATION, table, |tx, table| rows::check(tx, table).boxed()).await;
        match looked {
            Ok(wrong) => wrong.into_iter().for_each(|(kind, row)| found.note(kind, Some(&row))),
            Err(error) => give_up(&mut found, &format!("the table {name}"), error)?,
        }
    }
    for (about, look) in LOOKS {
        match maintenance.read(OPERATION, (), move |tx, ()| look(tx)).await {
            Ok(lines) => lines.into_iter().for_each(|line| found.note(line, None)),
            Err(error) => give_up(&mut found, about, error)?,
        }
    }
    Ok(found.into_lines())
}

/// Notes that something can't be looked at because it is damaged.
fn give_up(found: &mut Found, about: &str, error: StoreError) -> Result<(), StoreError> {
    match error.kind() {
        // What the server makes of numbers that make no sense is an error of its own.
        StoreErrorKind::Corrupt | StoreErrorKind::Internal => {
            found.note(format!("{about} can't be looked at any further: {}", error.context()), None);
            Ok(())
        }
        _ => Err(error),
    }
}

async fn unfinished(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let staged = tx.number("SELECT count(*) FROM ironclaw.users WHERE tenant = $1", params![STAGED]).await?;
    Ok(copy::unfinished(staged).into_iter().collect())
}

async fn chains(tx: &Tx) -> Result<Vec<String>, StoreError> {
    match audit::verify_all(tx).await {
        Ok(_) => Ok(Vec::new()),
        Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
            Ok(vec![format!("audit_events: {}", error.context())])
        }
        Err(error) => Err(error),
    }
}

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

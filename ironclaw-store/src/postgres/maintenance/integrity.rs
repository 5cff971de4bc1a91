//! The check of the database's integrity: one thing after the other, each in a snapshot of its own.

use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::PostgresMaintenance;
use crate::copy;
use crate::integrity::Found;
use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::postgres::{conversations, definitions, role, server, workspace};
use crate::reserved::STAGED;

mod rows;

const OPERATION: &str = "check_integrity";

/// One thing that is looked at: what is wrong with it, in words.
type Look = for<'a> fn(&'a Tx) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

/// What is looked at beside the rows of each table.
const LOOKS: [(&str, Look); 2] = [
    ("the index of messages", |tx| conversations::check(tx).boxed()),
    ("the workspace", |tx| workspace::check(tx).boxed()),
];

/// What is wrong with the database, in words, without a user's content.
pub(super) async fn check(maintenance: &PostgresMaintenance) -> Result<Vec<String>, StoreError> {
    let mut found = Found::default();
    // What is unfinished comes first: what else is found may be its.
    let unfinished = maintenance.read(OPERATION, (), |tx, ()| unfinished(tx).boxed()).await?;
    unfinished.into_iter().for_each(|line| found.note(line, None));
    let unprotected = match maintenance.read(OPERATION, (), |tx, ()| unprotected(tx).boxed()).await {
        Ok(lines) => lines,
        Err(error) => {
            give_up(&mut found, "the tables' protection", error)?;
            Vec::new()
        }
    };
    for table in maintenance.read(OPERATION, (), |tx, ()| rows::tables(tx).boxed()).await? {
        if definitions::is_anothers(&table, &unprotected) {
            continue;
        }
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
    match maintenance.categories.verify_audit().await {
        Ok(_) => {}
        Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
            found.note(format!("audit_events: {}", error.context()), None);
        }
        Err(error) => give_up(&mut found, "the audit trail", error)?,
    }
    unprotected.into_iter().for_each(|line| found.note(line, None));
    Ok(found.into_lines())
}

/// Notes that something can't be looked at because it is damaged.
fn give_up(found: &mut Found, about: &str, error: StoreError) -> Result<(), StoreError> {
    match error.kind() {
        // What the server makes of numbers that make no sense is an error of its own. What is not the owner's any more
        // is told of below.
        StoreErrorKind::Corrupt | StoreErrorKind::Internal | StoreErrorKind::Privileges => {
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

/// Protection that somebody loosened: a schema that is not what the migrations made, and roles that may do more than the
/// application's should.
async fn unprotected(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let found = tx.query(definitions::query(), params![], |row| Ok((row.text(0)?, row.text(1)?))).await?;
    let mut wrong = definitions::differences(&found);
    wrong.extend(tx.query(server::OPEN_SCHEMAS, params![], |row| row.text(0)).await?);
    let applications = tx.query(APPLICATIONS, params![], |row| row.text(0)).await?;
    let risks = tx.query(role::RISKS, params![applications], |row| row.text(1)).await?;
    wrong.extend(risks.into_iter().map(|risk| format!("a role of the application may do more than it should: {risk}")));
    Ok(wrong)
}

/// Who can connect as the application.
const APPLICATIONS: &str = "SELECT r.rolname::text FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper \
                            AND pg_has_role(r.oid, 'ironclaw_app', 'USAGE, SET')";

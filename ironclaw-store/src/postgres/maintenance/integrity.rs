//! The check of the database's integrity: one thing after the other, each in a snapshot of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use self::protection::Loosened;
use super::PostgresMaintenance;
use crate::copy;
use crate::integrity::Found;
use crate::postgres::row::params;
use crate::postgres::tx::Tx;
use crate::postgres::{conversations, workspace};
use crate::reserved::STAGED;

mod protection;
mod rows;
mod sequences;

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
    match maintenance.read(OPERATION, (), |tx, ()| unfinished(tx).boxed()).await {
        Ok(lines) => lines.into_iter().for_each(|line| found.note(line, None)),
        Err(error) => give_up(&mut found, "whether a copy is unfinished", error)?,
    }
    let loosened = match maintenance.read(OPERATION, (), |tx, ()| Loosened::look(tx).map_ok(Some).boxed()).await {
        Ok(loosened) => loosened.unwrap_or_default(),
        Err(error) => {
            give_up(&mut found, "the tables' protection", error)?;
            Loosened::default()
        }
    };
    let loosened = Arc::new(loosened);
    for table in maintenance.read(OPERATION, (), |tx, ()| rows::tables(tx).boxed()).await? {
        if loosened.is_anothers(&table) {
            continue;
        }
        let name = table.clone();
        let looked = maintenance.read(OPERATION, table, |tx, table| rows::check(tx, table).boxed()).await;
        match looked {
            Ok(wrong) => wrong.into_iter().for_each(|(kind, row)| found.note(kind, Some(&row))),
            Err(error) => give_up(&mut found, &format!("the table {name}"), error)?,
        }
    }
    let looked = maintenance
        .read(OPERATION, loosened.clone(), |tx, loosened| async move { sequences::check(tx, &loosened).await }.boxed());
    match looked.await {
        Ok(lines) => lines.into_iter().for_each(|line| found.note(line, None)),
        Err(error) => give_up(&mut found, "the sequences", error)?,
    }
    for (about, look) in LOOKS {
        match maintenance.read(OPERATION, (), move |tx, ()| look(tx)).await {
            Ok(lines) => lines.into_iter().for_each(|line| found.note(line, None)),
            Err(error) => give_up(&mut found, about, error)?,
        }
    }
    match maintenance.categories.check_audit(OPERATION).await {
        Ok(wrong) => wrong.into_iter().for_each(|(what, row)| found.note(what, row.as_deref())),
        Err(error) => give_up(&mut found, "the audit trail", error)?,
    }
    loosened.note(&mut found);
    Ok(found.into_lines())
}

/// Notes that something can't be looked at because it is damaged.
fn give_up(found: &mut Found, about: &str, error: StoreError) -> Result<(), StoreError> {
    let why = match error.kind() {
        // What the server makes of numbers that make no sense is an error of its own.
        StoreErrorKind::Corrupt | StoreErrorKind::Internal => error.context(),
        // Whose it is instead is told of below.
        StoreErrorKind::Privileges => {
            "ironclaw_owner has no right to it any more; see what is said of owners and grants"
        }
        _ => return Err(error),
    };
    found.note(format!("{about} can't be looked at any further: {why}"), None);
    Ok(())
}

async fn unfinished(tx: &Tx) -> Result<Vec<String>, StoreError> {
    let staged = tx.number("SELECT count(*) FROM ironclaw.users WHERE tenant = $1", params![STAGED]).await?;
    Ok(copy::unfinished(staged).into_iter().collect())
}

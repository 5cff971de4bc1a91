//! The audit trail: appended by the server's own function in the transaction of what it tells of.

use ironclaw_core::store::StoreError;

use super::row::{Params, params};
use super::tx::Tx;
use crate::codes::coded;
use crate::prepared::PreparedEvent;

/// Appends events to the chain of the user in whose scope the transaction runs.
pub(super) async fn append(tx: &Tx, events: &[PreparedEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    tx.execute("SELECT ironclaw.append_audit($1, $2, $3, $4, $5)", columns(params![], events)).await?;
    Ok(())
}

/// Appends an event to the system's chain. `about` is the user whom its private part names, if it names one.
pub(super) async fn append_system(
    tx: &Tx,
    operator: &str,
    about: Option<i64>,
    event: PreparedEvent,
) -> Result<(), StoreError> {
    tx.execute(
        "SELECT ironclaw.append_system_audit($1, $2, $3, $4, $5, $6, $7)",
        columns(params![operator, about], &[event]),
    )
    .await?;
    Ok(())
}

/// The events as the functions take them: an array for each column. The server commits to the private parts itself.
fn columns(mut params: Params, events: &[PreparedEvent]) -> Params {
    fn column<'a, T>(events: &'a [PreparedEvent], value: impl Fn(&'a PreparedEvent) -> T) -> Vec<T> {
        events.iter().map(value).collect()
    }
    params.add(column(events, |event| i32::from(event.action.code())));
    params.add(column(events, |event| i16::from(event.outcome.code())));
    params.add(column(events, |event| coded(event.subjects.iter().map(|s| (s.kind.code(), s.id)))));
    params.add(column(events, |event| event.salt.as_slice()));
    params.add(column(events, |event| event.private.as_slice()));
    params
}

//! A change, applied by the writer.

use std::time::Duration;

use ironclaw_core::change::{Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Receipt, Timestamp};

use super::db::Db;
use super::removal::Removed;
use super::row::params;
use super::tx::{Tx, at_once};
use super::users;
use super::{audit, removal};
use crate::change;
use crate::prepared::{Failure, KeptAs, Prepared, PreparedEvent};
use crate::reserved::STAGED;
use crate::sql::Standing;

/// Applies the change in the open transaction.
pub(super) fn apply(prepared: &Prepared, db: &Db, limits: &Limits, now: Timestamp) -> Result<Receipt, StoreError> {
    let creating = prepared.change.creates_space();
    let entered =
        users::enter(db, &prepared.scope, creating, now)?.ok_or_else(|| change::no_such_space(db.operation()))?;
    if entered.suspended {
        return Err(db.error(StoreErrorKind::Suspended, "ask the operator to make the user active again"));
    }
    let tx = Tx::entered(db, &entered, now, limits);
    change::admit(&tx, &prepared.change)?;
    if let Some(receipt) = replay(&tx, prepared)? {
        return Ok(receipt);
    }
    let check = |precondition| at_once(&tx, change::check(&tx, precondition));
    prepared.change.preconditions().iter().try_for_each(check)?;
    let mut numbers = Vec::with_capacity(prepared.change.operations().len());
    for (operation, terms) in prepared.change.operations().iter().zip(&prepared.terms) {
        numbers.push(at_once(&tx, change::perform(&tx, &prepared.scope, operation, terms))?);
    }
    let receipt = Receipt::new(now, numbers);
    let mut events: Vec<&PreparedEvent> = prepared.events.iter().collect();
    let mut key = prepared.kept.as_ref().map(|kept| kept.key.clone());
    if let Some(removal_no) = tx.forgetting() {
        // What is told of it is told when it is complete.
        let place = events.iter().position(|event| event.is_forgetting());
        let event = place.map(|place| events.remove(place));
        key = prepared.promise();
        let is_forget = |op: &Operation| matches!(op, Operation::Privacy(PrivacyOp::Forget));
        let place = prepared.change.operations().iter().position(is_forget).unwrap_or_default();
        removal::promise(db, removal_no, event, key.as_deref(), place)?;
        if tx.standing != Standing::Own {
            audit::promise_person(db, removal_no, &entered, &prepared.scope)?;
        }
    }
    audit::append(db, &entered, &prepared.scope, &events, now)?;
    if let Some(key) = key {
        let digest = prepared.kept.as_ref().map(|kept| kept.digest);
        keep(&tx, &key, digest.unwrap_or_default(), &receipt)?;
    }
    Ok(receipt)
}

/// Records the failure of a change in the open transaction.
pub(super) fn record(failure: &Failure, db: &Db, now: Timestamp) -> Result<(), StoreError> {
    if failure.events.is_empty() {
        return Ok(());
    }
    let events: Vec<_> = failure.events.iter().collect();
    // Of a space that somebody is no member of, only their own trail tells that they tried.
    match users::enter(db, &failure.scope, false, now)? {
        Some(entered) => audit::append(db, &entered, &failure.scope, &events, now),
        None => match users::enter(db, &failure.scope.outside(), false, now)? {
            Some(entered) => audit::append(db, &entered, &failure.scope.outside(), &events, now),
            None => Ok(()),
        },
    }
}

/// Whether a change may leave something to be removed.
pub(super) fn leaves_something(prepared: &Prepared) -> bool {
    let leaves = |op: &Operation| matches!(op, Operation::Workspace(_)) || Removed::by(op).is_some();
    prepared.change.operations().iter().any(leaves)
}

/// Whether a change does nothing but delete, so that it frees room.
pub(super) fn only_deletes(prepared: &Prepared) -> bool {
    let deletes = |op: &Operation| {
        Removed::by(op).is_some()
            || matches!(
                op,
                Operation::Workspace(WorkspaceOp::DeleteEntry { .. } | WorkspaceOp::Abandon { .. })
                    | Operation::Settings(SettingOp::Delete { .. })
                    | Operation::Secrets(SecretOp::Delete { .. } | SecretOp::DestroyVersion { .. })
            )
    };
    let operations = prepared.change.operations();
    !operations.is_empty() && operations.iter().all(deletes)
}

/// Removes receipts that are older than `kept`, at most `max_rows` of them. How many. What a copy brings is not there yet.
pub(super) fn sweep_receipts(db: &Db, kept: Duration, now: Timestamp, max_rows: u32) -> Result<u64, StoreError> {
    db.execute(
        "DELETE FROM receipts WHERE (owner_no, key) IN (SELECT owner_no, key FROM receipts WHERE at < ?1 \
         AND owner_no NOT IN (SELECT owner_no FROM users WHERE tenant = ?3) LIMIT ?2)",
        params![now.before(kept), max_rows, STAGED],
    )
}

fn replay(tx: &Tx<'_>, prepared: &Prepared) -> Result<Option<Receipt>, StoreError> {
    let Some(KeptAs { key, digest }) = &prepared.kept else {
        return Ok(None);
    };
    let kept = tx.db.query_row(
        "SELECT key, digest, at, numbers FROM receipts WHERE owner_no = ?1 AND key = ?2 AND at >= ?3",
        params![tx.content_no(), key.as_str(), tx.now.before(tx.limits.receipts_kept)],
        |row| Ok((row.bytes::<32>(1)?, Receipt::new(row.time(2)?, row.json(3)?).replayed(true))),
    )?;
    match kept {
        Some((known, _)) if known != *digest => Err(tx.error(
            StoreErrorKind::IdempotencyKeyReused,
            "another change was applied under this key; use a new key for a new change",
        )),
        Some((_, receipt)) => Ok(Some(receipt)),
        None => Ok(None),
    }
}

fn keep(tx: &Tx<'_>, key: &str, digest: [u8; 32], receipt: &Receipt) -> Result<(), StoreError> {
    let numbers = serde_json::json!(receipt.numbers).to_string();
    tx.db.execute(
        "INSERT OR REPLACE INTO receipts (owner_no, key, digest, at, numbers) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![tx.content_no(), key, &digest, receipt.at, numbers],
    )?;
    Ok(())
}

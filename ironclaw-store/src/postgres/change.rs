//! A change: prepared by its caller, applied in one transaction.

use std::sync::Arc;

use futures::FutureExt;
use ironclaw_core::change::{Operation, WorkspaceOp};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Change, Receipt, Scope, Timestamp};

use super::audit;
use super::engine::{Engine, Reach};
use super::error::of_the_change;
use super::row::params;
use super::tx::Tx;
use crate::change;
use crate::error::is_of_the_change;
use crate::prepared::{self, APPLY, Failure, KeptAs, Prepared};
use crate::reserved::STAGED;

/// Commits a change with its audit events, or nothing but the events that say why.
pub(super) async fn apply(engine: &Arc<Engine>, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
    if let Err(error) = prepared::check(scope, &change, engine.limits()) {
        let failure = Failure::new(scope, &change, &error, engine.limits())?;
        record(engine, failure).await?;
        return Err(error);
    }
    if Prepared::is_empty(&change) {
        engine.check_open(APPLY)?;
        return Ok(Receipt::new(engine.now(), Vec::new()));
    }
    let prepared = Arc::new(Prepared::make(scope.clone(), change).await?);
    let again = prepared.change.idempotency_key().is_some();
    let reach = match prepared.change.creates_space() {
        true => Reach::Founded(scope.clone()),
        false => Reach::User(scope.clone()),
    };
    let applied = engine.write(APPLY, reach, again, Arc::clone(&prepared), |tx, prepared| {
        async move { perform_all(tx, &prepared).await.map_err(of_the_change) }.boxed()
    });
    match applied.await {
        Ok(receipt) => {
            if prepared.change.operations().iter().any(leaves_rows) {
                engine.sweep(scope);
            }
            Ok(receipt)
        }
        Err(error) if is_of_the_change(&error) => {
            record(engine, prepared.failure(&error, engine.limits())?).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Whether an operation leaves something for the sweep.
fn leaves_rows(operation: &Operation) -> bool {
    use WorkspaceOp::{Abandon, DeleteEntry, Publish};
    matches!(operation, Operation::Workspace(Publish { .. } | Abandon { .. } | DeleteEntry { .. }))
}

/// Records what failed, in a transaction of its own: it must be in the trail before its caller hears of it.
async fn record(engine: &Arc<Engine>, failure: Failure) -> Result<(), StoreError> {
    if failure.events.is_empty() {
        return engine.check_open(APPLY);
    }
    let scope = failure.scope.clone();
    let failure = Arc::new(failure);
    // Should a commit be lost, an event too many is better than one too few.
    let told = |scope| {
        engine.write(APPLY, Reach::User(scope), true, Arc::clone(&failure), |tx, failure| {
            async move { audit::append(tx, &failure.events).await }.boxed()
        })
    };
    match told(scope.clone()).await {
        // Of a space that somebody is no member of, only their own trail tells that they tried.
        Err(error) if *error.kind() == StoreErrorKind::NotFound && scope.space().is_some() => {
            told(scope.outside()).await
        }
        done => done,
    }
}

async fn perform_all(tx: &Tx, prepared: &Prepared) -> Result<Receipt, StoreError> {
    if tx.is_suspended() {
        return Err(tx.error(StoreErrorKind::Suspended, "ask the operator to make the user active again"));
    }
    change::admit(tx, &prepared.change)?;
    if let Some(receipt) = replay(tx, prepared).await? {
        return Ok(receipt);
    }
    for precondition in prepared.change.preconditions() {
        change::check(tx, precondition).await?;
    }
    let mut numbers = Vec::with_capacity(prepared.change.operations().len());
    for (operation, terms) in prepared.change.operations().iter().zip(&prepared.terms) {
        numbers.push(change::perform(tx, &prepared.scope, operation, terms).await?);
    }
    audit::append(tx, &prepared.events).await?;
    let receipt = Receipt::new(tx.now(), numbers);
    keep(tx, prepared, &receipt).await?;
    Ok(receipt)
}

async fn replay(tx: &Tx, prepared: &Prepared) -> Result<Option<Receipt>, StoreError> {
    let Some(KeptAs { key, digest }) = &prepared.kept else {
        return Ok(None);
    };
    let kept = tx
        .query_row(
            "SELECT digest, at, numbers FROM ironclaw.receipts WHERE owner_no = $1 AND key = $2",
            params![tx.owner_no(), key.as_str()],
            |row| {
                let numbers = row.array::<i64>(2)?.into_iter().map(i64::cast_unsigned).collect();
                Ok((row.bytes::<32>(0)?, Receipt::new(row.time(1)?, numbers).replayed(true)))
            },
        )
        .await?;
    match kept {
        Some((_, receipt)) if receipt.at < oldest_receipt(tx) => {
            let sql = "DELETE FROM ironclaw.receipts WHERE owner_no = $1 AND key = $2";
            tx.execute(sql, params![tx.owner_no(), key.as_str()]).await?;
            Ok(None)
        }
        Some((known, _)) if known != *digest => Err(tx.error(
            StoreErrorKind::IdempotencyKeyReused,
            "another change was applied under this key; use a new key for a new change",
        )),
        Some((_, receipt)) => Ok(Some(receipt)),
        None => Ok(None),
    }
}

async fn keep(tx: &Tx, prepared: &Prepared, receipt: &Receipt) -> Result<(), StoreError> {
    let Some(KeptAs { key, digest }) = &prepared.kept else {
        return Ok(());
    };
    let numbers: Vec<i64> = receipt.numbers.iter().map(|number| number.cast_signed()).collect();
    // Each receipt takes the place of some that have expired, so that there never are many of those.
    tx.execute(
        "WITH expired AS (DELETE FROM ironclaw.receipts WHERE owner_no = $1 AND key IN \
         (SELECT key FROM ironclaw.receipts WHERE owner_no = $1 AND at < $6 ORDER BY at LIMIT 16)) \
         INSERT INTO ironclaw.receipts (owner_no, key, digest, at, numbers) VALUES ($1, $2, $3, $4, $5)",
        params![tx.owner_no(), key.as_str(), digest, receipt.at, numbers, oldest_receipt(tx)],
    )
    .await?;
    Ok(())
}

/// Removes receipts of all users that have expired, at most `max_rows` of them, in an operator's transaction. How many.
/// What a copy brings is not there yet.
pub(super) async fn sweep_receipts(tx: &Tx, max_rows: u64) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM ironclaw.receipts WHERE at < $1 AND ctid = ANY (ARRAY(SELECT r.ctid FROM ironclaw.receipts r \
         WHERE r.at < $1 AND r.owner_no NOT IN (SELECT owner_no FROM ironclaw.users WHERE tenant = $3) \
         ORDER BY r.at LIMIT $2))",
        params![oldest_receipt(tx), max_rows, STAGED],
    )
    .await
}

/// The time of the oldest receipt that has not expired.
fn oldest_receipt(tx: &Tx) -> Timestamp {
    tx.now().before(tx.limits().receipts_kept)
}

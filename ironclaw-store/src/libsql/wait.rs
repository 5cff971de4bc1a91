//! Waiting for removals, which go on whether or not somebody waits.

use std::time::Instant;

use ironclaw_core::Receipt;
use ironclaw_core::Scope;
use ironclaw_core::id::ErasureId;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::engine::Handle;
use super::removal::Removed;
use super::row::params;
use super::users;
use crate::cursor::hex;
use crate::error::{closed, repeat};
use crate::prepared::APPLY;

/// Where what somebody waits for stands.
enum Standing {
    Gone,
    UnderWay,
    /// A legal hold that came meanwhile stops it.
    Held,
}

impl Standing {
    /// Of the removals that a query counts: all, and those that a hold stops.
    fn of(db: &Db, sql: &'static str, params: Vec<libsql::Value>) -> Result<Self, StoreError> {
        let counted = db.query_row(sql, params, |row| Ok((row.i64(0)?, row.i64(1)?)))?;
        Ok(match counted.unwrap_or_default() {
            (0, _) => Self::Gone,
            (all, held) if all == held => Self::Held,
            _ => Self::UnderWay,
        })
    }
}

/// Waits for what a change of the user's removes. What a legal hold stops is an error: the user was to be told that it is
/// gone. If the change forgets, `promised` is the key of the receipt that will say how many rows went.
pub(super) async fn gone(
    engine: &Handle,
    scope: &Scope,
    removed: &[Removed],
    receipt: Receipt,
    promised: Option<String>,
) -> Result<Receipt, StoreError> {
    let ids: Vec<String> = removed
        .iter()
        .filter_map(|removed| match removed {
            Removed::All => None,
            Removed::One(id) => Some(hex(id)),
        })
        .collect();
    // Others' removals of the same user are not this caller's.
    let (all, ids) = (removed.contains(&Removed::All), serde_json::json!(ids).to_string());
    let owner = scope.clone();
    let begun = engine.read(APPLY, move |db| {
        let Some(user) = users::find_numbers(db, &owner)? else {
            return Ok(None);
        };
        let sql = "SELECT max(removal_no), owner_no FROM removals WHERE owner_no = ?1 GROUP BY owner_no";
        db.query_row(sql, params![user.owner_no], |row| Ok((row.i64(0)?, row.i64(1)?)))
    });
    if let Some((last, owner_no)) = begun.await? {
        let standing = move |db: &Db| {
            Standing::of(
                db,
                "SELECT count(*), count(h.owner_no) FROM removals r LEFT JOIN (SELECT DISTINCT owner_no FROM holds \
                 WHERE released_at IS NULL) h ON h.owner_no = r.owner_no WHERE r.owner_no = ?1 AND r.removal_no <= ?2 \
                 AND (?3 <> 0 OR r.kind IN (3, 4) AND lower(hex(r.id)) IN (SELECT value FROM json_each(?4)))",
                params![owner_no, last, i64::from(all), ids.as_str()],
            )
        };
        if !ended(engine, APPLY, standing).await? {
            let context = "a hold was placed while it was under way: all of it is hidden; what is left of it stays until the \
                           hold is released, and goes then by itself";
            return Err(StoreError::new(StoreErrorKind::LegalHold, APPLY, context));
        }
    }
    let Some(promised) = promised else {
        return Ok(receipt);
    };
    let owner = scope.clone();
    let numbers = engine.read(APPLY, move |db| {
        let Some(user) = users::find_numbers(db, &owner)? else {
            return Ok(None);
        };
        let sql = "SELECT key, numbers FROM receipts WHERE owner_no = ?1 AND key = ?2";
        db.query_row(sql, params![user.content_no, promised.as_str()], |row| row.json(1))
    });
    Ok(match numbers.await? {
        Some(numbers) => Receipt::new(receipt.at, numbers).replayed(receipt.replayed),
        // Small enough to be gone with the change itself.
        None => receipt,
    })
}

/// Waits until a user who is being erased is gone, and says how many rows that were; `None` if the erasure is not known.
pub(super) async fn erased(engine: &Handle, operation: &'static str, id: ErasureId) -> Result<Option<u64>, StoreError> {
    let standing = move |db: &Db| {
        let sql = "SELECT count(*), 0 FROM removals WHERE kind = 2 AND id = ?1";
        Standing::of(db, sql, params![id.as_bytes()])
    };
    ended(engine, operation, standing).await?;
    let rows = engine.read(operation, move |db| {
        let sql = "SELECT id, deleted_rows FROM erasures WHERE id = ?1";
        db.query_row(sql, params![id.as_bytes()], |row| row.u64(1))
    });
    rows.await
}

/// Waits until nothing is being removed but what legal holds stop.
pub(super) async fn settled(engine: &Handle, operation: &'static str) -> Result<(), StoreError> {
    let standing = |db: &Db| {
        Standing::of(
            db,
            "SELECT (SELECT count(*) FROM removals r WHERE NOT EXISTS \
             (SELECT 1 FROM holds h WHERE h.owner_no = r.owner_no AND h.released_at IS NULL)), 0",
            params![],
        )
    };
    ended(engine, operation, standing).await.map(drop)
}

/// Waits until what is asked for is gone, or `false` if a hold stops it.
async fn ended<F>(engine: &Handle, operation: &'static str, standing: F) -> Result<bool, StoreError>
where
    F: Fn(&Db) -> Result<Standing, StoreError> + Clone + Send + 'static,
{
    let (mut passes, begun) = (engine.background(), Instant::now());
    loop {
        passes.borrow_and_update();
        match engine.read(operation, standing.clone()).await? {
            Standing::Gone => return Ok(true),
            Standing::Held => return Ok(false),
            Standing::UnderWay => {}
        }
        if passes.changed().await.is_err() {
            return Err(closed(operation));
        }
        let pass = passes.borrow();
        if let Some(error) = pass.failure.as_deref() {
            return Err(repeat(error));
        }
        if pass.blocked_since.is_some_and(|since| since.max(begun).elapsed() >= engine.busy_timeout()) {
            let context = "another process holds a lock: all of it is hidden, and goes by itself when the lock is free";
            return Err(StoreError::new(StoreErrorKind::Busy, operation, context));
        }
    }
}

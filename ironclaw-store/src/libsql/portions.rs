//! Rows that are deleted as far as the transaction's budget goes.

use ironclaw_core::store::StoreError;
use libsql::Value;

use super::db::Db;
use super::row::params;
use crate::sql::{Owned, Portion};

const PAGE: u64 = 4_096;

/// Deletes rows of an owner with a statement that deletes at most `?2` of the owner `?1`. Each counts for `weight` rows.
pub(super) fn some(db: &Db, sql: &'static str, owner_no: i64, weight: u32) -> Result<u64, StoreError> {
    if !db.budget.is_left() {
        return Ok(0);
    }
    let at_most = db.budget.left().div_ceil(weight);
    let rows = db.execute(sql, params![owner_no, at_most])?;
    db.budget.spend(rows * u64::from(weight));
    Ok(rows)
}

/// Deletes some of an owner's rows of a table.
pub(super) fn portion(db: &Db, table: &Owned, owner_no: i64) -> Result<u64, StoreError> {
    match table.portion {
        Portion::Rows { delete, weight } => some(db, delete, owner_no, weight),
        Portion::Sized { find, delete } => sized(db, find, params![owner_no], delete, owner_no),
    }
}

/// Deletes rows whose content may be long: `select` gives the key and the bytes of some, at most its last parameter, and
/// `delete` deletes the one with the key `?1` of the owner `?2`.
pub(super) fn sized(
    db: &Db,
    select: &'static str,
    mut params: Vec<Value>,
    delete: &'static str,
    owner_no: i64,
) -> Result<u64, StoreError> {
    if !db.budget.is_left() {
        return Ok(0);
    }
    params.extend(params![db.budget.left()]);
    let found = db.query(select, params, |row| Ok((row.value(0)?, row.i64(1)?)))?;
    let mut rows = 0;
    for (key, bytes) in found {
        if !db.budget.is_left() {
            break;
        }
        let mut params = vec![key];
        params.extend(params![owner_no]);
        rows += db.execute(delete, params)?;
        db.budget.spend(1 + bytes.max(0).cast_unsigned() / PAGE);
    }
    Ok(rows)
}

/// Where what is left begins in a list whose first items are gone.
pub(super) fn first_left(
    items: &[&str],
    is_left: impl Fn(&str) -> Result<bool, StoreError>,
) -> Result<usize, StoreError> {
    let (mut low, mut high) = (0, items.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_left(items[middle])? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

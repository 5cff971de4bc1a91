//! The audit chains, with the private parts and the principals' pseudonyms.

use ironclaw_core::store::StoreError;
use ironclaw_core::{Limits, Timestamp};

use super::{Budget, Memory, Stage};
use crate::audit::{Walk, wrong_beside};
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::tx::{Tx, at_once};

#[derive(Default)]
pub(super) struct Chains {
    last: Option<i64>,
    walk: Option<Walk>,
}

impl Stage for Chains {
    fn step(&mut self, db: &Db, _: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        let budget = Budget::new();
        while !budget.is_spent() {
            let mut walk = match self.walk.take() {
                Some(walk) => walk,
                None => {
                    let sql = "SELECT owner_no FROM audit_streams WHERE owner_no > ?1 ORDER BY owner_no LIMIT 1";
                    let Some(next) = db.query_row(sql, params![self.last.unwrap_or(-1)], |row| row.i64(0))? else {
                        return Ok(true);
                    };
                    self.last = Some(next);
                    Walk::new(next)
                }
            };
            let owner_no = walk.owner_no();
            match go_on(&mut walk, db) {
                Ok(false) => self.walk = Some(walk),
                Ok(true) => {
                    for what in beside(&walk, db)? {
                        found.note(what, Some(&owner_no.to_string()));
                    }
                }
                Err(error) if super::is_damage(&error) => {
                    let cause = error.cause().map(ToString::to_string);
                    let what = cause.unwrap_or_else(|| error.context().to_owned());
                    found.note("audit_events: a chain was changed", Some(&format!("of stream {owner_no}: {what}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn about(&self) -> String {
        "the audit trail".to_owned()
    }
}

/// Verifies some more of a chain. Whether that was all.
fn go_on(walk: &mut Walk, db: &Db) -> Result<bool, StoreError> {
    let limits = Limits::default();
    let tx = Tx::of_all(db, Timestamp::from_micros(0), &limits);
    at_once(&tx, walk.go_on(&tx))
}

/// What is wrong beside a chain that was verified to its end.
fn beside(walk: &Walk, db: &Db) -> Result<Vec<String>, StoreError> {
    let limits = Limits::default();
    let tx = Tx::of_all(db, Timestamp::from_micros(0), &limits);
    at_once(&tx, wrong_beside(walk, &tx))
}

//! The audit chains, with the private parts' commitments and the principals' pseudonyms.

use std::collections::HashSet;

use ironclaw_core::model::audit::PrincipalKind;
use ironclaw_core::store::StoreError;
use ironclaw_core::{Limits, Timestamp};

use super::{Budget, Memory, Stage};
use crate::audit::{SYSTEM_NO, Walk};
use crate::damage;
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
                    for what in check_pseudonyms(&walk, db)? {
                        found.note(format!("audit_pseudonyms: {what}"), Some(&owner_no.to_string()));
                    }
                }
                Err(error) if super::is_damage(&error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
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

/// What is wrong between the pseudonyms of a chain whose last step this snapshot is, and those that are kept.
fn check_pseudonyms(walk: &Walk, db: &Db) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let mut known = HashSet::new();
    db.for_each(
        "SELECT name, kind, pseudonym FROM audit_pseudonyms WHERE owner_no = ?1",
        params![walk.owner_no()],
        |row| {
            // What can't be decoded was told by its column.
            if let (Ok(kind), Ok(pseudonym)) = (row.code(1, |code| u8::try_from(code).ok()), row.bytes::<16>(2)) {
                known.insert((kind, pseudonym));
            }
            Ok(())
        },
    )?;
    let unused = known.difference(walk.principals()).count();
    if unused > 0 {
        wrong.push(format!("{unused} that no event has"));
    }
    let user = db.query_row(
        "SELECT owner_no, pseudonym FROM users WHERE owner_no = ?1 AND tenant <> ?2",
        params![walk.owner_no(), crate::reserved::STAGED],
        |row| row.bytes::<16>(1),
    )?;
    let user = match user {
        Some(user) => user,
        // Of whoever was erased none is kept.
        None if walk.owner_no() != SYSTEM_NO => return Ok(wrong),
        None => [0; 16],
    };
    if walk.users().iter().any(|of_event| *of_event != user) {
        wrong.push("events have another pseudonym of the user than users.pseudonym".to_owned());
    }
    known.insert((PrincipalKind::User.code(), user));
    let unknown = walk.principals().difference(&known).count();
    if unknown > 0 {
        wrong.push(format!("{unknown} of events are not kept; {}", damage::ADVICE));
    }
    Ok(wrong)
}

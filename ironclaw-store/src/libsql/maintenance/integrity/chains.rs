//! The audit chains, with the private parts' commitments and the principals' pseudonyms.

use ironclaw_core::store::StoreError;

use super::{Budget, Memory, Stage};
use crate::integrity::Found;
use crate::libsql::audit::Walk;
use crate::libsql::db::Db;
use crate::libsql::row::params;

#[derive(Default)]
pub(super) struct Chains {
    last: Option<i64>,
    walk: Option<Walk>,
}

impl Stage for Chains {
    fn step(&mut self, db: &Db, _: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        let budget = Budget::new();
        while !budget.is_spent() {
            let walk = match self.walk.take() {
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
            match walk.go_on(db) {
                Ok((walk, false)) => self.walk = Some(walk),
                Ok((walk, true)) => {
                    for what in walk.check_pseudonyms(db)? {
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

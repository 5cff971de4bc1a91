//! What was begun and is not finished. It comes first: what else is found may be its.

use ironclaw_core::store::StoreError;

use super::{Memory, Stage};
use crate::copy;
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::removal;
use crate::libsql::row::params;
use crate::reserved::STAGED;

pub(super) struct Unfinished;

impl Stage for Unfinished {
    fn step(&mut self, db: &Db, _: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        let staged = db.number("SELECT count(*) FROM users WHERE tenant = ?1", params![STAGED])?;
        if let Some(line) = copy::unfinished(staged) {
            found.note(line, None);
        }
        if let Some(line) = removal::unfinished(db)? {
            found.note(line, None);
        }
        Ok(true)
    }

    fn about(&self) -> String {
        "what is unfinished".to_owned()
    }
}

//! What SQLite itself says of the file's structure, and what the schema should be.

use ironclaw_core::store::StoreError;

use super::{Memory, Stage};
use crate::integrity::Found;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::schema;

/// Up to this size SQLite checks the file as a whole, which takes some tens of milliseconds; of a larger one it checks
/// one table after the other, with their indexes.
const WHOLE: i64 = 16 << 20;

pub(super) struct Structure {
    tables: Vec<String>,
    is_begun: bool,
}

impl Structure {
    pub(super) fn new(tables: Vec<String>) -> Self {
        Self { tables, is_begun: false }
    }
}

/// The tables that the file has.
pub(super) fn tables(db: &Db) -> Result<Vec<String>, StoreError> {
    db.query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        params![],
        |row| row.text(0),
    )
}

impl Stage for Structure {
    fn step(&mut self, db: &Db, _: &mut Memory, found: &mut Found) -> Result<bool, StoreError> {
        if !self.is_begun {
            self.is_begun = true;
            for what in schema::differences(db)? {
                found.note(format!("the schema: {what}"), None);
            }
            if !schema::has_meta(db)? {
                found.note("store_meta: a row is missing", Some("analysis_version"));
            }
            let size =
                db.number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", params![])?;
            if size <= WHOLE {
                let lines =
                    db.query("SELECT integrity_check FROM pragma_integrity_check", params![], |row| row.text(0))?;
                note(lines, found);
                return Ok(true);
            }
            return Ok(false);
        }
        let Some(table) = self.tables.pop() else {
            return Ok(true);
        };
        let lines =
            db.query("SELECT integrity_check FROM pragma_integrity_check(?1)", params![table], |row| row.text(0))?;
        note(lines, found);
        Ok(false)
    }

    fn about(&self) -> String {
        "the database's structure".to_owned()
    }
}

fn note(lines: Vec<String>, found: &mut Found) {
    for line in lines.iter().flat_map(|line| line.lines()).filter(|line| *line != "ok") {
        found.note("the database's structure", Some(line));
    }
}

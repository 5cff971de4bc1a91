//! The file: told from other files, brought to the newest schema.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ironclaw_core::search::ANALYSIS_VERSION;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::migrations;
use super::place::Place;
use super::row::{Row, params};

const OPEN: &str = "open";

/// What makes a database file a store of this crate: `ICLW`, at byte 68 of the file.
const APPLICATION_ID: i64 = 0x4943_4c57;

/// Refuses a file that is something else, with what is in a log beside it. Nothing is written to it: as long as it is not
/// known to be ours, no connection that writes may open it, since the last one to close moves the log into the file.
pub(super) fn check_is_ours(place: &Place) -> Result<(), StoreError> {
    // SQLite takes what is shorter than a page for an empty database, and would write over it.
    match place.path().metadata().map_or(0, |found| found.len()) {
        0 => return Ok(()),
        1..512 => return Err(not_a_store("the file is not a database")),
        _ => {}
    }
    // First the file alone: nothing is made beside it, and most files are known by their first page.
    let db = Db::open(&place.immutable_name()?, libsql::OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::ZERO)?;
    // Beside a log the first page may name pages that are not in the file yet, which SQLite calls damage without this.
    db.batch("PRAGMA writable_schema = ON")?;
    let maker = match maker(&db) {
        Err(error) if *error.kind() == StoreErrorKind::NotAStore => {
            return Err(not_a_store("the file is not a database").with_source(error));
        }
        found => found?,
    };
    let has_log = place.beside("-wal").metadata().is_ok_and(|log| log.len() > 0);
    let maker = match maker {
        Maker::Us => maker,
        _ if !has_log => maker,
        // The log may hold the first tables, ours or another program's.
        _ => match maker_with_log(place) {
            // What can't be written to is opened for reading only: that says what is missing.
            Err(_) if !place.is_writable() => return Ok(()),
            found => found?,
        },
    };
    match maker {
        Maker::Us | Maker::Nobody => Ok(()),
        Maker::Another => Err(not_a_store("the database is another program's")),
    }
}

/// Who made the tables of a database.
#[derive(Debug, Clone, Copy)]
enum Maker {
    Us,
    /// There are none. One that is just being made has its tables in the log until they are whole.
    Nobody,
    Another,
}

/// Asks for both in one snapshot: between two another process may move its first tables into the file.
fn maker(db: &Db) -> Result<Maker, StoreError> {
    db.snapshot(|| {
        if db.number("PRAGMA application_id", params![])? == APPLICATION_ID {
            return Ok(Maker::Us);
        }
        Ok(match db.number("SELECT count(*) FROM sqlite_schema", params![]) {
            Ok(0) => Maker::Nobody,
            _ => Maker::Another,
        })
    })
}

/// The same of the file with its log. A connection that only reads leaves both as they are.
fn maker_with_log(place: &Place) -> Result<Maker, StoreError> {
    let db = Db::open(&place.name()?, libsql::OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::from_secs(5))?;
    maker(&db)
}

fn not_a_store(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NotAStore, OPEN, format!("{context}; nothing was written to it"))
}

/// Sets what holds for one connection.
pub(super) fn configure(db: &Db, read_only: bool) -> Result<(), StoreError> {
    db.batch(
        "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384; \
         PRAGMA wal_autocheckpoint = 0",
    )?;
    if read_only {
        db.batch("PRAGMA query_only = ON")?;
    }
    Ok(())
}

/// Brings the file to the newest schema: once, however many processes begin together. Nothing is locked for one that
/// has it.
pub(super) fn migrate(db: &Db) -> Result<(), StoreError> {
    check_text(db)?;
    if db.snapshot(|| check_version(db))? == migrations::ALL.len() {
        return check_newest(db);
    }
    db.write(|| {
        // Another process may have done it in the meantime.
        let version = check_version(db)?;
        for migration in &migrations::ALL[version..] {
            db.batch(migration)?;
        }
        if version < migrations::ALL.len() {
            db.execute(
                "INSERT OR REPLACE INTO store_meta (name, value) VALUES ('analysis_version', ?1)",
                params![ANALYSIS_VERSION],
            )?;
            db.batch(&format!(
                "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
                migrations::ALL.len()
            ))?;
        }
        Ok(())
    })?;
    check_newest(db)
}

/// Opens a store to be copied whole, with what is in a log beside it.
pub(super) fn open_for_copying(place: &Place) -> Result<Db, StoreError> {
    let has_log = ["-wal", "-journal"].iter().any(|ending| place.beside(ending).symlink_metadata().is_ok());
    let (name, flags) = match has_log {
        true if place.is_writable() => (place.name()?, libsql::OpenFlags::SQLITE_OPEN_READ_WRITE),
        true => (place.name()?, libsql::OpenFlags::SQLITE_OPEN_READ_ONLY),
        // Nobody has it open; nothing is made beside it.
        false => (place.immutable_name()?, libsql::OpenFlags::SQLITE_OPEN_READ_ONLY),
    };
    let db = Db::open(&name, flags, Duration::from_secs(5))?;
    db.batch("PRAGMA wal_autocheckpoint = 0")?;
    Ok(db)
}

/// Fails if the file is no store, or a newer version's.
pub(super) fn check_known(db: &Db) -> Result<(), StoreError> {
    if check_version(db)? == 0 {
        return Err(not_a_store("the database is empty"));
    }
    check_analysis(db)
}

fn check_analysis(db: &Db) -> Result<(), StoreError> {
    let analysis = db.number("SELECT value FROM store_meta WHERE name = 'analysis_version'", params![])?;
    if analysis > i64::from(ANALYSIS_VERSION) { Err(migrations::newer(OPEN)) } else { Ok(()) }
}

/// Fails if the file's schema or analysis is not the newest that this version knows.
pub(super) fn check_newest(db: &Db) -> Result<(), StoreError> {
    if check_version(db)? < migrations::ALL.len() {
        let context = "an older version wrote the file; open it once where it can be written to";
        return Err(StoreError::new(StoreErrorKind::ReadOnly, OPEN, context));
    }
    check_analysis(db)?;
    db.is_of_a_store();
    Ok(())
}

/// Refuses a schema that is no text: the crate would panic on the name of a type.
fn check_text(db: &Db) -> Result<(), StoreError> {
    db.for_each("SELECT rowid, type, name, sql FROM sqlite_schema", params![], |row| {
        (1..4).try_for_each(|column| row.optional(column, Row::text).map(drop))
    })
}

/// The tables, indexes, views and triggers of the schema that the file has not, or has otherwise, and those that no migration
/// made: a trigger of somebody else's may do anything with each change.
pub(super) fn differences(db: &Db) -> Result<Vec<String>, StoreError> {
    let made = Db::open(":memory:", libsql::OpenFlags::default(), Duration::ZERO)?;
    migrate(&made)?;
    let (expected, found) = (definitions(&made)?, definitions(db)?);
    let different = expected.iter().filter(|(what, sql)| found.get(*what) != Some(sql));
    let others = found.keys().filter(|what| !expected.contains_key(*what));
    Ok(different
        .map(|(what, _)| format!("{what} is not as this version made it"))
        .chain(others.map(|what| format!("{what} is not of this version")))
        .collect())
}

/// What a schema consists of, and how each of it is defined. What SQLite itself keeps is left out.
fn definitions(db: &Db) -> Result<BTreeMap<String, String>, StoreError> {
    let definitions = db.query(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND type IN ('table', 'index', 'view', 'trigger')",
        params![],
        |row| Ok((format!("{} {}", row.text(0)?, row.text(1)?), row.text(2)?)),
    )?;
    Ok(definitions.into_iter().collect())
}

/// Whether a row is there that each store has.
pub(super) fn has_meta(db: &Db) -> Result<bool, StoreError> {
    Ok(db.number("SELECT count(*) FROM store_meta WHERE name = 'analysis_version'", params![])? != 0)
}

/// The tables of this version.
pub(super) fn tables() -> Vec<String> {
    let names = migrations::ALL.iter().flat_map(|migration| migration.split("CREATE TABLE ").skip(1));
    names.filter_map(|statement| statement.split_ascii_whitespace().next()).map(str::to_owned).collect()
}

/// The version of the file's schema, from 0 for an empty file.
fn check_version(db: &Db) -> Result<usize, StoreError> {
    let version = db.number("PRAGMA user_version", params![])?;
    // A database without tables may become a store, whoever made it.
    let is_empty = || Ok(db.number("SELECT count(*) FROM sqlite_schema", params![])? == 0);
    if db.number("PRAGMA application_id", params![])? != APPLICATION_ID && (version != 0 || !is_empty()?) {
        return Err(not_a_store("the database is another program's"));
    }
    usize::try_from(version)
        .ok()
        .filter(|&version| version <= migrations::ALL.len())
        .ok_or_else(|| migrations::newer(OPEN))
}

/// Switches the file to write-ahead logging, which stays with it.
pub(super) fn enable_wal(db: &Db, busy_timeout: Duration) -> Result<(), StoreError> {
    let mode = db.query_row("PRAGMA journal_mode", params![], |row| row.text(0))?;
    if mode.as_deref() == Some("wal") {
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        // The switch needs the file for itself for a moment, and SQLite does not wait for it.
        match db.query_row("PRAGMA journal_mode = WAL", params![], |row| row.text(0)) {
            Ok(Some(mode)) if mode == "wal" => return Ok(()),
            Err(error) if error.is_retryable() && begun.elapsed() < busy_timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(StoreError::new(
                    StoreErrorKind::Io,
                    OPEN,
                    "the file's disk can't share memory between processes; use a local disk",
                ));
            }
        }
    }
}

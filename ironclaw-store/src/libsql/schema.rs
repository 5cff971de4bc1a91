//! The file: made private, told from other files, brought to the newest schema.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use ironclaw_core::search::ANALYSIS_VERSION;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::row::params;

const OPEN: &str = "open";

/// What makes a database file a store of this crate: `ICLW`, at byte 68 of the file.
const APPLICATION_ID: i64 = 0x4943_4c57;

/// The text of a migration never changes after it was released.
const MIGRATIONS: &[&str] = &[concat!(
    include_str!("schema/0001/users.sql"),
    include_str!("schema/0001/conversations.sql"),
    include_str!("schema/0001/workspace.sql"),
    include_str!("schema/0001/jobs.sql"),
    include_str!("schema/0001/secrets.sql"),
    include_str!("schema/0001/access.sql"),
    include_str!("schema/0001/settings.sql"),
    include_str!("schema/0001/audit.sql"),
    include_str!("schema/0001/privacy.sql"),
)];

/// Makes the file, for its owner's eyes only, or refuses one that is something else. Nothing is written to that.
pub(super) fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let context = "the file could not be made; does its folder exist, and may you write to it?";
            return Err(StoreError::new(StoreErrorKind::Io, OPEN, context).with_source(error));
        }
    }
    if !path.is_file() {
        return Err(not_a_store("the path is not that of a file"));
    }
    let mut header = Vec::with_capacity(100);
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|e| StoreError::new(StoreErrorKind::Io, OPEN, "the file could not be read").with_source(e))?;
    if header.is_empty() {
        return Ok(());
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(not_a_store("the file is not a database"));
    }
    // A store's application id is in the file before the file is switched to write-ahead logging.
    let is_ours = i64::from(u32::from_be_bytes([header[68], header[69], header[70], header[71]])) == APPLICATION_ID;
    match (is_ours, header[18]) {
        (true, _) => Ok(()),
        (false, 1) => check_is_empty(path),
        (false, _) => Err(not_a_store("the database is another program's")),
    }
}

/// Accepts a database without tables. Reading it takes its lock, so that a store that is just being made is seen whole.
fn check_is_empty(path: &Path) -> Result<(), StoreError> {
    let path = path.to_str().unwrap_or_default();
    let db = Db::open(path, libsql::OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::from_secs(5))?;
    db.snapshot(|| {
        let is_ours = db.number("PRAGMA application_id", params![])? == APPLICATION_ID;
        if is_ours || db.number("SELECT count(*) FROM sqlite_schema", params![])? == 0 {
            return Ok(());
        }
        Err(not_a_store("the database is another program's"))
    })
}

fn not_a_store(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NotAStore, OPEN, format!("{context}; nothing was written to it"))
}

/// Sets what holds for one connection.
pub(super) fn configure(db: &Db, read_only: bool) -> Result<(), StoreError> {
    db.batch(
        "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384; \
         PRAGMA wal_autocheckpoint = 4000; \
         PRAGMA journal_size_limit = 67108864;",
    )?;
    if read_only {
        db.batch("PRAGMA query_only = ON")?;
    }
    Ok(())
}

/// Brings the file to the newest schema: once, however many processes begin together.
pub(super) fn migrate(db: &Db) -> Result<(), StoreError> {
    check_version(db)?;
    db.write(|| {
        // Another process may have done it in the meantime.
        let version = check_version(db)?;
        for migration in &MIGRATIONS[version..] {
            db.batch(migration)?;
        }
        if version < MIGRATIONS.len() {
            db.execute(
                "INSERT OR REPLACE INTO store_meta (name, value) VALUES ('analysis_version', ?1)",
                params![ANALYSIS_VERSION],
            )?;
            db.batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len()))?;
        }
        let analysis = db.number("SELECT value FROM store_meta WHERE name = 'analysis_version'", params![])?;
        if analysis > i64::from(ANALYSIS_VERSION) {
            return Err(newer());
        }
        Ok(())
    })
}

/// The version of the file's schema, from 0 for an empty file.
fn check_version(db: &Db) -> Result<usize, StoreError> {
    let version = db.number("PRAGMA user_version", params![])?;
    usize::try_from(version).ok().filter(|&version| version <= MIGRATIONS.len()).ok_or_else(newer)
}

fn newer() -> StoreError {
    StoreError::new(
        StoreErrorKind::NewerSchema,
        OPEN,
        format!("this version knows schema {} and analysis {ANALYSIS_VERSION}; use a newer one", MIGRATIONS.len()),
    )
}

/// Switches the file to write-ahead logging, which stays with it.
pub(super) fn enable_wal(db: &Db, busy_timeout: Duration) -> Result<(), StoreError> {
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

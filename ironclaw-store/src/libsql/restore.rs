//! Putting a backup in the place of a store's file.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::OpenFlags;

use super::db::Db;
use super::engine::{make_private, without_engine};
use super::place::Place;
use super::row::params;
use super::schema;
use crate::cursor::hex;
use crate::random::random;

const OPERATION: &str = "restore";

/// What the copy's name has after the file's, before the digits that make it one that nothing else has.
const COPY: &str = ".restoring-";

/// How many hexadecimal digits they are.
const DIGITS: usize = 16;

/// The endings of what must not be beside a restored file: it would be read into it.
const LEFT_OVER: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Puts a copy of the backup in the place of the file. Killed at any moment, it leaves the old store whole or the new.
pub(super) fn restore(from: &Path, to: &Path) -> Result<(), StoreError> {
    let old = match to.symlink_metadata() {
        Ok(_) => Some(Place::find(to)?),
        Err(_) => None,
    };
    // Where links lead: what is renamed is there.
    let to = old.as_ref().map_or(to, |old| old.path());
    let folder = to.parent().unwrap_or(Path::new("/"));
    let from = Arc::new(Place::find(from)?);
    let is_left_over = |ending: &&str| with_ending(to, ending).canonicalize().is_ok_and(|path| path == from.path());
    if LEFT_OVER.iter().any(is_left_over) {
        let context = "the backup has the name of a log of the file, which would be removed; give it another name";
        return Err(failed(StoreErrorKind::Io, context));
    }
    schema::check_is_ours(&from)?;
    remove_copies(folder, to, &from);
    let copy = make_copy(to)?;
    let result = write_copy(&from, &copy).and_then(|()| match &old {
        Some(old) => without_engine(old.id(), || replace(old, &copy))
            .ok_or_else(|| failed(StoreErrorKind::Busy, "this process has the file open; close the store first"))?,
        None => {
            // What is left of another file that was here would be read into this one.
            remove_left_over(to)?;
            std::fs::rename(&copy, to).map_err(io("the copy could not be put in its place"))
        }
    });
    let synced = result.and_then(|()| sync_folder(folder));
    for ending in ["", "-journal"] {
        // After success they are not there.
        let _ = std::fs::remove_file(with_ending(&copy, ending));
    }
    synced
}

/// Removes copies that were left by a process that was killed, which hold what may have been deleted since. What has another
/// name than they have is not touched, nor is the backup.
fn remove_copies(folder: &Path, to: &Path, from: &Place) {
    let Some(name) = to.file_name() else { return };
    let begin = [name.as_encoded_bytes(), COPY.as_bytes()].concat();
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let Some(rest) = found.as_encoded_bytes().strip_prefix(begin.as_slice()) else { continue };
        let digits = rest.strip_suffix(b"-journal").unwrap_or(rest);
        let is_copy = digits.len() == DIGITS && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        // A journal beside the backup belongs to it.
        if is_copy && ![from.path().to_owned(), from.beside("-journal")].contains(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A new file beside the store's, of its owner's alone, whose name nothing else has.
fn make_copy(to: &Path) -> Result<PathBuf, StoreError> {
    let digits = hex(&random::<{ DIGITS / 2 }>(OPERATION)?);
    let copy = with_ending(to, &format!("{COPY}{digits}"));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&copy).map_err(io("the copy could not be made beside the file"))?;
    Ok(copy)
}

/// Writes the backup, with what is in a log beside it, into the copy, and checks that.
fn write_copy(from: &Place, copy: &Path) -> Result<(), StoreError> {
    let name = copy.to_str().ok_or_else(|| failed(StoreErrorKind::Io, "the path is not UTF-8"))?;
    {
        let source = schema::open_for_copying(from)?;
        source.begin_operation(OPERATION);
        source.execute("VACUUM INTO ?1", params![name])?;
    }
    {
        let place = Place::find(copy)?;
        let db = Db::open(&place.immutable_name()?, OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::ZERO)?;
        db.begin_operation(OPERATION);
        schema::check_known(&db)?;
        let mut wrong = db.query("PRAGMA integrity_check(1)", params![], |row| row.text(0))?;
        wrong.retain(|line| line != "ok");
        if !wrong.is_empty() || db.query_row("PRAGMA foreign_key_check", params![], |_| Ok(()))?.is_some() {
            return Err(failed(StoreErrorKind::Corrupt, "the backup is damaged; take another"));
        }
    }
    // SQLite has closed the copy; it is no store's file yet.
    File::open(copy).and_then(|copy| copy.sync_all()).map_err(io("the copy could not be written to the disk"))
}

/// Renames the copy over the file while nobody else has that open.
fn replace(old: &Place, copy: &Path) -> Result<(), StoreError> {
    schema::check_is_ours(old)?;
    make_private(old)?;
    // The lock is held until the file has been replaced: whoever waits for it finds that it has moved.
    let _alone = Alone::with(old).map_err(|error| match error.kind() {
        StoreErrorKind::Busy => error,
        _ => {
            let context = "the old file can't be read; move it and the files beside it away and restore again";
            failed(error.kind().clone(), context).with_source(error)
        }
    })?;
    keep_owner(old, copy)?;
    if old.beside("-wal").symlink_metadata().is_ok() {
        return Err(failed(StoreErrorKind::Busy, "a log is still beside the file; another process opened it just now"));
    }
    // The index of a log that is gone, and a journal that is over: nobody else has the file open.
    remove_left_over(old.path())?;
    std::fs::rename(copy, old.path()).map_err(io("the copy could not be put in its place"))
}

/// Whoever restores for another leaves the file to him.
#[cfg(unix)]
fn keep_owner(old: &Place, copy: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &Path| path.metadata().map(|found| (found.uid(), found.gid()));
    let kept = owner(old.path()).and_then(|(uid, gid)| match owner(copy)? == (uid, gid) {
        true => Ok(()),
        false => std::os::unix::fs::chown(copy, Some(uid), Some(gid)),
    });
    kept.map_err(io("the copy could not be given to the file's owner"))
}

/// Rights go with the folder there.
#[cfg(not(unix))]
fn keep_owner(_: &Place, _: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// The file for ourselves alone, with all that was in its log, and no log.
struct Alone {
    _db: Db,
}

impl Alone {
    fn with(old: &Place) -> Result<Self, StoreError> {
        if old.path().metadata().is_ok_and(|found| found.len() == 0) {
            remove_left_over(old.path())?;
        }
        let db = Db::open(&old.name()?, OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::ZERO)?;
        db.begin_operation(OPERATION);
        // From the first reading on nobody else is let in; leaving the mode of the log empties and removes it.
        db.batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL")?;
        let open = |error: StoreError| match error.kind() {
            StoreErrorKind::Busy => {
                let context = "another process has the file open; close the store there first";
                failed(StoreErrorKind::Busy, context).with_source(error)
            }
            _ => error,
        };
        let mode = db.query_row("PRAGMA journal_mode = DELETE", params![], |row| row.text(0)).map_err(open)?;
        if mode.as_deref() != Some("delete") {
            return Err(failed(StoreErrorKind::Busy, "another process has the file open; close the store there first"));
        }
        db.batch("BEGIN EXCLUSIVE").map_err(open)?;
        Ok(Self { _db: db })
    }
}

fn remove_left_over(of: &Path) -> Result<(), StoreError> {
    LEFT_OVER.iter().try_for_each(|ending| match std::fs::remove_file(with_ending(of, ending)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("what is left of an old log could not be removed")(error))
        }
        _ => Ok(()),
    })
}

/// What was renamed stays so, even if the machine fails.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("the folder could not be written to the disk"))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn io(context: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |error| failed(StoreErrorKind::Io, context).with_source(error)
}

fn failed(kind: StoreErrorKind, context: &str) -> StoreError {
    StoreError::new(kind, OPERATION, context)
}

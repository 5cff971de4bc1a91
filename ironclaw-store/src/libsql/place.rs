//! Where a store's files are, and whether they still are there.

use std::ffi::OsString;
use std::fs::{Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use ironclaw_core::store::{StoreError, StoreErrorKind};

const OPEN: &str = "open";

/// Held while a file is made: closing a file drops all locks that the process has on it, so nobody may have opened it
/// before whoever made it has closed it.
static MAKING: Mutex<()> = Mutex::new(());

/// The files of one store: the database, by the name that its symbolic links lead to, and beside it the log and its index.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    log: PathBuf,
    index: PathBuf,
    id: FileId,
    /// Known once they were made; they stay for as long as somebody has the database open.
    log_ids: OnceLock<LogIds>,
}

/// Processes that have two indexes of one log write over each other's changes in it.
#[derive(Debug)]
struct LogIds {
    log: FileId,
    index: FileId,
}

/// What a file is, whatever its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileId(Identity);

#[cfg(unix)]
type Identity = (u64, u64);

/// Where an open file can be neither moved nor replaced, its name says enough.
#[cfg(not(unix))]
type Identity = PathBuf;

impl Place {
    /// Finds the file, and makes it, for its owner's eyes only, if there is none.
    pub(super) fn find_or_make(path: &Path) -> Result<Self, StoreError> {
        let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Asking first keeps a folder that can't be written to from hiding a file that is there.
        if path.symlink_metadata().is_err() {
            check_no_log(path, &["-wal", "-journal"])?;
            if let Err(error) = options.open(path)
                && error.kind() != ErrorKind::AlreadyExists
            {
                let context = "the file could not be made; does its folder exist, and may you write to it?";
                return Err(StoreError::new(StoreErrorKind::Io, OPEN, context).with_source(error));
            }
        }
        drop(making);
        let place = Self::find(path)?;
        // A file is never empty by the time that it has a log of this kind.
        if place.path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            check_no_log(&place.path, &["-wal"])?;
        }
        Ok(place)
    }

    /// The place of a file that is there.
    pub(super) fn find(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| {
            let context = "the file could not be found; is it there, and may you enter its folder?";
            StoreError::new(StoreErrorKind::Io, OPEN, context).with_source(error)
        };
        let path = path.canonicalize().map_err(failed)?;
        let metadata = path.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let context = "the path is not that of a file; nothing was written to it";
            return Err(StoreError::new(StoreErrorKind::NotAStore, OPEN, context));
        }
        let id = FileId::of(&path, &metadata);
        let (log, index) = (beside(&path, "-wal"), beside(&path, "-shm"));
        Ok(Self { path, log, index, id, log_ids: OnceLock::new() })
    }

    /// What the file is.
    pub(super) fn id(&self) -> &FileId {
        &self.id
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another of the store's files, by what its name ends with.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        beside(&self.path, ending)
    }

    /// Fails if the file, its log or the log's index is not at its path any more: what is committed then is lost with
    /// it. Gives the size of the log in bytes.
    pub(super) fn check(&self, operation: &'static str) -> Result<u64, StoreError> {
        let moved = |what: &str| {
            let context = format!(
                "{what} was moved, deleted or replaced while it was open; close the store, put back the files that \
                 belong together, and open it again"
            );
            StoreError::new(StoreErrorKind::FileMoved, operation, context)
        };
        let bytes_of = |path: &Path, id: &FileId| look(path).filter(|(found, _)| found == id).map(|(_, bytes)| bytes);
        bytes_of(&self.path, &self.id).ok_or_else(|| moved("the store's file"))?;
        let Some(ids) = self.log_ids.get() else {
            return Ok(0);
        };
        bytes_of(&self.index, &ids.index).ok_or_else(|| moved("the index of the store's log (-shm)"))?;
        bytes_of(&self.log, &ids.log).ok_or_else(|| moved("the store's write-ahead log"))
    }

    /// From now on the log that is there must stay there, too, and its index.
    pub(super) fn remember_log(&self) -> Result<(), StoreError> {
        let id = |path: &Path| {
            let found = path.metadata().map_err(|error| {
                let context = "the write-ahead log is not beside the file; close the store and open it again";
                StoreError::new(StoreErrorKind::FileMoved, OPEN, context).with_source(error)
            });
            found.map(|metadata| FileId::of(path, &metadata))
        };
        let _ = self.log_ids.set(LogIds { log: id(&self.log)?, index: id(&self.index)? });
        self.check(OPEN).map(drop)
    }

    /// The path as SQLite takes it.
    pub(super) fn name(&self) -> Result<String, StoreError> {
        let name = self.path.to_str().map(str::to_owned);
        name.ok_or_else(|| StoreError::new(StoreErrorKind::Io, OPEN, "the path is not UTF-8"))
    }

    /// The path as SQLite takes it for a file that nobody changes: it reads the file alone, and makes none beside it.
    pub(super) fn immutable_name(&self) -> Result<String, StoreError> {
        let mut name = "file:".to_owned();
        for letter in self.name()?.chars() {
            match letter {
                '%' | '?' | '#' => name.push_str(&format!("%{:02x}", u32::from(letter))),
                _ => name.push(letter),
            }
        }
        Ok(name + "?immutable=1")
    }

    /// Whether the file can be written to, and its folder, where the log is made.
    #[cfg(unix)]
    pub(super) fn is_writable(&self) -> bool {
        let folder = self.path.parent().unwrap_or(&self.path);
        let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        writable(&self.path) && writable(folder)
    }

    /// Whether the file can be written to.
    #[cfg(not(unix))]
    pub(super) fn is_writable(&self) -> bool {
        self.path.metadata().is_ok_and(|found| !found.permissions().readonly())
    }

    /// Free space on the disk, in bytes, where the system tells.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        #[cfg(unix)]
        return rustix::fs::statvfs(&self.path).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        #[cfg(not(unix))]
        return None;
    }

    /// The rights on the file in the bits of Unix, where there are any.
    pub(super) fn mode(&self) -> Option<u32> {
        #[cfg(unix)]
        return {
            use std::os::unix::fs::PermissionsExt;
            self.path.metadata().ok().map(|found| found.permissions().mode() & 0o7777)
        };
        #[cfg(not(unix))]
        return None;
    }
}

/// What a file was like that is read without a lock.
#[derive(Debug)]
pub(super) struct Found {
    place: Arc<Place>,
    len: u64,
    modified: Option<SystemTime>,
}

impl Found {
    /// What it is like now.
    pub(super) fn at(place: &Arc<Place>) -> Result<Self, StoreError> {
        let metadata = place.path.metadata().map_err(|error| {
            StoreError::new(StoreErrorKind::Io, OPEN, "the file could not be found").with_source(error)
        })?;
        Ok(Self { place: Arc::clone(place), len: metadata.len(), modified: metadata.modified().ok() })
    }

    /// Fails if it is another file, or another process has written to it.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        self.place.check(operation)?;
        let same = |found: Metadata| found.len() == self.len && found.modified().ok() == self.modified;
        let no_log = |log: std::io::Result<Metadata>| log.map_or(true, |log| log.len() == 0);
        if self.place.path.metadata().is_ok_and(same) && no_log(self.place.log.metadata()) {
            return Ok(());
        }
        let context = "another process writes to the file, which was opened for reading only; open the store again";
        Err(StoreError::new(StoreErrorKind::FileMoved, operation, context))
    }
}

impl FileId {
    #[cfg(unix)]
    fn of(_: &Path, metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self((metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of(path: &Path, _: &Metadata) -> Self {
        Self(path.to_owned())
    }
}

/// What a file is, and its size in bytes; `None` if there is none. It is asked before and after each commit, and for
/// nothing else on purpose: Linux (since 6.13) gives a file whose times were looked at finer ones with its next change, and
/// they would have to be written out with each sync.
#[cfg(target_os = "linux")]
fn look(path: &Path) -> Option<(FileId, u64)> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::SIZE) {
        Ok(found) => {
            let id = FileId((makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino));
            Some((id, found.stx_size))
        }
        Err(rustix::io::Errno::NOSYS) => look_at_all(path),
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
use look_at_all as look;

fn look_at_all(path: &Path) -> Option<(FileId, u64)> {
    path.metadata().ok().map(|found| (FileId::of(path, &found), found.len()))
}

/// Fails if there is a log beside a file that is not there or empty: it belongs to a file that was moved away, may hold
/// the only copy of what was written last, and SQLite would throw it away.
fn check_no_log(path: &Path, endings: &[&str]) -> Result<(), StoreError> {
    let is_log = |ending: &&str| beside(path, ending).metadata().is_ok_and(|metadata| metadata.len() > 0);
    let Some(ending) = endings.iter().copied().find(is_log) else { return Ok(()) };
    let context = format!(
        "the file is not there, but its log is ({ending}): put the file back, or move the log to where the file is now; \
         nothing was changed"
    );
    Err(StoreError::new(StoreErrorKind::FileMoved, OPEN, context))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ironclaw_core::model::secrets::WrappedKey;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes};
#[cfg(unix)]
use rustix::process::{getegid, geteuid};
use zeroize::Zeroizing;

use super::{derivation, key_text, run_blocking, seal_error, unwrap_under, wrap_under};
use crate::key::{Key, make_random_bytes};

/// A key in a file that only its owner can read.
///
/// Whoever can read both the file and the store can open the vault: keep them apart in backups. `init` makes the file
/// if it is not there, with mode 0600; nothing else ever does. On Unix a file that others can read or write is refused,
/// and so are a symbolic link, a file that is somebody else's (and not root's), and one in a folder that is, or in which
/// others may put files in its place: whose group may write, but for the process's own group, or all, without the sticky
/// bit. (Where many users have one group, take the group's right to write away.) On other systems the permissions are the
/// host's to see to.
///
/// File work runs on a thread for that. Dropping a future lets it end by itself.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key in the file at `path`. Nothing is read yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn read(&self, operation: &'static str) -> Result<Key, KeyError> {
        let path = self.path.clone();
        run_blocking(operation, move || read(operation, &path)).await
    }
}

#[async_trait]
impl KeySource for KeyFile {
    fn kind(&self) -> &'static str {
        "key-file"
    }

    async fn create(&self) -> Result<(), KeyError> {
        let path = self.path.clone();
        run_blocking("create", move || create(&path)).await
    }

    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError> {
        wrap_under(&self.read("wrap").await?, &[], root, associated_data)
    }

    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError> {
        let derivation = derivation(wrapped, 0)?;
        unwrap_under(&self.read("unwrap").await?, derivation, wrapped, associated_data)
    }
}

/// Writes a new key, durably, unless there is something at `path` already. The path never holds a part of a key: the
/// whole of it is on disk under another name first, and of two that are made at once one wins.
fn create(path: &Path) -> Result<(), KeyError> {
    let failed = |error: std::io::Error| io_error("create", path, error);
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let (unfinished, mut file) = open_unfinished(path)?;
    let key = Key::make_random().map_err(|error| seal_error("create", error));
    let written = key.and_then(|key| {
        file.write_all(key_text::encode(&key).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        match rename_to_new(&unfinished, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    });
    // Of whoever lost the race or failed: a key that nothing uses.
    drop(fs::remove_file(&unfinished));
    // Whoever lost the race waits for durability too: it may use the key before the winner has come this far.
    written.and_then(|()| sync_directory(path).map_err(failed))
}

/// A new file in the directory of `path`, for its owner only. Its name is never used again, so one that a crash left
/// behind is in nobody's way.
fn open_unfinished(path: &Path) -> Result<(PathBuf, File), KeyError> {
    let mut number = [0; 8];
    make_random_bytes(&mut number).map_err(|error| seal_error("create", error))?;
    let unfinished = path.with_file_name(format!(".ironclaw-key-{:016x}.tmp", u64::from_ne_bytes(number)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&unfinished).map_err(|error| io_error("create", path, error))?;
    Ok((unfinished, file))
}

/// Gives a file a name that nothing has, in one step: at no time has the key two names.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_to_new(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system knows no such thing.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_to_new(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::hard_link(from, to)
}

/// The folder that a file is in.
#[cfg(unix)]
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Without this, a power cut can take the file away while the vault stays.
#[cfg(unix)]
fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn read(operation: &'static str, path: &Path) -> Result<Key, KeyError> {
    let failed = |error: std::io::Error| io_error(operation, path, error);
    // Before it is opened: opening a pipe would wait for a writer.
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if found.is_symlink() {
        let context = format!("{} is a symbolic link: name the file that it points to", path.display());
        return Err(KeyError::new(KeyErrorKind::InsecurePermissions, operation, context));
    }
    if !found.is_file() {
        let context = format!("{} is not a file", path.display());
        return Err(KeyError::new(KeyErrorKind::Malformed, operation, context));
    }
    let file = File::open(path).map_err(failed)?;
    check_permissions(operation, path, &found, &file.metadata().map_err(failed)?)?;

    // A buffer that never grows leaves no copy behind.
    let mut text = Zeroizing::new([0; key_text::MAX_BYTES]);
    let mut length = 0;
    let mut file = file.take(key_text::MAX_BYTES as u64);
    loop {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    key_text::decode(operation, &text[..length])
}

#[cfg(unix)]
fn check_permissions(
    operation: &'static str,
    path: &Path,
    found: &fs::Metadata,
    opened: &fs::Metadata,
) -> Result<(), KeyError> {
    use std::os::unix::fs::MetadataExt;

    let insecure = |context| KeyError::new(KeyErrorKind::InsecurePermissions, operation, context);
    if (found.dev(), found.ino()) != (opened.dev(), opened.ino()) {
        return Err(insecure(format!("{} was replaced while it was opened", path.display())));
    }
    let mode = opened.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(insecure(format!("{path} has mode {mode:03o}, so others can use the key: run `chmod 600 {path}`")));
    }
    let us = Us { user: geteuid().as_raw(), group: getegid().as_raw() };
    if !us.trust(opened.uid()) {
        return Err(insecure(format!(
            "{} is of another user ({}), who knows the key: `chown` it, or give the key as an EnvironmentKey",
            path.display(),
            opened.uid()
        )));
    }
    let folder = folder(path);
    let place = fs::metadata(folder).map_err(|error| io_error(operation, path, error))?;
    if !us.trust(place.uid()) || us.may_others_write(place.mode(), place.gid()) {
        let folder = folder.display();
        return Err(insecure(format!(
            "others may put another file in the place of the key: make the folder {folder} yours, and run \
             `chmod go-w {folder}`"
        )));
    }
    Ok(())
}

/// Who this process is.
#[cfg(unix)]
struct Us {
    user: u32,
    group: u32,
}

#[cfg(unix)]
impl Us {
    /// Whether a file of this user's is as good as ours. Root can do anything anyway.
    fn trust(&self, user: u32) -> bool {
        user == self.user || user == 0
    }

    /// Whether others may rename or delete our files in a folder of this mode and group.
    fn may_others_write(&self, mode: u32, group: u32) -> bool {
        const STICKY: u32 = 0o1000;
        let by_group = mode & 0o020 != 0 && group != self.group;
        (by_group || mode & 0o002 != 0) && mode & STICKY == 0
    }
}

#[cfg(not(unix))]
fn check_permissions(_: &'static str, _: &Path, _: &fs::Metadata, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

fn io_error(operation: &'static str, path: &Path, error: std::io::Error) -> KeyError {
    let path = path.display();
    let (kind, context) = match (operation, error.kind()) {
        ("create", ErrorKind::NotFound) => (KeyErrorKind::Io, format!("{path}: make the directory first")),
        (_, ErrorKind::NotFound) => (
            KeyErrorKind::Missing,
            format!("there is no key file at {path}: restore it, for without it the vault can't be opened"),
        ),
        _ => (KeyErrorKind::Io, path.to_string()),
    };
    KeyError::new(kind, operation, context).with_source(error)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_we_and_root_are_trusted() {
        let us = Us { user: 1_000, group: 1_000 };
        assert!(us.trust(1_000) && us.trust(0) && !us.trust(1_001));
        for (mode, group, others) in [
            (0o700, 1, false),
            (0o755, 1, false),
            (0o775, 1_000, false),
            (0o775, 100, true),
            (0o777, 1_000, true),
            (0o1777, 100, false),
            (0o1775, 100, false),
        ] {
            assert_eq!(us.may_others_write(mode, group), others, "{mode:o} {group}");
        }
    }
}

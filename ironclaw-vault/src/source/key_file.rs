use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ironclaw_core::model::secrets::WrappedKey;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes};
use zeroize::Zeroizing;

use super::{derivation, key_text, run_blocking, seal_error, unwrap_under, wrap_under};
use crate::key::{Key, make_random_bytes};

/// A key in a file that only its owner can read.
///
/// Whoever can read both the file and the store can open the vault: keep them apart in backups. `init` makes the file
/// if it is not there, with mode 0600; nothing else ever does. On Unix a file that others can read or write is
/// refused, and so is a symbolic link. On other systems the permissions are the host's to see to.
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
        match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    });
    // If it can't be removed, what stays is readable by the owner alone, as the key file is.
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

/// Without this, a power cut can take the file away while the vault stays.
#[cfg(unix)]
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
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
    Ok(())
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

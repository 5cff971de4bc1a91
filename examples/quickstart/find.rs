//! What there is to read in a folder, and what there is that can't be.

use std::path::{Path, PathBuf};

use ironclaw_core::Limits;
use ironclaw_core::model::workspace::WorkspacePath;
use walkdir::WalkDir;

use crate::sources::Source;

/// What a walk through a folder found.
pub(crate) struct Found {
    pub(crate) files: Vec<File>,
    pub(crate) skipped: Vec<Skipped>,
    /// Whether every folder could be read: only then a file that was not found is gone.
    pub(crate) complete: bool,
}

/// A file to read.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Its path in the workspace.
    pub(crate) target: WorkspacePath,
    pub(crate) size: u64,
}

/// What was not read.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// All files of a source, and what can't be taken by its name or kind alone. Links are followed within the folder.
pub(crate) fn find(source: &Source, data: &Path) -> Found {
    let root = source.root();
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let (mut files, mut skipped, mut complete) = (Vec::new(), Vec::new(), true);
    let mut walk = WalkDir::new(&source.path).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let reason = match (error.loop_ancestor(), error.io_error()) {
                    (Some(_), _) => "a symbolic link to a folder above it".to_owned(),
                    (None, Some(_)) if path.is_symlink() => "a broken symbolic link".to_owned(),
                    _ => {
                        complete = false;
                        error.io_error().map_or_else(|| error.to_string(), ToString::to_string)
                    }
                };
                skipped.push(Skipped { path, reason });
                continue;
            }
        };
        match check(&entry, source, &data) {
            Ok(Some(file)) => files.push(file),
            Ok(None) => {}
            Err(reason) => {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                skipped.push(Skipped { path: entry.into_path(), reason });
            }
        }
    }
    Found { files, skipped, complete }
}

/// A file to take, nothing for a folder to walk into, or the reason to skip either.
fn check(entry: &walkdir::DirEntry, source: &Source, data: &Path) -> Result<Option<File>, String> {
    let root = source.root();
    let canonical = entry.path().canonicalize().map_err(|error| error.to_string())?;
    // Whichever way leads there: the vault's key is in that folder.
    if canonical.starts_with(data) {
        return Err("in the store's own folder".to_owned());
    }
    if entry.path_is_symlink() && entry.depth() > 0 && !canonical.starts_with(root) {
        return Err("a symbolic link that leads out of the folder".to_owned());
    }
    if entry.file_type().is_dir() {
        return Ok(None);
    }
    if !entry.file_type().is_file() {
        return Err("not a regular file".to_owned());
    }
    let relative = entry.path().strip_prefix(root).map_err(|error| error.to_string())?;
    let mut target = source.name.clone();
    for part in relative.components() {
        let part = part.as_os_str().to_str().ok_or("its name is not UTF-8")?;
        target.push('/');
        target.push_str(part);
    }
    let target = WorkspacePath::parse(target).map_err(|error| error.to_string())?;
    let size = entry.metadata().map_err(|error| error.to_string())?.len();
    let limit = Limits::default().entry_bytes;
    if size > limit {
        return Err(format!("{size} bytes exceed the limit of {limit} bytes"));
    }
    Ok(Some(File { path: entry.path().to_owned(), target, size }))
}

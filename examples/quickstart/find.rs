//! What there is to read in a folder, what there is that can't be, and what is left out unless asked for.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, Error, WalkBuilder};
use ironclaw_core::Limits;
use ironclaw_core::model::workspace::WorkspacePath;

use crate::sources::Source;

/// What a walk through a folder found.
pub(crate) struct Found {
    pub(crate) files: Vec<File>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) left_out: LeftOut,
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

/// How many files and folders were left out because nobody asked for them; what is in such a folder is not counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Their names begin with a dot.
    pub(crate) hidden: usize,
    /// A `.gitignore` or `.ignore` names them.
    pub(crate) ignored: usize,
}

/// All files of a source but those that are hidden or ignored, and what can't be taken by its name or kind alone. Links
/// are followed within the folder.
pub(crate) fn find(source: &Source, data: &Path) -> Found {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let mut found = Found { files: Vec::new(), skipped: Vec::new(), left_out: LeftOut::default(), complete: true };
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (mut folders, mut seen) = (Vec::new(), HashSet::new());
    for entry in walk(source, &data, Arc::clone(&refused)).build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let (skipped, complete) = unread(&error, source.root());
                found.complete &= complete;
                seen.insert(skipped.path.clone());
                found.skipped.push(skipped);
                continue;
            }
        };
        seen.insert(entry.path().to_owned());
        if let Some(error) = entry.error() {
            found
                .skipped
                .push(Skipped { path: entry.path().to_owned(), reason: format!("in its ignore file: {error}") });
        }
        match check(&entry, source, &data) {
            Ok(Some(file)) => found.files.push(file),
            Ok(None) => folders.push(entry.into_path()),
            Err(reason) => {
                let is_root = entry.depth() == 0;
                found.skipped.push(Skipped { path: entry.into_path(), reason });
                if is_root {
                    break;
                }
            }
        }
    }
    let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
    seen.extend(refused.iter().map(|skipped| skipped.path.clone()));
    found.skipped.extend(refused);
    found.left_out = left_out(&folders, &seen);
    found
}

/// A walk through what is asked for. A folder that is refused is not entered, and put among the `refused`.
fn walk(source: &Source, data: &Path, refused: Arc<Mutex<Vec<Skipped>>>) -> WalkBuilder {
    let (of, data) = (source.clone(), data.to_owned());
    // What git ignores is ignored; outside of a repository, and in a folder that was named although it is ignored itself,
    // only what the folder's own files say.
    let in_git = source.root().ancestors().any(|folder| folder.join(".git").exists()) && !is_ignored(source.root());
    let mut walk = WalkBuilder::new(&source.path);
    walk.standard_filters(false).follow_links(true).sort_by_file_name(std::ffi::OsStr::cmp);
    walk.hidden(!source.hidden).ignore(!source.ignored).git_ignore(!source.ignored);
    walk.parents(in_git)
        .require_git(in_git)
        .git_global(in_git && !source.ignored)
        .git_exclude(in_git && !source.ignored);
    walk.filter_entry(move |entry| {
        if !entry.file_type().is_some_and(|kind| kind.is_dir()) {
            return true;
        }
        let Err(reason) = check(entry, &of, &data) else { return true };
        let skipped = Skipped { path: entry.path().to_owned(), reason };
        refused.lock().unwrap_or_else(PoisonError::into_inner).push(skipped);
        false
    });
    walk
}

/// Whether git ignores this folder.
fn is_ignored(folder: &Path) -> bool {
    let Some(parent) = folder.parent() else { return false };
    let mut siblings = WalkBuilder::new(parent).hidden(false).max_depth(Some(1)).build();
    !siblings.any(|entry| entry.is_ok_and(|entry| entry.path() == folder))
}

/// What the walk passed over without a word: what is in the folders and was not seen.
fn left_out(folders: &[PathBuf], seen: &HashSet<PathBuf>) -> LeftOut {
    let mut left_out = LeftOut::default();
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    for entry in entries.filter(|entry| !seen.contains(&entry.path())) {
        match entry.file_name().as_encoded_bytes().starts_with(b".") {
            true => left_out.hidden += 1,
            false => left_out.ignored += 1,
        }
    }
    left_out
}

/// What could not be entered or followed; and whether all files are known nonetheless.
fn unread(error: &Error, root: &Path) -> (Skipped, bool) {
    let path = path_of(error).unwrap_or(root).to_owned();
    let (reason, complete) = match (is_loop(error), io_error(error)) {
        (true, _) => ("a symbolic link to a folder above it".to_owned(), true),
        (false, Some(_)) if path.is_symlink() => ("a broken symbolic link".to_owned(), true),
        (false, Some(error)) => (error.to_string(), false),
        // A rule that makes no sense hides no file.
        (false, None) => (error.to_string(), true),
    };
    (Skipped { path, reason }, complete)
}

fn path_of(error: &Error) -> Option<&Path> {
    match error {
        Error::WithPath { path, .. } => Some(path),
        Error::Loop { child, .. } => Some(child),
        Error::WithDepth { err, .. } | Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

fn is_loop(error: &Error) -> bool {
    match error {
        Error::Loop { .. } => true,
        Error::WithPath { err, .. } | Error::WithDepth { err, .. } | Error::WithLineNumber { err, .. } => is_loop(err),
        _ => false,
    }
}

/// The system's own error, without the path that is shown beside it.
fn io_error(error: &Error) -> Option<&io::Error> {
    match error {
        Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.source()).and_then(|inner| inner.downcast_ref());
            Some(inner.unwrap_or(error))
        }
        Error::WithPath { err, .. } | Error::WithDepth { err, .. } | Error::WithLineNumber { err, .. } => io_error(err),
        _ => None,
    }
}

/// A file to take, nothing for a folder to walk into, or the reason to skip either.
fn check(entry: &DirEntry, source: &Source, data: &Path) -> Result<Option<File>, String> {
    let root = source.root();
    let canonical = entry.path().canonicalize().map_err(|error| error.to_string())?;
    // Whichever way leads there: the vault's key is in that folder.
    if canonical.starts_with(data) {
        return Err("in the store's own folder".to_owned());
    }
    if entry.path_is_symlink() && entry.depth() > 0 && !canonical.starts_with(root) {
        return Err("a symbolic link that leads out of the folder".to_owned());
    }
    let kind = entry.file_type();
    if kind.is_some_and(|kind| kind.is_dir()) {
        return Ok(None);
    }
    if !kind.is_some_and(|kind| kind.is_file()) {
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

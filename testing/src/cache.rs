//! What is fetched once for all runs that have the same target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::ClusterError;

/// What the name of a folder begins with while it is being filled.
const UNFINISHED: &str = "unpacking-";

/// The folder `name` in the cache. If it is not there yet, `fill` makes a tree in the temporary folder that it is given,
/// which then becomes it.
///
/// Processes that ask at the same time wait for one of them to do it.
pub(crate) fn fetched(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<PathBuf, ClusterError>,
) -> Result<PathBuf, ClusterError> {
    let fetched = cache.join(name);
    let lock = cache.join("install.lock");
    let locked = fs::create_dir_all(cache).and_then(|()| File::create(&lock)).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    let _locked = locked.map_err(|error| ClusterError::io("lock", &lock, error))?;
    // The folder gets its name when all of it is there: whoever was killed in between left only a temporary one.
    if !fetched.is_dir() {
        remove_leftovers(cache);
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(cache);
        let folder = folder.map_err(|error| ClusterError::io("make a folder in", cache, error))?;
        let tree = fill(folder.path())?;
        fs::rename(&tree, &fetched).map_err(|error| ClusterError::io("make", &fetched, error))?;
    }
    Ok(fetched)
}

/// The folder, in Cargo's target folder, for what outlives a process.
pub(crate) fn folder() -> PathBuf {
    let executable = std::env::current_exe().unwrap_or_default();
    // Cargo marks its target folder, wherever it was told to put it. A documentation test runs elsewhere.
    let target = executable.ancestors().skip(1).find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = target.map(Path::to_path_buf);
    let target = target.or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from));
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("postgres")
}

fn remove_leftovers(cache: &Path) {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        // What can't be removed is only in the way of the disk's space.
        let _ = fs::remove_dir_all(entry.path());
    }
}

//! Programs from the packages of Debian and its kin, fetched and unpacked without the right to install them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::output::output;
use crate::{ClusterError, cache};

/// The root of a tree with the files of `package` and of what it depends on, as far as this machine lacks them, below
/// `cache`. They are of the release that the machine runs, and apt checks them against the signatures that it trusts.
pub(crate) fn tree(cache: &Path, package: &str) -> Result<PathBuf, ClusterError> {
    cache::fetched(cache, &format!("apt-{package}"), |folder| {
        let (lists, archives, tree) = (folder.join("lists"), folder.join("archives"), folder.join("tree"));
        for path in [&lists.join("partial"), &archives.join("partial"), &tree] {
            fs::create_dir_all(path).map_err(|error| ClusterError::io("make", path, error))?;
        }
        // Lists and packages of our own: those of the machine are root's.
        let apt = || {
            let mut command = Command::new("apt-get");
            command.args(["-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]);
            command.args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o"]);
            command.arg(option("Dir::State::Lists", &lists)).arg("-o").arg(option("Dir::Cache", folder));
            command.arg("-o").arg(option("Dir::Cache::Archives", &archives));
            command
        };
        output(apt().arg("update"))?;
        output(apt().args(["install", "--download-only", "--no-install-recommends", "--yes", package]))?;
        let entries = fs::read_dir(&archives).map_err(|error| ClusterError::io("read", &archives, error))?;
        let packages = entries.flatten().map(|entry| entry.path());
        for file in packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
            output(Command::new("dpkg-deb").arg("--extract").arg(file).arg(&tree))?;
        }
        Ok(tree)
    })
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The tree that a program was unpacked in, and the folders of the libraries in it: none for one that is installed.
pub(crate) fn libraries(program: &Path) -> Option<(&Path, Vec<PathBuf>)> {
    let root = program.ancestors().find(|folder| folder.parent().is_some() && folder.join("usr/lib").is_dir())?;
    let folders = ["usr/lib", "lib"].into_iter().flat_map(|lib| fs::read_dir(root.join(lib))).flatten().flatten();
    let native = folders.filter(|entry| entry.file_name().to_string_lossy().contains("-linux-"));
    Some((root, native.map(|entry| entry.path()).collect()))
}

//! Running the programs of an installation.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::output::output;
use crate::{ClusterError, apt};

/// The unprivileged account that runs servers for root, as PostgreSQL and PgBouncer refuse to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to run servers as: `None`, this process's own, unless that is root.
    pub(crate) fn for_servers() -> Result<Option<Self>, ClusterError> {
        // A new file belongs to the process's effective user, which the standard library can't say otherwise.
        let probe = tempfile::tempfile().and_then(|file| file.metadata());
        let owner = probe.map_err(|error| ClusterError::io("make a file in", &std::env::temp_dir(), error))?.uid();
        if owner != 0 {
            return Ok(None);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(|error| ClusterError::io("read", path, error))?;
        let account = ["postgres", "nobody"].iter().find_map(|name| Self::parse(&passwd, name));
        account.map(Some).ok_or_else(|| {
            ClusterError::program("PostgreSQL", "it does not run as root, and there is no user `postgres` or `nobody`")
        })
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

/// Gives `path` to the account that must use it.
pub(crate) fn hand_over(path: &Path, account: Option<Account>) -> Result<(), ClusterError> {
    match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid))
            .map_err(|error| ClusterError::io("change the owner of", path, error)),
        None => Ok(()),
    }
}

/// A program of PostgreSQL or PgBouncer, to be run as `account`.
pub(crate) fn program(path: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(path);
    // The caller's own PostgreSQL settings, its locale and a working folder closed to the account must not matter.
    let own = std::env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env_remove("LANGUAGE").current_dir("/").stdin(Stdio::null());
    if let Some((_, folders)) = apt::libraries(path) {
        command.env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap_or_default());
    }
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid).env("HOME", "/");
    }
    command
}

/// A program where `account` can run it: itself, or, if its own folder is closed to it, in a copy of `root` (all that it
/// loads, itself included) made in `folder`.
pub(crate) fn reachable(
    path: &Path,
    root: &Path,
    account: Option<Account>,
    folder: &Path,
) -> Result<PathBuf, ClusterError> {
    if output(program(path, account).arg("--version")).is_ok() {
        return Ok(path.to_owned());
    }
    let copy = folder.join("installation");
    let copied = path.strip_prefix(root).map(|path| copy.join(path)).unwrap_or_else(|_| copy.clone());
    output(Command::new("cp").arg("-R").arg(root).arg(&copy))?;
    output(program(&copied, account).arg("--version"))?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(Account::parse(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(Account::parse(passwd, "nobody"), None);
    }
}

//! The folder that a server runs in, and the process that cleans up after it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ClusterError;
use crate::program::{Account, hand_over};

/// A temporary folder with all that a server keeps: its data, socket, log and own files.
///
/// Its supervisor stops the server and removes the folder once no living process has been registered for a while. It is
/// not removed on drop.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
    account: Option<Account>,
}

impl RunFolder {
    /// Makes a folder for `account` with this process as its only user, and starts its supervisor.
    pub(crate) fn create(account: Option<Account>, grace_seconds: u32) -> Result<Self, ClusterError> {
        // The name is short, as the path of a socket in it must fit into 104 bytes.
        let path = tempfile::Builder::new().prefix("ironclaw-").tempdir();
        let path = path.map_err(|error| ClusterError::io("make a folder in", &std::env::temp_dir(), error))?.keep();
        hand_over(&path, account)?;
        let run = Self { path, account };
        let users = run.path.join("users");
        fs::create_dir(&users).map_err(|error| ClusterError::io("make", &users, error))?;
        run.register()?;
        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", include_str!("supervise.sh"), "ironclaw-supervisor"]).arg(&run.path);
        supervisor.arg(grace_seconds.to_string()).current_dir("/");
        // In a process group of its own, it outlives an interrupted test run.
        supervisor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        supervisor.spawn().map_err(|error| ClusterError::program("sh", error))?;
        Ok(run)
    }

    /// A folder that another process made.
    pub(crate) fn existing(path: PathBuf, account: Option<Account>) -> Self {
        Self { path, account }
    }

    /// Makes this process a user of the folder, which keeps its server alive.
    pub(crate) fn register(&self) -> Result<(), ClusterError> {
        let entry = self.path.join("users").join(std::process::id().to_string());
        File::create(&entry).map(drop).map_err(|error| ClusterError::io("make", &entry, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Who the servers in it run as.
    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// Makes a folder in it that is closed to other users.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| ClusterError::io("make", &path, error))?;
        hand_over(&path, self.account)?;
        Ok(path)
    }

    /// Writes a file that only the servers' account (and root) can read.
    pub(crate) fn file(&self, path: &Path, content: &[u8]) -> Result<(), ClusterError> {
        write_private(path, content)?;
        hand_over(path, self.account)
    }

    pub(crate) fn remove(&self) {
        // The supervisor tries again, and the system empties its temporary folder some day.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Writes a file that only its owner can read. It replaces one of that name, whose readers see the old content.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), ClusterError> {
    let failed = |error: std::io::Error| ClusterError::io("write", path, error);
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file has mode 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, content).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

//! How an open store's files are.

use std::path::PathBuf;

use ironclaw_core::Timestamp;

/// How an open [`LibsqlStore`](super::LibsqlStore)'s files are, by [`LibsqlStore::health`](super::LibsqlStore::health).
///
/// A store in memory has no files: everything is zero, absent or false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibsqlHealth {
    /// The file, with symbolic links followed.
    pub path: Option<PathBuf>,
    /// Whether the store was opened for reading only, because the file or its folder can't be written to.
    pub read_only: bool,
    /// The size of the write-ahead log in bytes, when it was last looked at.
    pub log_bytes: u64,
    /// The size in bytes that the log is kept under.
    pub log_limit: u64,
    /// Since when another process has kept the log from being emptied: a reading of it that does not end.
    pub log_stuck_since: Option<Timestamp>,
    /// How many times since the store was opened a change, or several that committed together, took the log beyond its
    /// limit and were themselves larger than three quarters of that.
    pub oversized_changes: u64,
    /// Free space on the file's disk in bytes; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// The rights on the file in the bits of Unix, as `0o600`; `None` where there are none.
    pub mode: Option<u32>,
    /// Whether others had rights on the files when the store was opened, which were then taken away.
    pub mode_mended: bool,
    /// Whether others may write to the folder: they could take the files away or put others in their place.
    pub folder_open_to_others: bool,
}

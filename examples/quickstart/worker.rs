//! Which of a folder's processes this one is.

use std::fs::{File, TryLockError};
use std::path::Path;

use ironclaw_core::id::WorkerName;

use crate::failure::Failure;

/// More processes than anybody runs on one folder.
const PLACES: u32 = 64;

/// A name that no other running process of the folder has, and that the next one takes over when this one has ended,
/// however it ends: the system lets go of a dead process's lock. So what it left behind is known by its name.
pub(crate) struct Worker {
    pub(crate) name: WorkerName,
    _lock: File,
}

impl Worker {
    /// The first free place of the folder, or `None` where files can't be locked.
    pub(crate) fn take(data: &Path) -> Result<Option<Self>, Failure> {
        for place in 0..PLACES {
            let path = data.join(format!("worker-{place}.lock"));
            let mut options = File::options();
            options.create(true).truncate(false).write(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let lock = options
                .open(&path)
                .map_err(|error| Failure::new(format!("{} can't be opened: {error}", path.display())))?;
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Some(Self { name: WorkerName::parse(format!("quickstart-{place}"))?, _lock: lock }));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
        Ok(None)
    }
}

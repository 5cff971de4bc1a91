//! Whether others than the owner may read or write a store's files.

use ironclaw_core::store::StoreError;

use crate::libsql::place::Place;

/// The endings of the names of a store's files.
#[cfg(unix)]
const FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// What was found when the store was opened.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::libsql) struct Privacy {
    /// Others could read or write the files; now they can't.
    pub(super) mended: bool,
    /// Others can read the files, which are not ours to change.
    #[cfg_attr(not(unix), expect(dead_code, reason = "rights are not told in bits there"))]
    pub(super) readable: bool,
    /// Others can put files into the folder or take them away.
    pub(super) open_folder: bool,
}

/// Takes others' rights away from the files, or refuses a store that others could write to.
#[cfg(unix)]
pub(in crate::libsql) fn make_private(place: &Place) -> Result<Privacy, StoreError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use ironclaw_core::store::StoreErrorKind;

    let failed = |context: &str| StoreError::new(StoreErrorKind::Exposed, "open", context);
    let mut privacy = Privacy::default();
    let mut owner = None;
    for ending in FILES {
        let path = place.beside(ending);
        let Ok(found) = path.symlink_metadata() else {
            continue;
        };
        // Whoever may put a file into the folder could otherwise have put a log there that is read as the store's.
        if *owner.get_or_insert(found.uid()) != found.uid() || !found.is_file() {
            return Err(failed("a file beside the store's file is somebody else's; look who put it there"));
        }
        let mode = found.permissions().mode();
        if mode & 0o077 == 0 {
            continue;
        }
        match std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode & 0o700)) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), mode = %format!("{:o}", mode & 0o777), "others had rights on a file of the store; they were taken away");
                privacy.mended = true;
            }
            Err(error) if mode & 0o022 != 0 => {
                let context =
                    "others may write to the store's file, and you may not forbid it; have its owner run chmod 600";
                return Err(failed(context).with_source(error));
            }
            Err(_) => {
                tracing::warn!(path = %path.display(), "others may read a file of the store");
                privacy.readable = true;
            }
        }
    }
    let folder = place.path().parent().unwrap_or(Path::new("/"));
    privacy.open_folder = folder.metadata().is_ok_and(|found| found.permissions().mode() & 0o022 != 0);
    if privacy.open_folder {
        tracing::warn!(folder = %folder.display(), "others may write to the folder of the store");
    }
    Ok(privacy)
}

/// Who may read a file is not told in bits here: the folder's rights hold.
#[cfg(not(unix))]
pub(in crate::libsql) fn make_private(_: &Place) -> Result<Privacy, StoreError> {
    Ok(Privacy::default())
}

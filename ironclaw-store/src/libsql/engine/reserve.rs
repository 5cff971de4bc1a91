//! Room on the disk that only deleting may use.
//!
//! To delete is to write: the pages that change go into the log first, overwritten ones included. On a disk that is full
//! nothing could be deleted, and so nothing would ever free room. A file beside the database keeps some: it is emptied
//! for a change that only deletes, and filled again after it.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::libsql::place::Place;

/// What the file begins with, so that no other file of that name is taken for it.
const MARK: &[u8] = b"room that only deleting may use; made again when it is missing\n";

/// A disk with less than this free may be too full for a change that deletes.
const LITTLE: u64 = 8 << 20;

/// The room that is kept.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    /// How large it should be.
    bytes: u64,
    /// Whether it is.
    is_whole: Cell<bool>,
}

impl Reserve {
    /// Keeps so many bytes beside the database, or what there was, or a quarter of what is free if that is less. `None` if
    /// that is nothing, or not possible.
    pub(super) fn keep(place: &Place, bytes: u64) -> Option<Self> {
        let path = place.beside("-reserve");
        if bytes == 0 {
            return None;
        }
        let there = match path.symlink_metadata() {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return None,
            Err(_) => 0,
        };
        let room = place.free_bytes().map_or(bytes, |free| free.saturating_add(there) / 4);
        let reserve = Self { path, bytes: bytes.min(room.max(there)), is_whole: Cell::new(true) };
        match reserve.fill() {
            Ok(true) => Some(reserve),
            Ok(false) => {
                tracing::warn!(path = %reserve.path.display(), "another file stands in the reserve's place");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "no room could be reserved for deleting");
                None
            }
        }
    }

    /// How much it keeps when it is full.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the disk has so little room that deleting might need the reserve, or that not all of it could be kept.
    pub(super) fn is_needed(&self, place: &Place) -> bool {
        !self.is_whole.get() || place.free_bytes().is_some_and(|free| free < LITTLE)
    }

    /// Gives the room back to the disk.
    pub(super) fn release(&self) {
        // The mark stays: what has none is not ours.
        let released = self.open().and_then(|file| match file {
            Some(file) => file.set_len(MARK.len() as u64),
            None => Err(not_ours()),
        });
        if let Err(error) = released {
            tracing::warn!(%error, "the reserve could not be released");
        }
    }

    /// Takes the room again, as much of it as there is.
    pub(super) fn refill(&self) {
        let filled = self.fill().and_then(|is_ours| if is_ours { Ok(()) } else { Err(not_ours()) });
        self.is_whole.set(filled.is_ok());
        if let Err(error) = filled {
            tracing::warn!(%error, "the reserve is not whole: free space on the disk");
        }
    }

    /// `false` if the file is somebody else's.
    fn fill(&self) -> std::io::Result<bool> {
        let Some(mut file) = self.open()? else {
            return Ok(false);
        };
        let there = file.metadata()?.len();
        if there >= self.bytes {
            return Ok(true);
        }
        if there == 0 {
            file.write_all(&MARK[..MARK.len().min(usize::try_from(self.bytes).unwrap_or(usize::MAX))])?;
        }
        self.allocate(&mut file)?;
        Ok(true)
    }

    /// The file, made if it is not there; `None` if it is somebody else's, which stays as it is. Whoever may write to the
    /// folder can put another in its place at any time: no link is followed, and the mark is looked for each time.
    fn open(&self) -> std::io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Whatever is no file must not be waited for.
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            options.mode(0o600).custom_flags(flags.bits().cast_signed());
        }
        let mut file = options.open(&self.path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        let mut begins = Vec::new();
        (&mut file).take(MARK.len() as u64).read_to_end(&mut begins)?;
        if found.len() > 0 && begins != MARK {
            return Ok(None);
        }
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Some(file))
    }

    /// Makes the file as large as it should be, with room on the disk behind all of it.
    fn allocate(&self, file: &mut File) -> std::io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        match rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => return Ok(()),
            // Not all file systems can, and none does it in part: they are written to, as far as that goes.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOSPC) => {}
            Err(error) => return Err(error.into()),
        }
        let at = file.seek(SeekFrom::End(0))?;
        let zeros = [0; 64 << 10];
        let mut left = self.bytes.saturating_sub(at);
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len());
            match file.write(&zeros[..next]) {
                Ok(written) => left -= written as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn not_ours() -> std::io::Error {
    std::io::Error::new(ErrorKind::AlreadyExists, "another file stands in the reserve's place")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn another_file_in_its_place_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let place = Place::find_or_make(&path).unwrap();
        let reserve = Reserve::keep(&place, 100_000).unwrap();
        let length = || reserve.path.metadata().unwrap().len();
        assert_eq!(length(), 100_000);
        reserve.release();
        assert!(length() < 100);
        reserve.refill();
        assert_eq!(length(), 100_000);
        let other = folder.path().join("letters");
        let text = "what somebody else keeps, longer than the mark ".repeat(10);
        for put in [|from, to| symlink(from, to).unwrap(), |from, to| std::fs::hard_link(from, to).unwrap()]
            as [fn(&PathBuf, &PathBuf); 2]
        {
            std::fs::write(&other, &text).unwrap();
            std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o640)).unwrap();
            std::fs::remove_file(&reserve.path).unwrap();
            put(&other, &reserve.path);
            reserve.release();
            assert_eq!(std::fs::read_to_string(&other).unwrap(), text, "released");
            reserve.refill();
            assert_eq!(std::fs::read_to_string(&other).unwrap(), text, "refilled");
            assert!(!reserve.is_whole.get());
            assert!(Reserve::keep(&place, 100_000).is_none());
            assert_eq!(other.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        }
    }
}

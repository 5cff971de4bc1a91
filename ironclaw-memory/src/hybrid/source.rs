//! Reading content piece by piece.

use std::io::{self, Read, Seek};

use ironclaw_core::InputError;
use ironclaw_core::input::Problem;
use ironclaw_core::model::workspace::ContentHash;
use sha2::{Digest, Sha256};

use super::draft::{Batch, Draft};
use crate::chunk::{Chunker, Format};

/// Content that can be read twice.
pub(super) trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// What one reading of the whole content tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) size: u64,
    pub(super) hash: ContentHash,
    /// Whether it is UTF-8 text that is not blank.
    pub(super) searchable: bool,
}

impl Survey {
    /// Reads `source` to its end.
    ///
    /// # Errors
    /// What the source fails with; an [`InputError`] inside if it has more than `limit` bytes.
    pub(super) fn of(mut source: impl Read, limit: u64) -> io::Result<Self> {
        let (mut hasher, mut size, mut text, mut blank) = (Sha256::new(), 0, true, true);
        let mut buffer = vec![0; 64 << 10];
        // The start of a character whose end is yet to be read stays at the front of the buffer.
        let mut kept = 0;
        loop {
            let read = read_some(&mut source, &mut buffer[kept..])?;
            if read == 0 {
                break;
            }
            size += read as u64;
            if size > limit {
                let problem = Problem::TooLarge { limit, actual: size, unit: "bytes" };
                return Err(io::Error::other(InputError::new("content", problem)));
            }
            hasher.update(&buffer[kept..kept + read]);
            if !text {
                continue;
            }
            let held = kept + read;
            let (valid, broken) = match std::str::from_utf8(&buffer[..held]) {
                Ok(_) => (held, false),
                Err(error) => (error.valid_up_to(), error.error_len().is_some()),
            };
            blank = blank && std::str::from_utf8(&buffer[..valid]).is_ok_and(|text| text.trim().is_empty());
            text = !broken;
            kept = if broken { 0 } else { held - valid };
            buffer.copy_within(valid..held.max(valid), 0);
        }
        let hash = ContentHash::from_bytes(hasher.finalize().into());
        Ok(Self { size, hash, searchable: text && kept == 0 && !blank })
    }
}

/// Content as parts, cut where text is best cut, with the chunks of each.
#[derive(Debug)]
pub(super) struct Parts<R> {
    source: R,
    chunks: Option<(Chunker, Format)>,
    part_bytes: usize,
    /// What of Markdown the buffer goes on after.
    opening: String,
    buffer: Vec<u8>,
    hasher: Sha256,
    offset: u64,
    ended: bool,
}

/// What is read beyond a part, to see whether a character or cluster ends with it.
const LOOKAHEAD: usize = 128;

impl<R: Read> Parts<R> {
    /// The parts of `source`, of at most `part_bytes` bytes each; without chunks if it is not searchable.
    pub(super) fn new(source: R, part_bytes: usize, chunks: Option<(Chunker, Format)>) -> Self {
        let (opening, buffer, hasher) = (String::new(), Vec::new(), Sha256::new());
        Self { source, chunks, part_bytes, opening, buffer, hasher, offset: 0, ended: false }
    }

    /// The next parts, of about `bytes` bytes together.
    ///
    /// # Errors
    /// What the source fails with; [`io::ErrorKind::InvalidData`] if text was expected and is not there.
    pub(super) fn next_batch(&mut self, bytes: usize) -> io::Result<Batch<Draft>> {
        let (mut parts, mut held) = (Vec::new(), 0);
        while held == 0 || held + self.part_bytes <= bytes {
            let Some(draft) = self.next_part()? else { break };
            held += draft.bytes.len();
            parts.push(draft);
        }
        self.fill()?;
        let end = self
            .buffer
            .is_empty()
            .then(|| (self.offset, ContentHash::from_bytes(std::mem::take(&mut self.hasher).finalize().into())));
        Ok(Batch { parts, end })
    }

    fn next_part(&mut self) -> io::Result<Option<Draft>> {
        self.fill()?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let mut ranges = Vec::new();
        let end = match self.chunks {
            None => self.buffer.len().min(self.part_bytes),
            Some((chunker, format)) => {
                let text = valid_text(&self.buffer, self.ended)?;
                let part = chunker.part(text, self.part_bytes, format, &self.opening);
                (ranges, self.opening) = (part.ranges, part.opening);
                part.end
            }
        };
        let rest = self.buffer.split_off(end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        self.hasher.update(&bytes);
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        Ok(Some(Draft { offset, bytes, ranges }))
    }

    fn fill(&mut self) -> io::Result<()> {
        let wanted = self.part_bytes + LOOKAHEAD;
        while !self.ended && self.buffer.len() < wanted {
            let held = self.buffer.len();
            self.buffer.resize(wanted, 0);
            let read = read_some(&mut self.source, &mut self.buffer[held..]);
            self.buffer.truncate(held + read.as_ref().copied().unwrap_or_default());
            self.ended = read? == 0;
        }
        Ok(())
    }
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A reader that claims more than it was given would lead beyond the buffer.
            read => return read.map(|n| n.min(buffer.len())),
        }
    }
}

/// The text that `bytes` hold, without the beginning of a character at their end if more is to come.
fn valid_text(bytes: &[u8], ended: bool) -> io::Result<&str> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) if error.error_len().is_none() && !ended && error.valid_up_to() > 0 => error.valid_up_to(),
        Err(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the content changed while it was read")),
    };
    std::str::from_utf8(&bytes[..valid]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

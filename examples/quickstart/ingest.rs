//! Mirrors folders into the workspace: what changed is embedded, what is gone is deleted, what can't be read is
//! reported with its reason.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use ironclaw_core::memory::{MemoryError, MemoryErrorKind, Written};
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{Memory, PageRequest, Scope};
use ironclaw_memory::{HybridMemory, NewFile};

use crate::failure::Failure;
use crate::find::{File, Found, LeftOut, Skipped, find};
use crate::sources::{Source, relative};

/// Files up to this size are written many at a time; larger ones one by one in parts, to bound the memory in use.
const SMALL_BYTES: u64 = 1 << 20;

/// How many small files are read before they are written together, and how many bytes of them at the most.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: u64 = 8 << 20;

/// How a vault's key file begins, whatever the format's version.
const KEY_PREFIX: &[u8] = b"ironclaw-key-";

/// What an ingest did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) written: usize,
    pub(crate) unchanged: usize,
    /// How many files are gone, and how many that were read before are still there and left out now.
    pub(crate) deleted: usize,
    pub(crate) dropped: usize,
    pub(crate) chunks: usize,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) left_out: LeftOut,
}

impl Report {
    fn count(&mut self, written: &Written) {
        match written.changed {
            true => self.written += 1,
            false => self.unchanged += 1,
        }
        self.chunks += written.embedded;
    }
}

/// Mirrors a folder, or one file of it. `data` is the store's own folder, which is left out.
pub(crate) async fn ingest(
    memory: &HybridMemory,
    scope: &Scope,
    source: &Source,
    data: &Path,
) -> Result<Report, Failure> {
    let (walked, data) = (source.clone(), data.to_owned());
    let Found { files, skipped, left_out, complete } =
        tokio::task::spawn_blocking(move || find(&walked, &data)).await?;
    let mut kept: HashSet<WorkspacePath> = files.iter().map(|file| file.target.clone()).collect();
    let mut report = Report { skipped, left_out, ..Report::default() };

    let bar = progress(&files, &source.name);
    let mut unread = Vec::new();
    let (small, large): (Vec<File>, Vec<File>) = files.into_iter().partition(|file| file.size <= SMALL_BYTES);
    for batch in batches(small) {
        let bytes = batch.iter().map(|file| file.size.max(1)).sum();
        let (read, failed) = tokio::task::spawn_blocking(move || read_all(batch)).await?;
        unread.extend(failed);
        unread.extend(write_batch(memory, scope, source, read, &mut report).await?);
        bar.inc(bytes);
    }
    for file in large {
        let size = file.size;
        match open_large(file).await? {
            Ok((file, content)) => {
                match accepted(memory.write_from(scope, &file.target, source.mark(), content).await)? {
                    Ok(written) => report.count(&written),
                    Err(refused) => unread.push(Unread::transient(file, refused)),
                }
            }
            Err(failed) => unread.push(failed),
        }
        bar.inc(size);
    }
    bar.finish_and_clear();

    for Unread { target, skipped, unfit } in unread {
        if unfit {
            kept.remove(&target);
        }
        report.skipped.push(skipped);
    }
    if complete {
        let deleted = delete_below(memory, scope, source, |path| !kept.contains(path)).await?;
        let skipped: HashSet<&Path> = report.skipped.iter().map(|skipped| skipped.path.as_path()).collect();
        let files = deleted.iter().map(|path| source.root().join(relative(path)));
        report.dropped = files.filter(|file| file.exists() && !skipped.contains(file.as_path())).count();
        report.deleted = deleted.len() - report.dropped;
    }
    report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

/// Deletes a folder's files from the workspace.
pub(crate) async fn remove(memory: &HybridMemory, scope: &Scope, source: &Source) -> Result<(), Failure> {
    delete_below(memory, scope, source, |_| true).await.map(drop)
}

async fn delete_below(
    memory: &HybridMemory,
    scope: &Scope,
    source: &Source,
    gone: impl Fn(&WorkspacePath) -> bool + Sync,
) -> Result<Vec<WorkspacePath>, Failure> {
    let prefix = WorkspacePath::parse(source.name.as_str())?;
    let mut page = PageRequest::first(PageRequest::MAX)?;
    let mark = source.mark();
    let mut deleted = Vec::new();
    loop {
        let entries = memory.list(scope, Some(&prefix), &page).await?;
        for entry in entries.items.into_iter().filter(|entry| entry.metadata == mark && gone(&entry.path)) {
            if memory.delete(scope, &entry.path).await? {
                deleted.push(entry.path);
            }
        }
        match entries.next {
            Some(cursor) => page = page.after(cursor),
            None => return Ok(deleted),
        }
    }
}

/// Writes small files together, or one by one if one of them is refused.
async fn write_batch(
    memory: &HybridMemory,
    scope: &Scope,
    source: &Source,
    files: Vec<(File, Vec<u8>)>,
    report: &mut Report,
) -> Result<Vec<Unread>, Failure> {
    let new = |file: &File, content: &[u8]| NewFile::of(file.target.clone(), content).metadata(source.mark());
    let together = files.iter().map(|(file, content)| new(file, content)).collect();
    if let Ok(written) = accepted(memory.write_many(scope, together).await)? {
        written.iter().for_each(|written| report.count(written));
        return Ok(Vec::new());
    }
    let mut unread = Vec::new();
    for (file, content) in files {
        match accepted(memory.write(scope, &file.target, &content, source.mark()).await)? {
            Ok(written) => report.count(&written),
            Err(refused) => unread.push(Unread::transient(file, refused)),
        }
    }
    Ok(unread)
}

/// Tells a file that is refused, in words, from a failure of the store or the embedder.
fn accepted<T>(written: Result<T, MemoryError>) -> Result<Result<T, String>, Failure> {
    match written {
        Ok(written) => Ok(Ok(written)),
        Err(error) if error.kind() == &MemoryErrorKind::InvalidInput => Ok(Err(Failure::from(error).to_string())),
        Err(error) => Err(error.into()),
    }
}

fn progress(files: &[File], name: &str) -> ProgressBar {
    let bar = ProgressBar::new(files.iter().map(|file| file.size.max(1)).sum());
    let template = "{prefix} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(format!("reading {name}"));
    bar
}

/// The files in order, in groups that fit into memory.
fn batches(files: Vec<File>) -> Vec<Vec<File>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for file in files {
        if batch.len() == BATCH_FILES || bytes + file.size > BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += file.size;
        batch.push(file);
    }
    batches.push(batch);
    batches
}

/// What is skipped at reading.
struct Unread {
    target: WorkspacePath,
    skipped: Skipped,
    /// Whether what the workspace has of it goes as well. What may be read again later stays.
    unfit: bool,
}

impl Unread {
    fn unfit(file: File, reason: impl Into<String>) -> Self {
        Self { target: file.target, skipped: Skipped { path: file.path, reason: reason.into() }, unfit: true }
    }

    fn transient(file: File, reason: impl Into<String>) -> Self {
        Self { unfit: false, ..Self::unfit(file, reason) }
    }
}

fn read_all(files: Vec<File>) -> (Vec<(File, Vec<u8>)>, Vec<Unread>) {
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        match read_small(file) {
            Ok(file) => read.push(file),
            Err(failed) => unread.push(failed),
        }
    }
    (read, unread)
}

fn read_small(file: File) -> Result<(File, Vec<u8>), Unread> {
    let content = fs::File::open(&file.path).and_then(|content| {
        let mut bytes = Vec::new();
        // One byte more than there was shows whether it grew; a part of a file is never taken for the whole.
        content.take(file.size + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let content = match content {
        Ok(content) if content.len() as u64 > file.size => {
            return Err(Unread::transient(file, "changed while it was read"));
        }
        Ok(content) => content,
        Err(error) => return Err(Unread::transient(file, error.to_string())),
    };
    if is_key(&content) {
        return Err(Unread::unfit(file, "a vault's key"));
    }
    match check_text(&content[..]) {
        Ok(()) => Ok((file, content)),
        Err(reason) => Err(Unread::unfit(file, reason)),
    }
}

async fn open_large(file: File) -> Result<Result<(File, fs::File), Unread>, Failure> {
    let opened = tokio::task::spawn_blocking(move || {
        let rewound = |mut content: fs::File| content.rewind().map(|()| content);
        let content = match fs::File::open(&file.path) {
            Ok(content) => content,
            Err(error) => return Err(Unread::transient(file, error.to_string())),
        };
        let mut start = Vec::new();
        if let Err(error) = (&content).take(1 << 10).read_to_end(&mut start) {
            return Err(Unread::transient(file, error.to_string()));
        }
        if is_key(&start) {
            return Err(Unread::unfit(file, "a vault's key"));
        }
        match rewound(content).map_err(|error| error.to_string()).and_then(|content| {
            check_text(&content)?;
            rewound(content).map_err(|error| error.to_string())
        }) {
            Ok(content) => Ok((file, content)),
            Err(reason) => Err(Unread::unfit(file, reason)),
        }
    });
    Ok(opened.await?)
}

/// Whether this is a key of some vault, which has no business in a workspace.
fn is_key(content: &[u8]) -> bool {
    content.trim_ascii_start().starts_with(KEY_PREFIX)
}

/// Reads to the end and refuses what is not UTF-8 text.
fn check_text(mut content: impl Read) -> Result<(), String> {
    let mut buffer = vec![0; 1 << 16];
    let (mut kept, mut offset) = (0, 0);
    loop {
        let read = match content.read(&mut buffer[kept..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        let bytes = &buffer[..kept + read];
        if bytes.contains(&0) {
            return Err("binary (it contains a zero byte)".to_owned());
        }
        let valid = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            // A character may go on in what is not read yet.
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            Err(error) => return Err(format!("not UTF-8 text (valid up to byte {})", offset + error.valid_up_to())),
        };
        if read == 0 {
            return Ok(());
        }
        offset += valid;
        kept = bytes.len() - valid;
        let end = valid + kept;
        buffer.copy_within(valid..end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time, so that every character is cut.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let end = buffer.len().min(1);
            self.0.read(&mut buffer[..end])
        }
    }

    #[test]
    fn text_is_recognised_across_reads() {
        assert_eq!(check_text(Slowly("Grüße, 京都 🦀".as_bytes())), Ok(()));
        assert!(check_text(Slowly(b"Gr\xfc\xdfe")).unwrap_err().contains("valid up to byte 2"));
        assert!(check_text(Slowly(b"cut \xe4\xba")).unwrap_err().contains("valid up to byte 4"));
        assert!(check_text(Slowly(b"a\0b")).unwrap_err().contains("zero byte"));
    }

    #[test]
    fn a_file_that_grew_is_not_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.md");
        fs::write(&path, "0123456789").expect("a file");
        let target = WorkspacePath::parse("docs/a.md").expect("a path");
        let file = |size| File { path: path.clone(), target: target.clone(), size };
        let unread = read_small(file(3)).err().expect("it is larger than it was");
        assert_eq!((unread.skipped.reason.as_str(), unread.unfit), ("changed while it was read", false));
        assert_eq!(read_small(file(10)).ok().expect("it is as it was").1, b"0123456789");
    }

    #[test]
    fn keys_are_known_by_their_first_bytes() {
        assert!(is_key(b"ironclaw-key-1:00") && is_key(b" \nironclaw-key-2:") && !is_key(b"# ironclaw-key-1"));
    }
}

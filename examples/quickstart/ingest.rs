//! Mirrors folders into the workspace: what changed is embedded, what is gone is deleted, what can't be read is
//! reported with its reason.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use ironclaw_core::memory::Written;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{Memory, PageRequest, Scope};
use ironclaw_memory::{HybridMemory, NewFile};
use serde_json::Value;

use crate::failure::Failure;
use crate::find::{File, Found, Skipped, find};
use crate::sources::Source;

/// Files up to this size are written many at a time; larger ones one by one in parts, to bound the memory in use.
const SMALL_BYTES: u64 = 1 << 20;

/// How many small files are read before they are written together, and how many bytes of them at the most.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: u64 = 8 << 20;

/// What an ingest did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) written: usize,
    pub(crate) unchanged: usize,
    pub(crate) deleted: usize,
    pub(crate) chunks: usize,
    pub(crate) skipped: Vec<Skipped>,
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
    let Found { files, skipped, complete } = tokio::task::spawn_blocking(move || find(&walked, &data)).await?;
    let mut kept: HashSet<WorkspacePath> = files.iter().map(|file| file.target.clone()).collect();
    let mut report = Report { skipped, ..Report::default() };

    let bar = progress(&files, &source.name);
    let mut unread = Vec::new();
    let (small, large): (Vec<File>, Vec<File>) = files.into_iter().partition(|file| file.size <= SMALL_BYTES);
    for batch in batches(small) {
        let bytes = batch.iter().map(|file| file.size.max(1)).sum();
        let (read, failed) = tokio::task::spawn_blocking(move || read_all(batch)).await?;
        unread.extend(failed);
        memory.write_many(scope, read).await?.iter().for_each(|written| report.count(written));
        bar.inc(bytes);
    }
    for file in large {
        let size = file.size;
        match open_large(file).await? {
            Ok((target, content)) => {
                report.count(&memory.write_from(scope, &target, Value::Null, content).await?);
            }
            Err(failed) => unread.push(failed),
        }
        bar.inc(size);
    }
    bar.finish_and_clear();

    for (target, skipped) in unread {
        kept.remove(&target);
        report.skipped.push(skipped);
    }
    if complete {
        report.deleted = delete_below(memory, scope, source, |path| !kept.contains(path)).await?;
    }
    report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

/// Deletes a folder's files from the workspace; how many there were.
pub(crate) async fn remove(memory: &HybridMemory, scope: &Scope, source: &Source) -> Result<usize, Failure> {
    delete_below(memory, scope, source, |_| true).await
}

async fn delete_below(
    memory: &HybridMemory,
    scope: &Scope,
    source: &Source,
    gone: impl Fn(&WorkspacePath) -> bool + Sync,
) -> Result<usize, Failure> {
    let prefix = WorkspacePath::parse(source.name.as_str())?;
    let mut page = PageRequest::first(PageRequest::MAX)?;
    let mut deleted = 0;
    loop {
        let entries = memory.list(scope, Some(&prefix), &page).await?;
        for entry in entries.items.iter().filter(|entry| gone(&entry.path)) {
            deleted += usize::from(memory.delete(scope, &entry.path).await?);
        }
        match entries.next {
            Some(cursor) => page = page.after(cursor),
            None => return Ok(deleted),
        }
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

/// What is skipped at reading, with its path in the workspace.
type Unread = (WorkspacePath, Skipped);

fn read_all(files: Vec<File>) -> (Vec<NewFile>, Vec<Unread>) {
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        // A file that grew since it was found is read as far as it was large then, and wholly by the next run.
        let content = fs::File::open(&file.path).and_then(|content| {
            let mut bytes = Vec::new();
            content.take(SMALL_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        });
        match content.map_err(|error| error.to_string()).and_then(|bytes| check_text(&bytes[..]).map(|()| bytes)) {
            Ok(content) => read.push(NewFile { path: file.target, content, metadata: Value::Null }),
            Err(reason) => unread.push((file.target, Skipped { path: file.path, reason })),
        }
    }
    (read, unread)
}

async fn open_large(file: File) -> Result<Result<(WorkspacePath, fs::File), Unread>, Failure> {
    let opened = tokio::task::spawn_blocking(move || {
        let opened = fs::File::open(&file.path).map_err(|error| error.to_string()).and_then(|mut content| {
            check_text(&content)?;
            content.rewind().map_err(|error| error.to_string())?;
            Ok(content)
        });
        match opened {
            Ok(content) => Ok((file.target, content)),
            Err(reason) => Err((file.target, Skipped { path: file.path, reason })),
        }
    });
    Ok(opened.await?)
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
}

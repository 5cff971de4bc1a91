use std::collections::HashSet;
use std::io::Cursor;

use futures::future::join;
use futures::stream::{self, StreamExt, TryStreamExt};
use ironclaw_core::change::{Change, WorkspaceOp};
use ironclaw_core::id::EmbeddingModelId;
use ironclaw_core::input::{Problem, check_size, parsed};
use ironclaw_core::memory::{MemoryError, MemoryErrorKind, Written};
use ironclaw_core::model::workspace::{Entry, Part, WorkspacePath};
use ironclaw_core::{InputError, Scope};
use serde_json::Value;

use super::Inner;
use super::blocking::blocking;
use super::draft::Draft;
use super::source::{Parts, Survey};
use super::version::Version;
use crate::chunk::Format;
use crate::error;

/// A file to write.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewFile {
    /// Where.
    pub path: WorkspacePath,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Whatever the host keeps with it: an object, or null.
    pub metadata: Value,
}

impl NewFile {
    /// A file without metadata.
    ///
    /// # Errors
    /// What [`WorkspacePath::parse`] refuses.
    pub fn new(
        path: impl TryInto<WorkspacePath, Error: Into<InputError>>,
        content: impl Into<Vec<u8>>,
    ) -> Result<Self, InputError> {
        Ok(Self::of(parsed(path)?, content))
    }

    /// [`Self::new`] for a path that was parsed already.
    pub fn of(path: WorkspacePath, content: impl Into<Vec<u8>>) -> Self {
        Self { path, content: content.into(), metadata: Value::Null }
    }

    /// With this [`metadata`](field@Self::metadata).
    #[must_use]
    pub fn metadata(mut self, metadata: Value) -> Self {
        self.metadata = metadata;
        self
    }
}

/// How many entries are read at once.
const ENTRY_READS: usize = 8;
/// How many groups of files are got ready while an earlier one is written.
const GROUPS_AHEAD: usize = 2;

/// What is known of a file before anything is embedded.
enum Plan {
    Unchanged(Entry),
    Write { version: Version, survey: Survey, drafts: Vec<Draft> },
}

/// A file that is ready to be written, or need not be.
enum Ready {
    Unchanged(Entry),
    Write { version: Version, survey: Survey, parts: Vec<Part> },
}

impl Inner {
    pub(super) async fn write_one(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        content: &[u8],
        metadata: Value,
    ) -> Result<Written, MemoryError> {
        self.check_file(content.len() as u64, &metadata)?;
        let content = copied(content).await;
        if content.len() > self.options.batch_bytes {
            return self.write_stream(scope, path, metadata, Box::new(Cursor::new(content))).await;
        }
        let ready = self.prepare(scope, vec![NewFile { path: path.clone(), content, metadata }]).await?;
        let mut written = self.write_group(scope, ready, &mut false).await?;
        written.pop().ok_or_else(|| MemoryError::new(MemoryErrorKind::Store, "write", "nothing was written"))
    }

    pub(super) async fn write_files(&self, scope: &Scope, files: Vec<NewFile>) -> Result<Vec<Written>, MemoryError> {
        let mut paths = HashSet::with_capacity(files.len());
        for file in &files {
            self.check_file(file.content.len() as u64, &file.metadata)?;
            if !paths.insert(&file.path) {
                let problem = Problem::Malformed { expected: "one file for each path" };
                return Err(error::invalid("write")(InputError::new("files", problem)));
            }
        }
        let mut written = Vec::with_capacity(files.len());
        let mut registered = false;
        let mut groups = stream::iter(self.grouped(files).into_iter().map(|group| self.prepare_group(scope, group)))
            .buffered(GROUPS_AHEAD);
        let mut next = groups.next().await;
        while let Some(group) = next {
            let (done, following) = match group? {
                Group::Small(files) => join(self.write_group(scope, files, &mut registered), groups.next()).await,
                Group::Large(file) => {
                    let NewFile { path, content, metadata, .. } = file;
                    let source = Box::new(Cursor::new(content));
                    let one = self.write_stream(scope, &path, metadata, source).await?;
                    (Ok(vec![one]), groups.next().await)
                }
            };
            written.extend(done?);
            next = following;
        }
        Ok(written)
    }

    /// Refuses what the store would, before anything is embedded.
    pub(super) fn check_file(&self, size: u64, metadata: &Value) -> Result<(), MemoryError> {
        let limits = &self.options.limits;
        if size > limits.entry_bytes {
            let problem = Problem::TooLarge { limit: limits.entry_bytes, actual: size, unit: "bytes" };
            return Err(error::invalid("write")(InputError::new("content", problem)));
        }
        if !metadata.is_object() && !metadata.is_null() {
            let problem = Problem::Malformed { expected: "an object or null" };
            return Err(error::invalid("write")(InputError::new("metadata", problem)));
        }
        limits.check_json("metadata", metadata).map_err(error::invalid("write"))?;
        check_size("dimensions", self.embedder.model().dimensions as usize, limits.dimensions, "dimensions")
            .map_err(error::invalid("write"))
    }

    /// Whether the file that is there is the one to be written.
    pub(super) fn is_unchanged(&self, entry: &Entry, survey: &Survey, metadata: &Value) -> bool {
        entry.content_hash == survey.hash
            && entry.size == survey.size
            && entry.metadata == *metadata
            && entry.embedding_model == self.model_for(survey)
    }

    /// The model of the chunks' vectors; none if there are no chunks.
    pub(super) fn model_for(&self, survey: &Survey) -> Option<EmbeddingModelId> {
        survey.searchable.then(|| self.embedder.model().id.clone())
    }

    /// Adds the model's registration, if this owner's store does not know the model yet.
    pub(super) async fn with_model(&self, scope: &Scope, change: Change) -> Result<Change, MemoryError> {
        let known = self.store.workspace().embedding_models(scope).await.map_err(error::store("write"))?;
        let model = self.embedder.model();
        Ok(if known.contains(model) {
            change
        } else {
            change.with(WorkspaceOp::RegisterModel { model: model.clone() })
        })
    }

    /// Puts consecutive small files together, as far as one change may hold them.
    fn grouped(&self, files: Vec<NewFile>) -> Vec<Group<Vec<NewFile>>> {
        let mut groups = Vec::new();
        let (mut small, mut bytes) = (Vec::new(), 0);
        for file in files {
            let large = file.content.len() > self.options.batch_bytes;
            let full =
                bytes + file.content.len() > self.options.batch_bytes || small.len() >= self.options.files_per_change();
            if !small.is_empty() && (large || full) {
                groups.push(Group::Small(std::mem::take(&mut small)));
                bytes = 0;
            }
            if large {
                groups.push(Group::Large(file));
            } else {
                bytes += file.content.len();
                small.push(file);
            }
        }
        if !small.is_empty() {
            groups.push(Group::Small(small));
        }
        groups
    }

    async fn prepare_group(&self, scope: &Scope, group: Group<Vec<NewFile>>) -> Result<Group<Vec<Ready>>, MemoryError> {
        match group {
            Group::Small(files) => Ok(Group::Small(self.prepare(scope, files).await?)),
            Group::Large(file) => Ok(Group::Large(file)),
        }
    }

    /// Everything but the writing: compares with what is there, cuts and embeds.
    async fn prepare(&self, scope: &Scope, files: Vec<NewFile>) -> Result<Vec<Ready>, MemoryError> {
        let workspace = self.store.workspace();
        let reads: Vec<_> = files.iter().map(|file| workspace.entry(scope, &file.path)).collect();
        let entries: Vec<Option<Entry>> =
            stream::iter(reads).buffered(ENTRY_READS).try_collect().await.map_err(error::store("write"))?;
        let this = self.clone();
        let plans = blocking("write", move || {
            files.into_iter().zip(entries).map(|(file, entry)| this.plan(file, entry)).collect::<Result<Vec<_>, _>>()
        });
        let plans = plans.await?.map_err(error::source("write"))?;

        let texts = plans.iter().flat_map(Plan::drafts).flat_map(Draft::texts).collect();
        let mut vectors = self.embed_documents(scope, texts).await?.into_iter();
        let clock = self.clock.as_ref();
        let ready = |plan| match plan {
            Plan::Unchanged(entry) => Ready::Unchanged(entry),
            Plan::Write { version, survey, drafts } => {
                let parts = drafts.into_iter().map(|draft| draft.into_part(&mut vectors, clock)).collect();
                Ready::Write { version, survey, parts }
            }
        };
        Ok(plans.into_iter().map(ready).collect())
    }

    fn plan(&self, file: NewFile, entry: Option<Entry>) -> std::io::Result<Plan> {
        let NewFile { path, content, metadata, .. } = file;
        let survey = Survey::of(content.as_slice(), u64::MAX)?;
        let entry = match entry {
            Some(entry) if self.is_unchanged(&entry, &survey, &metadata) => {
                return Ok(Plan::Unchanged(entry));
            }
            entry => entry,
        };
        let chunks = survey.searchable.then(|| (self.chunker, Format::of(&path)));
        let drafts =
            Parts::new(content.as_slice(), self.options.limits.part_bytes, chunks).next_batch(usize::MAX)?.parts;
        let version = Version::new(self.clock.as_ref(), path, metadata, self.model_for(&survey), entry.as_ref());
        Ok(Plan::Write { version, survey, drafts })
    }

    /// Writes what changed in one commit. `registered` remembers that the model is known.
    async fn write_group(
        &self,
        scope: &Scope,
        files: Vec<Ready>,
        registered: &mut bool,
    ) -> Result<Vec<Written>, MemoryError> {
        let mut change = Change::new();
        let embedded = files.iter().any(|file| matches!(file, Ready::Write { version, .. } if version.has_model()));
        if embedded && !*registered {
            change = self.with_model(scope, change).await?;
        }
        let mut done = Vec::with_capacity(files.len());
        for file in files {
            match file {
                Ready::Unchanged(entry) => done.push(Err(entry)),
                Ready::Write { mut version, survey, parts } => {
                    change = change.with(version.begin());
                    if let Some(put) = version.put(parts) {
                        change = change.with(put);
                    }
                    change = change.with(version.publish(survey.size, survey.hash));
                    done.push(Ok((version, survey)));
                }
            }
        }
        if change.operations().is_empty() {
            return Ok(done.into_iter().filter_map(Result::err).map(unchanged).collect());
        }
        let at = self.store.apply(scope, change).await.map_err(error::store("write"))?.at;
        *registered |= embedded;
        let written = |(version, survey): (Version, Survey)| version.written(survey.size, survey.hash, at);
        Ok(done.into_iter().map(|file| file.map_or_else(unchanged, written)).collect())
    }
}

/// Small files together, or a large one.
enum Group<T> {
    Small(T),
    Large(NewFile),
}

impl Plan {
    fn drafts(&self) -> &[Draft] {
        match self {
            Self::Unchanged(_) => &[],
            Self::Write { drafts, .. } => drafts,
        }
    }
}

/// What a write did that had nothing to do.
pub(super) fn unchanged(entry: Entry) -> Written {
    Written::new(entry, false, 0)
}

/// A copy, made in steps short enough not to hold up the executor.
async fn copied(content: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(content.len());
    for piece in content.chunks(1 << 20) {
        copy.extend_from_slice(piece);
        if copy.len() < content.len() {
            tokio::task::yield_now().await;
        }
    }
    copy
}

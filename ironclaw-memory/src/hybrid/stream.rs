use std::io;
use std::pin::pin;

use futures::future::join;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use ironclaw_core::Scope;
use ironclaw_core::change::Change;
use ironclaw_core::memory::{MemoryError, Written};
use ironclaw_core::model::workspace::{Part, WorkspacePath};
use serde_json::Value;

use super::Inner;
use super::blocking::blocking;
use super::draft::{Batch, Draft};
use super::source::{Parts, Source, Survey};
use super::version::Version;
use super::write::unchanged;
use crate::chunk::Format;
use crate::error;

/// How many batches are embedded while an earlier one is written.
const BATCHES_AHEAD: usize = 2;

impl Inner {
    /// Writes a file of any size, batch by batch: one is read and cut while others are embedded and written.
    pub(super) async fn write_stream(
        &self,
        scope: &Scope,
        path: &WorkspacePath,
        metadata: Value,
        mut source: Box<dyn Source>,
    ) -> Result<Written, MemoryError> {
        self.check_file(0, &metadata)?;
        let limit = self.options.limits.entry_bytes;
        let survey = move || {
            source.rewind()?;
            let survey = Survey::of(&mut source, limit)?;
            source.rewind()?;
            Ok((survey, source))
        };
        let (survey, source) = blocking("write", survey).await?.map_err(error::source("write"))?;
        let old = self.store.workspace().entry(scope, path).await.map_err(error::store("write"))?;
        if let Some(entry) = old.as_ref().filter(|entry| self.is_unchanged(entry, &survey, &metadata)) {
            return Ok(unchanged(entry.clone()));
        }
        let model = self.model_for(&survey);
        let version = Version::new(self.clock.as_ref(), path.clone(), metadata, model, old.as_ref());
        let chunks = survey.searchable.then(|| (self.chunker, Format::of(path)));
        let parts = Parts::new(source, self.options.limits.part_bytes, chunks);
        self.write_batches(scope, version, self.embedded(scope, parts)).await
    }

    async fn write_batches(
        &self,
        scope: &Scope,
        mut version: Version,
        batches: impl Stream<Item = Result<Batch<Part>, MemoryError>> + Send,
    ) -> Result<Written, MemoryError> {
        let mut batches = pin!(batches);
        let mut next = batches.next().await;
        let mut change = Change::new();
        if version.has_model() {
            change = self.with_model(scope, change).await?;
        }
        change = change.with(version.begin());
        let mut begun = false;
        loop {
            let batch = match next {
                Some(Ok(batch)) => batch,
                // A batch without an end is always followed by another one.
                None => return Err(error::source("write")(io::ErrorKind::UnexpectedEof.into())),
                Some(Err(error)) => {
                    if begun {
                        self.abandon(scope, &version).await;
                    }
                    return Err(error);
                }
            };
            if let Some(put) = version.put(batch.parts) {
                change = change.with(put);
            }
            if let Some((size, hash)) = batch.end {
                change = change.with(version.publish(size, hash));
                let applied = self.store.apply(scope, change).await.map_err(error::store("write"));
                if applied.is_err() && begun {
                    self.abandon(scope, &version).await;
                }
                return Ok(version.written(size, hash, applied?.at));
            }
            let (applied, following) = join(self.store.apply(scope, std::mem::take(&mut change)), batches.next()).await;
            if let Err(failed) = applied {
                if begun {
                    self.abandon(scope, &version).await;
                }
                return Err(error::store("write")(failed));
            }
            begun = true;
            next = following;
        }
    }

    /// The batches of `parts` with their vectors, in order, a few of them under way at once.
    fn embedded(
        &self,
        scope: &Scope,
        parts: Parts<Box<dyn Source>>,
    ) -> impl Stream<Item = Result<Batch<Part>, MemoryError>> + Send {
        let batch_bytes = self.options.batch_bytes;
        let drafts = stream::try_unfold(Some(parts), move |parts| async move {
            let Some(mut parts) = parts else { return Ok(None) };
            let read = move || parts.next_batch(batch_bytes).map(|batch| (batch, parts));
            let (batch, parts) = blocking("write", read).await?.map_err(error::source("write"))?;
            let rest = batch.end.is_none().then_some(parts);
            Ok(Some((batch, rest)))
        });
        let (this, scope) = (self.clone(), scope.clone());
        let embed = move |batch: Batch<Draft>| {
            let (this, scope) = (this.clone(), scope.clone());
            async move {
                let texts = batch.parts.iter().flat_map(Draft::texts).collect();
                let mut vectors = this.embed_documents(&scope, texts).await?.into_iter();
                let part = |draft: Draft| draft.into_part(&mut vectors, this.clock.as_ref());
                Ok(Batch { parts: batch.parts.into_iter().map(part).collect(), end: batch.end })
            }
        };
        drafts.map_ok(embed).try_buffered(BATCHES_AHEAD)
    }

    /// Gives up a version after a failure. If that fails too, the store sweeps it later.
    async fn abandon(&self, scope: &Scope, version: &Version) {
        if let Err(error) = self.store.apply(scope, Change::new().with(version.abandon())).await {
            tracing::warn!(%error, "an unfinished version of a file could not be given up");
        }
    }
}

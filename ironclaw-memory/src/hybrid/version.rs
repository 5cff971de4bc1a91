use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{EmbeddingModelId, VersionId};
use ironclaw_core::memory::Written;
use ironclaw_core::model::workspace::{ContentHash, Entry, NewVersion, WorkspacePath};
use ironclaw_core::{Clock, Timestamp};
use serde_json::Value;

/// A version of a file on its way into the store.
#[derive(Debug)]
pub(super) struct Version {
    id: VersionId,
    path: WorkspacePath,
    metadata: Value,
    model: Option<EmbeddingModelId>,
    /// When the file it replaces was first written, if there is one.
    created_at: Option<Timestamp>,
    chunks: u64,
}

impl Version {
    pub(super) fn new(
        clock: &dyn Clock,
        path: WorkspacePath,
        metadata: Value,
        model: Option<EmbeddingModelId>,
        old: Option<&Entry>,
    ) -> Self {
        let created_at = old.map(|entry| entry.created_at);
        Self { id: VersionId::make(clock), path, metadata, model, created_at, chunks: 0 }
    }

    /// Whether its chunks have vectors.
    pub(super) fn has_model(&self) -> bool {
        self.model.is_some()
    }

    pub(super) fn begin(&self) -> WorkspaceOp {
        let (path, metadata) = (self.path.clone(), self.metadata.clone());
        let version = NewVersion::new(self.id, path).metadata(metadata).embedding_model(self.model.clone());
        WorkspaceOp::BeginVersion { version }
    }

    /// Counts the chunks of these parts and puts them; nothing for no parts.
    pub(super) fn put(&mut self, parts: Vec<ironclaw_core::model::workspace::Part>) -> Option<WorkspaceOp> {
        self.chunks += parts.iter().map(|part| part.chunks.len() as u64).sum::<u64>();
        (!parts.is_empty()).then_some(WorkspaceOp::PutParts { version: self.id, parts })
    }

    pub(super) fn publish(&self, size: u64, content_hash: ContentHash) -> WorkspaceOp {
        WorkspaceOp::Publish { version: self.id, size, content_hash }
    }

    pub(super) fn abandon(&self) -> WorkspaceOp {
        WorkspaceOp::Abandon { version: self.id }
    }

    /// What the write did, once it was published at that time.
    pub(super) fn written(self, size: u64, content_hash: ContentHash, at: Timestamp) -> Written {
        let embedded = usize::try_from(self.chunks).unwrap_or(usize::MAX);
        let entry = Entry::new(self.path, self.id, size, content_hash, self.created_at.unwrap_or(at))
            .metadata(self.metadata)
            .embedding_model(self.model)
            .chunks(self.chunks)
            .updated_at(at);
        Written::new(entry, true, embedded)
    }
}

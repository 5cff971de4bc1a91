//! Small pieces that cases are made of.

use std::time::Duration;

use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, Receipt, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::Failure;
use crate::embedder::EmbeddingModel;
use crate::id::{
    AgentName, ChunkId, ConversationId, DataKeyId, EmbeddingModelId, JobId, LeaseId, MessageId, SecretName, SettingKey,
    VersionId,
};
use crate::limits::Limits;
use crate::model::access::Lease;
use crate::model::conversations::{NewMessage, Role};
use crate::model::jobs::NewJob;
use crate::model::secrets::{Algorithm, PutSecret, Sealed, WrappedKey};
use crate::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use crate::scope::Scope;
use crate::search::TextQuery;
use crate::store::{Store, StoreError};

/// Applies one operation.
pub(crate) async fn apply(
    store: &dyn Store,
    scope: &Scope,
    operation: impl Into<Operation>,
) -> Result<Receipt, StoreError> {
    store.apply(scope, Change::new().with(operation)).await
}

/// A new conversation.
pub(crate) async fn conversation(store: &dyn Store, scope: &Scope) -> Result<ConversationId, StoreError> {
    let id = ConversationId::make(&SystemClock);
    apply(store, scope, ConversationOp::Create { id, title: "a title".into() }).await?;
    Ok(id)
}

/// What appends a user's message of this text.
pub(crate) fn saying(conversation: ConversationId, text: impl Into<String>) -> ConversationOp {
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, text);
    ConversationOp::AppendMessage { conversation, message }
}

/// Appends a user's message and gives its sequence number.
pub(crate) async fn say(
    store: &dyn Store,
    scope: &Scope,
    conversation: ConversationId,
    text: &str,
) -> Result<u64, StoreError> {
    Ok(apply(store, scope, saying(conversation, text)).await?.numbers[0])
}

/// What creates a job.
pub(crate) fn job_op(id: JobId, kind: &str, conversation: Option<ConversationId>) -> JobOp {
    let (kind, input) = (kind.to_owned(), serde_json::Value::Null);
    JobOp::Create { job: NewJob { id, kind, conversation, agent: None, input } }
}

/// A new job.
pub(crate) async fn job(store: &dyn Store, scope: &Scope) -> Result<JobId, StoreError> {
    let id = JobId::make(&SystemClock);
    apply(store, scope, job_op(id, "work", None)).await?;
    Ok(id)
}

/// Registers an embedding model.
pub(crate) async fn model(
    store: &dyn Store,
    scope: &Scope,
    id: &str,
    dimensions: u32,
) -> Result<EmbeddingModelId, Failure> {
    let id = EmbeddingModelId::parse(id)?;
    let model = EmbeddingModel { id: id.clone(), dimensions, lexical: false };
    apply(store, scope, WorkspaceOp::RegisterModel { model }).await?;
    Ok(id)
}

/// A file of one part and one chunk.
pub(crate) struct File {
    pub(crate) path: WorkspacePath,
    pub(crate) text: String,
    pub(crate) chunk: ChunkId,
    pub(crate) embedding: Option<(EmbeddingModelId, Vec<f32>)>,
}

impl File {
    /// A file without an embedding.
    pub(crate) fn new(path: &str, text: &str) -> Result<Self, Failure> {
        let (path, chunk) = (WorkspacePath::parse(path)?, ChunkId::make(&SystemClock));
        Ok(Self { path, text: text.to_owned(), chunk, embedding: None })
    }

    /// The same with a vector of a model.
    pub(crate) fn embedded(mut self, model: &EmbeddingModelId, vector: impl Into<Vec<f32>>) -> Self {
        self.embedding = Some((model.clone(), vector.into()));
        self
    }

    /// What begins the version.
    pub(crate) fn begin(&self, version: VersionId) -> WorkspaceOp {
        let embedding_model = self.embedding.as_ref().map(|(model, _)| model.clone());
        let (path, metadata) = (self.path.clone(), serde_json::Value::Null);
        WorkspaceOp::BeginVersion { version: NewVersion { id: version, path, metadata, embedding_model } }
    }

    /// What puts its part.
    pub(crate) fn put(&self, version: VersionId) -> WorkspaceOp {
        let bytes = self.text.clone().into_bytes();
        let embedding = self.embedding.as_ref().map(|(_, vector)| vector.clone());
        let chunk = NewChunk { id: self.chunk, start: 0, end: bytes.len() as u64, embedding };
        WorkspaceOp::PutParts { version, parts: vec![Part { offset: 0, bytes, chunks: vec![chunk] }] }
    }

    /// What publishes it.
    pub(crate) fn publish(&self, version: VersionId) -> WorkspaceOp {
        let content = self.text.as_bytes();
        WorkspaceOp::Publish { version, size: content.len() as u64, content_hash: ContentHash::of(content) }
    }

    /// The whole write in one change.
    pub(crate) fn change(&self) -> Change {
        let version = VersionId::make(&SystemClock);
        Change::new().with(self.begin(version)).with(self.put(version)).with(self.publish(version))
    }

    /// Writes it.
    pub(crate) async fn write(&self, store: &dyn Store, scope: &Scope) -> Result<(), StoreError> {
        store.apply(scope, self.change()).await.map(drop)
    }
}

/// A query for these words.
pub(crate) fn words(text: &str) -> TextQuery {
    TextQuery::new(text, &Limits::default())
}

/// A data key of the owner.
pub(crate) async fn data_key(store: &dyn Store, scope: &Scope) -> Result<DataKeyId, StoreError> {
    let id = DataKeyId::make(&SystemClock);
    apply(store, scope, data_key_op(id, 1)).await?;
    Ok(id)
}

/// What keeps a data key.
pub(crate) fn data_key_op(id: DataKeyId, number: u32) -> SecretOp {
    let wrapped = WrappedKey {
        format: 1,
        algorithm: Algorithm::Aes256Gcm,
        parameters: Vec::new(),
        nonce: vec![0; 12],
        ciphertext: vec![1; 48],
    };
    SecretOp::PutDataKey { id, number, root_key: 1, wrapped }
}

/// What puts a version of a secret.
pub(crate) fn secret_op(name: &SecretName, number: u32, data_key: DataKeyId) -> SecretOp {
    let (format, algorithm) = (1, Algorithm::Aes256Gcm);
    let sealed = Sealed { format, algorithm, data_key, salt: vec![1], nonce: vec![2; 12], ciphertext: vec![3; 20] };
    let (name, provider, bindings, expires_at) = (name.clone(), None, Vec::new(), None);
    SecretOp::Put { secret: Box::new(PutSecret { name, provider, bindings, expires_at, number, sealed }) }
}

/// A lease of a new secret for a new agent, with so many uses, until an hour after `now`.
pub(crate) async fn lease(store: &dyn Store, scope: &Scope, uses: u32, now: Timestamp) -> Result<Lease, Failure> {
    let (secret, agent) = (SecretName::parse("leased")?, AgentName::parse("leaseholder")?);
    let key = data_key(store, scope).await?;
    apply(store, scope, secret_op(&secret, 1, key)).await?;
    apply(store, scope, AccessOp::PutAgent { name: agent.clone(), active: true }).await?;
    let lease = Lease {
        id: LeaseId::make(&SystemClock),
        secret,
        agent,
        uses_left: uses,
        created_at: now,
        expires_at: now.after(Duration::from_secs(3_600)),
        revoked_at: None,
    };
    apply(store, scope, AccessOp::GrantLease { lease: lease.clone() }).await?;
    Ok(lease)
}

/// What puts a setting.
pub(crate) fn setting(key: &str, value: impl Into<serde_json::Value>) -> Result<SettingOp, Failure> {
    Ok(SettingOp::Put { key: SettingKey::parse(key)?, value: value.into() })
}

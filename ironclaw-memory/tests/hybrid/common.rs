//! Users, paths, and embedders that count or fail.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ironclaw_core::Scope;
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind, Embedder, EmbeddingModel, Purpose};
use ironclaw_core::id::EmbeddingModelId;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;

pub(crate) fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

pub(crate) fn bob() -> Scope {
    Scope::user("bob").unwrap()
}

pub(crate) fn path(text: &str) -> WorkspacePath {
    WorkspacePath::parse(text).unwrap()
}

pub(crate) async fn hybrid() -> HybridMemory {
    HybridMemory::new(LibsqlStore::in_memory().await.unwrap(), HashEmbedder::default())
}

/// A real embedder that counts the texts it was given.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    inner: HashEmbedder,
    texts: AtomicUsize,
}

impl Counting {
    pub(crate) fn texts(&self) -> usize {
        self.texts.load(Ordering::SeqCst)
    }

    /// Waits until so many texts were given.
    pub(crate) async fn reached(&self, texts: usize) {
        while self.texts() < texts {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Embedder for Counting {
    fn model(&self) -> &EmbeddingModel {
        self.inner.model()
    }

    async fn embed(&self, scope: &Scope, purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        self.inner.embed(scope, purpose, texts).await
    }
}

/// An embedder that does not keep its promises.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Broken {
    Fails,
    TooFew,
    WrongDimensions,
    NotFinite,
}

static BROKEN_MODEL: LazyLock<EmbeddingModel> =
    LazyLock::new(|| EmbeddingModel::new(EmbeddingModelId::parse("broken").unwrap(), 4));

#[async_trait]
impl Embedder for Broken {
    fn model(&self) -> &EmbeddingModel {
        &BROKEN_MODEL
    }

    async fn embed(&self, _scope: &Scope, _purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let vectors = |vector: &[f32], n: usize| Ok(vec![vector.to_vec(); n]);
        match self {
            Self::Fails => Err(EmbedError::new(EmbedErrorKind::Unreachable, "embed", "the service is down")),
            Self::TooFew => vectors(&[1.0; 4], texts.len() - 1),
            Self::WrongDimensions => vectors(&[1.0; 3], texts.len()),
            Self::NotFinite => vectors(&[f32::NAN; 4], texts.len()),
        }
    }
}

//! The suite of [`Embedder`].

use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Case, Subject, cases};
use super::check::Failure;
use crate::embedder::Embedder;

mod vectors;

/// What an implementor of [`Embedder`] writes to run its suite.
#[async_trait]
pub trait EmbedderHarness: Send + Sync {
    /// The embedder.
    async fn open(&self) -> Result<Arc<dyn Embedder>, Failure>;
}

pub(crate) type EmbedderSubject = Subject<dyn EmbedderHarness>;

impl EmbedderSubject {
    /// An embedder, behind one pointer more: what points to an embedder is one.
    pub(crate) async fn fresh(&self) -> Result<Arc<dyn Embedder>, Failure> {
        Ok(Arc::new(self.harness.open().await?))
    }
}

pub(crate) fn cases() -> Vec<Case<dyn EmbedderHarness>> {
    cases![dyn EmbedderHarness;
        vectors {
            shape_is_promised, same_text_same_vector, batches_change_nothing, order_is_kept, nothing_gives_nothing,
            empty_text, huge_text, any_unicode, alike_is_nearer, dropped_at_every_await, many_at_once,
        }
    ]
}

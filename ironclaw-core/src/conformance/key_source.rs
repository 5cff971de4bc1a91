//! The suite of [`KeySource`].

use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Case, Subject, cases};
use super::check::Failure;
use crate::vault::KeySource;

mod keys;

/// What an implementor of [`KeySource`] writes to run its suite.
#[async_trait]
pub trait KeySourceHarness: Send + Sync {
    /// A source with a key of its own: another one each time. A source that makes its own key may have none yet.
    async fn fresh(&self) -> Result<Arc<dyn KeySource>, Failure>;
}

pub(crate) type KeySourceSubject = Subject<dyn KeySourceHarness>;

impl KeySourceSubject {
    /// A source with a key of its own, behind one pointer more: what points to a source is one.
    pub(crate) async fn fresh(&self) -> Result<Arc<dyn KeySource>, Failure> {
        Ok(Arc::new(self.harness.fresh().await?))
    }
}

pub(crate) fn cases() -> Vec<Case<dyn KeySourceHarness>> {
    cases![dyn KeySourceHarness;
        keys {
            wrap_then_unwrap, creating_again_keeps_the_key, another_key_is_wrong, other_associated_data_is_wrong,
            changed_bytes_do_not_open, unknown_format_is_refused, the_root_key_is_not_in_the_wrapping,
            wrapping_twice_differs,
        }
    ]
}

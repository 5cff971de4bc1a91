//! The suite of [`Memory`].

use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Case, Subject, cases};
use super::check::Failure;
use crate::memory::Memory;

mod files;
mod owners;
mod searches;
mod tools;

/// What an implementor of [`Memory`] writes to run its suite.
#[async_trait]
pub trait MemoryHarness: Send + Sync {
    /// A fresh memory without files.
    async fn open(&self) -> Result<Arc<dyn Memory>, Failure>;
}

pub(crate) type MemorySubject = Subject<dyn MemoryHarness>;

impl MemorySubject {
    /// A fresh memory, behind one pointer more: what points to a memory is one.
    pub(crate) async fn fresh(&self) -> Result<Arc<dyn Memory>, Failure> {
        Ok(Arc::new(self.harness.open().await?))
    }
}

pub(crate) fn cases() -> Vec<Case<dyn MemoryHarness>> {
    cases![dyn MemoryHarness;
        files {
            absent_is_none, write_then_read, any_bytes, unchanged_is_not_written_again, changed_replaces,
            ranges_are_cut, listed_in_order, deleted_is_gone, large_file, empty_file, metadata_is_kept,
            written_at_once, dropped_at_every_await,
        }
        searches {
            finds_what_fits_best, passages_are_exact, scores_are_bounded, limit_and_prefix, same_question_same_answer,
            empty_query_is_refused, any_query, left_out_is_said, deleted_is_not_found, replaced_is_not_found, nothing_is_found_in_nothing,
        }
        owners { users_never_meet, tenants_never_meet, results_do_not_depend_on_others }
        tools { described_for_models, written_then_found, refuse_what_makes_no_sense }
    ]
}

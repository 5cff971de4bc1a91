//! Workspace files: entries, versions, chunks and their search.
//!
//! What is written to a version is invisible until it is published, and what it replaces is invisible from then on:
//! publishing and deleting change a few rows whatever the size of the file. The [sweep](sweep::sweep) removes what
//! nobody sees any more.

use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;

use super::tx::Tx;

mod cache;
mod check;
mod matrix;
mod read;
mod sweep;
mod text;
mod vectors;
mod versions;

#[cfg(test)]
mod tests;

pub(super) use cache::VectorCache;
pub(super) use check::{check_part, check_vector_of, is_kept, terms_of_part};
pub(super) use sweep::{emptied, erase, give_up_abandoned, retain, sweep};
pub(super) use versions::put_parts;

/// Applies one operation with the terms of its chunks, in order; the number is the operation's in the receipt.
pub(super) fn apply(tx: &Tx<'_>, op: &WorkspaceOp, terms: &[Terms]) -> Result<u64, StoreError> {
    match op {
        WorkspaceOp::RegisterModel { model } => versions::register_model(tx, model),
        WorkspaceOp::BeginVersion { version } => versions::begin(tx, version),
        WorkspaceOp::PutParts { version, parts } => versions::put_parts(tx, *version, parts, terms),
        WorkspaceOp::Publish { version, size, content_hash } => versions::publish(tx, *version, *size, *content_hash),
        WorkspaceOp::Abandon { version } => versions::abandon(tx, *version),
        WorkspaceOp::DeleteEntry { path } => versions::delete_entry(tx, path),
    }
}

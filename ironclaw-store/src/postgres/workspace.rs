//! Workspace files: entries, versions, chunks and their search.
//!
//! What is written to a version is invisible until it is published, and what it replaces is invisible from then on:
//! publishing and deleting change a few rows whatever the size of the file. The [sweep](sweep::sweep_user) removes
//! what nobody sees any more.

use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::search::Terms;
use ironclaw_core::store::StoreError;
use sha2::{Digest, Sha256};

use super::tx::Tx;

mod check;
mod index;
mod read;
mod stored;
mod sweep;
mod text;
mod vectors;
mod versions;

pub(super) use check::check;
pub(super) use index::{Step, index_steps};
pub(super) use stored::{model_key, unscaled};
pub(super) use sweep::{erase, retain, sweep, sweep_user};
pub(super) use versions::put_parts;

/// What the row of a file is found by: an index takes no more of a text than 2,704 bytes, and a path may be longer.
fn path_hash(path: &str) -> [u8; 32] {
    Sha256::digest(path).into()
}

/// The part of a path (a parameter) that the order of paths is indexed by, as `workspace_entries.path_start`.
macro_rules! path_start {
    ($path:literal) => {
        concat!("left(", $path, ", 600)")
    };
}

use path_start;

/// Applies one operation with the terms of its chunks, in order; the number is the operation's in the receipt.
pub(super) async fn apply(tx: &Tx, op: &WorkspaceOp, terms: &[Terms]) -> Result<u64, StoreError> {
    match op {
        WorkspaceOp::RegisterModel { model } => versions::register_model(tx, model).await,
        WorkspaceOp::BeginVersion { version } => versions::begin(tx, version).await,
        WorkspaceOp::PutParts { version, parts } => versions::put_parts(tx, *version, parts, terms).await,
        WorkspaceOp::Publish { version, size, content_hash } => {
            versions::publish(tx, *version, *size, *content_hash).await
        }
        WorkspaceOp::Abandon { version } => versions::abandon(tx, *version).await,
        WorkspaceOp::DeleteEntry { path } => {
            tx.check_not_held()?;
            versions::delete_entry(tx, tx.owner_no(), path.as_str()).await
        }
    }
}

//! The tables as entities, for what reads whole rows.

pub(super) mod audit_checkpoints;
pub(super) mod conversations;
pub(super) mod embedding_models;
pub(super) mod erasures;
mod time;

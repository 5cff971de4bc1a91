//! The tables as entities, for what reads whole rows.

pub(super) mod conversations;
pub(super) mod embedding_models;
mod time;

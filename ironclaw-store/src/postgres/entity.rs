//! The tables as entities, for what reads whole rows.

pub(super) mod audit_checkpoints;
pub(super) mod erasures;
pub(super) mod quotas;
pub(super) mod settings;

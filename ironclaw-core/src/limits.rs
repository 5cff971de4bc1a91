//! The sizes that are accepted, documented and configurable.

use std::time::Duration;

use crate::input::{InputError, JSON_DEPTH, check_json};

/// Limits on what a store accepts. The defaults suit one person's agent; a host can set its own.
///
/// Exceeding a limit is an [`InputError`] that names the field, the limit and the size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// A message's text, in bytes. Default 1 MiB.
    pub message_bytes: usize,
    /// The images and documents of a message together, in bytes. Default 8 MiB. Whoever reads whole messages may get so much
    /// with each of them; an agent reads them one by one, and 32 MiB of them for an answer.
    pub parts_bytes: usize,
    /// A title, in bytes. Default 4 KiB.
    pub title_bytes: usize,
    /// A JSON value (setting, metadata, arguments of a tool call, a request or response of a model), in bytes. Default 4 MiB.
    pub json_bytes: usize,
    /// How many levels of arrays and objects within one another a JSON value may have. Default 64, at most
    /// [`JSON_DEPTH_MAX`](Self::JSON_DEPTH_MAX). A model's request and response, which have such values inside, may
    /// have 16 more.
    pub json_depth: usize,
    /// A workspace entry, in bytes. Default 256 MiB.
    pub entry_bytes: u64,
    /// One part of a workspace entry, in bytes. Default 256 KiB.
    pub part_bytes: usize,
    /// The dimensions of an embedding. Default 4,096.
    pub dimensions: usize,
    /// A secret's plaintext, in bytes. Default 64 KiB.
    pub secret_bytes: usize,
    /// The operations of one change. Default 10,000.
    pub operations: usize,
    /// How long an applied change is known by its idempotency key; afterwards the key is free again. Default 7 days.
    pub receipts_kept: Duration,
    /// The terms of a full-text query that are searched; further ones are left out. Default 32.
    pub query_terms: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            parts_bytes: 8 << 20,
            title_bytes: 4 << 10,
            json_bytes: 4 << 20,
            json_depth: JSON_DEPTH,
            entry_bytes: 256 << 20,
            part_bytes: 256 << 10,
            dimensions: 4_096,
            secret_bytes: 64 << 10,
            operations: 10_000,
            receipts_kept: Duration::from_secs(7 * 86_400),
            query_terms: 32,
        }
    }
}

impl Limits {
    /// The largest [`json_depth`](Self::json_depth); a larger one counts as this.
    pub const JSON_DEPTH_MAX: usize = 128;

    /// How much deeper than an accepted value a record may be that has such values inside: the request of a model has
    /// messages with tool calls with arguments.
    const WRAPPING: usize = 16;

    /// Refuses a JSON value that is too long or too deep, or has U+0000 in it.
    ///
    /// # Errors
    /// As [`check_json`].
    pub fn check_json(&self, field: &'static str, value: &serde_json::Value) -> Result<(), InputError> {
        check_json(field, value, self.json_bytes, self.json_depth.min(Self::JSON_DEPTH_MAX))
    }

    /// The same for a record that has accepted values inside.
    pub(crate) fn check_record(&self, field: &'static str, value: &serde_json::Value) -> Result<(), InputError> {
        check_json(field, value, self.json_bytes, self.json_depth.min(Self::JSON_DEPTH_MAX) + Self::WRAPPING)
    }
}

//! The sizes that are accepted, documented and configurable.

/// Limits on what a store accepts. The defaults suit one person's agent; a host can set its own.
///
/// Exceeding a limit is an [`InputError`](crate::InputError) that names the field, the limit and the size.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// A message's text, in bytes. Default 1 MiB.
    pub message_bytes: usize,
    /// A title, in bytes. Default 4 KiB.
    pub title_bytes: usize,
    /// A JSON value (setting, metadata, arguments of a tool call, a request or response of a model), in bytes. Default 4 MiB.
    pub json_bytes: usize,
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
    /// The terms of a full-text query that are searched; further ones are left out. Default 32.
    pub query_terms: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            title_bytes: 4 << 10,
            json_bytes: 4 << 20,
            entry_bytes: 256 << 20,
            part_bytes: 256 << 10,
            dimensions: 4_096,
            secret_bytes: 64 << 10,
            operations: 10_000,
            query_terms: 32,
        }
    }
}

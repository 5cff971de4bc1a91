use thiserror::Error;

/// Why something was not sealed or opened. It says nothing of the value or the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum SealError {
    /// Another key, another place, or changed bytes: which one can't be told.
    #[error("did not open")]
    Failed,
    #[error("cipher of a newer version")]
    UnknownAlgorithm,
    #[error("no randomness")]
    Randomness,
}

//! How the errors of inputs, stores and embedders become a memory's.

use ironclaw_core::InputError;
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind};
use ironclaw_core::memory::{MemoryError, MemoryErrorKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};

pub(crate) fn invalid(operation: &'static str) -> impl Fn(InputError) -> MemoryError {
    move |error| MemoryError::new(MemoryErrorKind::InvalidInput, operation, "").with_source(error)
}

pub(crate) fn store(operation: &'static str) -> impl Fn(StoreError) -> MemoryError {
    move |error| {
        let kind = match error.kind() {
            StoreErrorKind::InvalidInput(_) => MemoryErrorKind::InvalidInput,
            _ => MemoryErrorKind::Store,
        };
        MemoryError::new(kind, operation, "").with_source(error)
    }
}

pub(crate) fn embedding(operation: &'static str) -> impl Fn(EmbedError) -> MemoryError {
    move |error| {
        let advice = if error.is_retryable() { "nothing was written; try again later" } else { "nothing was written" };
        MemoryError::new(MemoryErrorKind::Embedding, operation, advice).with_source(error)
    }
}

/// A failure of reading; one that holds a refused input is that.
pub(crate) fn source(operation: &'static str) -> impl Fn(std::io::Error) -> MemoryError {
    move |error| match error.downcast::<InputError>() {
        Ok(refused) => invalid(operation)(refused),
        Err(error) => {
            let context = "the content could not be read to its end; the file is as it was";
            MemoryError::new(MemoryErrorKind::InvalidInput, operation, context).with_source(error)
        }
    }
}

/// What an embedder's answer breaks.
pub(crate) fn malformed(what: impl Into<String>) -> EmbedError {
    EmbedError::new(EmbedErrorKind::MalformedAnswer, "embed", what)
}

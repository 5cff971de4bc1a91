//! What else failed, as a [`VaultError`]. None of it ever holds a value, a key or a name.

use ironclaw_core::InputError;
use ironclaw_core::input::Problem;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::vault::{KeyError, VaultError, VaultErrorKind};

use crate::error::SealError;

pub(super) fn from_store(operation: &'static str, error: StoreError) -> VaultError {
    let kind = match error.kind() {
        StoreErrorKind::InvalidInput(_) => VaultErrorKind::InvalidInput,
        StoreErrorKind::NotFound => VaultErrorKind::NotFound,
        StoreErrorKind::Conflict => VaultErrorKind::Conflict,
        StoreErrorKind::Denied => VaultErrorKind::Denied,
        _ => VaultErrorKind::Store,
    };
    VaultError::new(kind, operation, "").with_source(error)
}

pub(super) fn from_key_source(operation: &'static str, error: KeyError) -> VaultError {
    VaultError::new(VaultErrorKind::KeySource, operation, "").with_source(error)
}

pub(super) fn from_seal(operation: &'static str, error: SealError) -> VaultError {
    match error {
        SealError::Failed => VaultError::new(VaultErrorKind::Decryption, operation, ""),
        SealError::UnknownAlgorithm => unsupported(operation),
        SealError::Randomness => VaultError::new(VaultErrorKind::Randomness, operation, ""),
    }
}

pub(super) fn unsupported(operation: &'static str) -> VaultError {
    let context = "it was sealed by a newer version of this crate: use that one";
    VaultError::new(VaultErrorKind::UnsupportedFormat, operation, context)
}

pub(super) fn invalid(operation: &'static str, error: InputError) -> VaultError {
    VaultError::new(VaultErrorKind::InvalidInput, operation, "").with_source(error)
}

pub(super) fn other_tenant(operation: &'static str) -> VaultError {
    let problem = Problem::Malformed { expected: "the tenant that the vault was opened for" };
    invalid(operation, InputError::new("tenant", problem))
}

/// What is not audited fails, whatever else it would have come to.
pub(super) fn unaudited(operation: &'static str, error: StoreError) -> VaultError {
    VaultError::new(VaultErrorKind::Store, operation, "the call was refused, and that could not be audited")
        .with_source(error)
}

//! Errors on their way between threads and into the audit trail.

use std::sync::Arc;

use ironclaw_core::audit::ChainError;
use ironclaw_core::model::audit::StreamId;
use ironclaw_core::store::{StoreError, StoreErrorKind};

/// How a failure is named in the private part of its audit event.
pub(crate) fn code(kind: &StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::InvalidInput(_) => "invalid_input",
        StoreErrorKind::NotFound => "not_found",
        StoreErrorKind::AlreadyExists => "already_exists",
        StoreErrorKind::Conflict => "conflict",
        StoreErrorKind::PreconditionFailed => "precondition_failed",
        StoreErrorKind::LegalHold => "legal_hold",
        StoreErrorKind::Denied => "denied",
        StoreErrorKind::QuotaExceeded => "quota_exceeded",
        StoreErrorKind::Suspended => "suspended",
        StoreErrorKind::IdempotencyKeyReused => "idempotency_key_reused",
        StoreErrorKind::Corrupt => "corrupt",
        _ => "internal",
    }
}

/// Whether a change failed for a reason of its own, not of the database's: that is audited.
pub(crate) fn is_of_the_change(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::InvalidInput(_)
            | StoreErrorKind::NotFound
            | StoreErrorKind::AlreadyExists
            | StoreErrorKind::Conflict
            | StoreErrorKind::PreconditionFailed
            | StoreErrorKind::LegalHold
            | StoreErrorKind::Denied
            | StoreErrorKind::QuotaExceeded
            | StoreErrorKind::Suspended
            | StoreErrorKind::IdempotencyKeyReused
    )
}

/// The same error once more: for each of several callers whose changes shared a transaction.
#[cfg(feature = "libsql")]
pub(crate) fn repeat(error: &StoreError) -> StoreError {
    repeat_for(error.operation(), error)
}

/// The same error for a caller who asked for something else.
#[cfg(feature = "libsql")]
pub(crate) fn repeat_for(operation: &'static str, error: &StoreError) -> StoreError {
    let repeated = StoreError::new(error.kind().clone(), operation, error.context());
    match error.cause() {
        Some(cause) => repeated.with_source(cause.to_string()),
        None => repeated,
    }
}

/// The error of a verification that found chains changed, all of whose streams it names. Its cause is what is wrong with
/// the first.
pub(crate) fn broken_chains(operation: &'static str, streams: &[StreamId], first: Arc<StoreError>) -> StoreError {
    let names: Vec<String> = streams.iter().map(|stream| format!("{:032x}", u128::from_be_bytes(stream.0))).collect();
    let context = format!("the audit trail was changed: streams {}", names.join(", "));
    let broken = StoreError::new(StoreErrorKind::Corrupt, operation, context);
    match first.cause().and_then(|cause| cause.downcast_ref::<ChainError>()) {
        Some(problem) => broken.with_source(*problem),
        None => broken.with_source(first),
    }
}

pub(crate) fn closed(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Closed, operation, "open the store again")
}

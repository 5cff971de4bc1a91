//! Randomness.

use ironclaw_core::store::{StoreError, StoreErrorKind};

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>(operation: &'static str) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        StoreError::new(StoreErrorKind::Internal, operation, "the operating system gave no randomness").with_source(e)
    })?;
    Ok(bytes)
}

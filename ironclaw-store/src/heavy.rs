//! Work that would keep an executor's thread busy.

use ironclaw_core::store::{StoreError, StoreErrorKind};

/// So many bytes of texts or postings are gone through in a few milliseconds.
const LIGHT: usize = 64 << 10;

/// Does what takes no database: with more than a little to go through, on a thread for blocking work.
pub(crate) async fn apart<T: Send + 'static>(
    operation: &'static str,
    bytes: usize,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if bytes > LIGHT => runtime.spawn_blocking(work).await.map_err(|error| {
            StoreError::new(StoreErrorKind::Internal, operation, "the work broke off, or the runtime is shutting down")
                .with_source(error)
        })?,
        _ => work(),
    }
}

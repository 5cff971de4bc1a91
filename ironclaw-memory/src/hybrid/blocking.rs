use ironclaw_core::memory::{MemoryError, MemoryErrorKind};

/// Runs `work` on a thread where blocking is allowed. A dropped future gives up the result; the work runs to its end.
pub(super) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MemoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                let context = "the runtime is shutting down; nothing was written";
                Err(MemoryError::new(MemoryErrorKind::Store, operation, context).with_source(error))
            }
        },
    }
}

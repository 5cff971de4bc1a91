//! Whether the runtime that the store was opened on is there still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Known by a task that waits for nothing: a runtime that ends drops it before its timers stop.
#[derive(Debug)]
pub(super) struct Alive {
    has_ended: Arc<AtomicBool>,
    waiting: AbortHandle,
}

impl Alive {
    pub(super) fn watch(runtime: &Handle) -> Self {
        let has_ended = Arc::new(AtomicBool::new(false));
        let ending = Ending(Arc::clone(&has_ended));
        let waiting = runtime.spawn(async move {
            let _ending = ending;
            std::future::pending::<()>().await;
        });
        Self { has_ended, waiting: waiting.abort_handle() }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.has_ended.load(Ordering::Acquire)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

struct Ending(Arc<AtomicBool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

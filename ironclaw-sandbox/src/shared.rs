//! What the tools of one sandbox share: its gate, its clock and its threads.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::gate::Gate;
use crate::ticker::Ticker;

/// What the tools of one sandbox share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Arc<Gate>,
    pub(crate) ticker: Ticker,
    pub(crate) threads: GuestThreads,
}

/// The threads that guests run on, apart from the host's executor.
#[derive(Debug)]
pub(crate) struct GuestThreads {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl GuestThreads {
    pub(crate) fn start() -> std::io::Result<Self> {
        // No driver for input and output: guests have none. After every turn of a guest, which may have taken a whole
        // tick, a thread looks for calls that arrived and timers that passed.
        let runtime = Builder::new_multi_thread()
            .thread_name("ironclaw-guest")
            .global_queue_interval(1)
            .event_interval(1)
            .enable_time()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(future)
    }

    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn_blocking(work)
    }

    /// Ends the threads without waiting for them, which an asynchronous caller must not.
    pub(crate) fn end(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        self.end();
    }
}

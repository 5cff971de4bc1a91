//! The sandbox: its tools, its threads and its end.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ironclaw_core::Sandbox;
use ironclaw_core::sandbox::SandboxError;
use ironclaw_core::tool::Tool;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::builder::SandboxBuilder;
use crate::gate::Gate;
use crate::ticker::Ticker;
use crate::tool::WasmTool;

/// Runs WebAssembly components as tools that get nothing but what they were granted.
///
/// One engine compiles and pools for all tools; a process needs one sandbox. Guests run on the sandbox's own threads,
/// one for each processor, and take turns every few milliseconds, so that neither the host's executor nor another call
/// waits for a tool that calculates for long. Cloning shares the sandbox. Dropping the last clone and the last of its
/// tools frees everything; [`close`](Sandbox::close) also waits for what runs.
#[derive(Debug, Clone)]
pub struct WasmSandbox {
    tools: Vec<Arc<WasmTool>>,
    shared: Arc<Shared>,
}

impl WasmSandbox {
    /// A sandbox without tools, under the default limits.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    pub(crate) fn new(tools: Vec<Arc<WasmTool>>, shared: Arc<Shared>) -> Self {
        Self { tools, shared }
    }
}

#[async_trait]
impl Sandbox for WasmSandbox {
    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        self.tools.iter().map(|tool| Arc::clone(tool) as Arc<dyn Tool>).collect()
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.shared.gate.close().await;
        self.shared.threads.end();
        Ok(())
    }
}

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

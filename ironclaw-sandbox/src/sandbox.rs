//! The sandbox: its tools and its end.

use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::Sandbox;
use ironclaw_core::sandbox::SandboxError;
use ironclaw_core::tool::Tool;

use crate::shared::Shared;
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

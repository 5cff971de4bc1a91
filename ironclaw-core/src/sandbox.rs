//! Where untrusted tools run.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::error::error_type;
use crate::forward::forward;
use crate::tool::{Tool, ToolError};

/// A place where tools run with nothing but what they were granted.
///
/// An agent takes the tools of any sandbox. `ironclaw-sandbox` has one for WebAssembly; this one runs nothing untrusted:
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use ironclaw_core::prelude::*;
/// use ironclaw_core::sandbox::SandboxError;
/// use ironclaw_store::LibsqlStore;
///
/// #[derive(Debug)]
/// struct Trusted(Vec<Arc<dyn Tool>>);
///
/// #[async_trait]
/// impl Sandbox for Trusted {
///     fn tools(&self) -> Vec<Arc<dyn Tool>> {
///         self.0.clone()
///     }
///
///     async fn close(&self) -> Result<(), SandboxError> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let schema = serde_json::json!({"type": "object"});
/// let ping = FnTool::with_schema("ping", "Answers.", schema, |_: serde_json::Value, _| async { Ok("pong") })?;
/// let sandbox = Trusted(vec![Arc::new(ping)]);
/// let store = LibsqlStore::in_memory().await?;
/// let agent = Agent::builder().store(store).tools(sandbox).llm(ExtractiveLlm::new()).build()?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Sandbox: Send + Sync + std::fmt::Debug {
    /// The tools that were loaded, in the order of loading. Calling one runs it in the sandbox.
    fn tools(&self) -> Vec<Arc<dyn Tool>>;

    /// Stops taking calls, waits for those that run (each ends by its own time limit) and frees what the sandbox
    /// holds. Further calls fail with [`ToolErrorKind::Closed`](crate::tool::ToolErrorKind::Closed). Closing twice
    /// is no error; dropping the future leaves the sandbox closed to new calls.
    ///
    /// # Errors
    /// None in a working sandbox; a broken one says what it could not free.
    async fn close(&self) -> Result<(), SandboxError>;
}

forward! {
    Sandbox:
    fn tools(&self) -> Vec<Arc<dyn Tool>>;
    async fn close(&self) -> Result<(), SandboxError>;
}

/// Which way a sandbox failed, outside a call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SandboxErrorKind {
    /// The component's file can't be read.
    #[error("unreadable component")]
    Unreadable,
    /// The component is larger than the limit.
    #[error("component too large")]
    TooLarge,
    /// The bytes are no valid WebAssembly component.
    #[error("invalid component")]
    InvalidComponent,
    /// The component does not export a tool interface that is known here, or imports what no tool is given.
    #[error("unsupported interface")]
    UnsupportedInterface,
    /// The tool's description is malformed: its name, its text or its schemas.
    #[error("invalid description")]
    InvalidDescription,
    /// Two tools have the same name.
    #[error("duplicate tool")]
    DuplicateTool,
    /// A limit or grant that makes no sense.
    #[error("invalid configuration")]
    InvalidConfiguration,
    /// The engine could not be started or a component not be compiled.
    #[error("engine failure")]
    Engine,
}

error_type! {
    /// Why a sandbox could not be built or closed.
    SandboxError, SandboxErrorKind, retryable: [], causes: [ToolError]
}

//! Loads the guests and calls them.

use std::path::PathBuf;
use std::sync::Arc;

use ironclaw_core::tool::{Tool, ToolError, ToolErrorKind, ToolOutput};
use ironclaw_core::{Sandbox, Scope};
use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox};
use ironclaw_testing::need;
use serde_json::{Value, json};

use crate::build;

/// The component of a guest.
pub(crate) fn guest(name: &str) -> PathBuf {
    need(build::guests()).join(format!("{name}.wasm"))
}

/// The bytes of a guest.
pub(crate) fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).unwrap()
}

/// A sandbox with the hostile guest.
pub(crate) async fn hostile(limits: SandboxLimits, grants: Grants) -> WasmSandbox {
    WasmSandbox::builder().limits(limits).tool(guest("hostile"), grants).build().await.unwrap()
}

/// The only tool of a sandbox.
pub(crate) fn only_tool(sandbox: &WasmSandbox) -> Arc<dyn Tool> {
    let mut tools = sandbox.tools();
    assert_eq!(tools.len(), 1);
    tools.remove(0)
}

pub(crate) fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

/// Calls the only tool.
pub(crate) async fn call(sandbox: &WasmSandbox, arguments: Value) -> Result<ToolOutput, ToolError> {
    only_tool(sandbox).call(&ada(), arguments).await
}

/// Calls the hostile guest and expects this kind of error; then finds that the next call works.
pub(crate) async fn expect_stopped(sandbox: &WasmSandbox, arguments: Value, kind: ToolErrorKind) -> ToolError {
    let error = call(sandbox, arguments.clone()).await.expect_err(&format!("{arguments} went through"));
    assert_eq!(error.kind(), &kind, "{arguments}: {error:?}");
    let next = call(sandbox, json!({"do": "count"})).await.unwrap();
    assert_eq!(next.value, json!(1), "the call after {arguments} met a used instance");
    error
}

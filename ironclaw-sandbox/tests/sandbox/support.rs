//! Builds the guests, loads them, calls them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use ironclaw_core::id::UserId;
use ironclaw_core::tool::{Tool, ToolError, ToolErrorKind, ToolOutput};
use ironclaw_core::{Sandbox, Scope};
use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox};
use serde_json::{Value, json};

/// The component of a guest, built from `guests/` once per process.
pub(crate) fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_guests).join(format!("{name}.wasm"))
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
    Scope::user(UserId::parse("ada").unwrap())
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

fn build_guests() -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let target = target_directory().join("guests");
    add_target();
    let status = cargo()
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(guests.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "the guests do not build; see why with: cargo build --release --target wasm32-wasip2 --manifest-path {}",
        guests.join("Cargo.toml").display()
    );
    target.join("wasm32-wasip2/release")
}

/// Where this test's own binary was built.
fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn add_target() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    if sysroot.join("lib/rustlib/wasm32-wasip2/lib").is_dir() {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", "wasm32-wasip2"]).status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "these tests build WebAssembly components; add their target with: rustup target add wasm32-wasip2"
    );
}

/// Cargo, without the flags that this test itself was built with: they are another target's.
fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    for key in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTC_WORKSPACE_WRAPPER"]
    {
        command.env_remove(key);
    }
    command
}

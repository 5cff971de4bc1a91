//! Builds the guests from their sources, adding their target when it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The component of a guest, built from `guests/` once per process.
pub(crate) fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_guests).join(format!("{name}.wasm"))
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

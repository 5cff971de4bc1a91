//! Builds the guests from their sources, adding their target when it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ironclaw_testing::ClusterError;

/// The folder of the guests' components, built from `guests/` once per process.
///
/// It is missing, with what to do, when this machine has neither what they are built with nor a way to fetch it.
pub(crate) fn guests() -> Result<PathBuf, ClusterError> {
    static BUILT: OnceLock<Result<PathBuf, ClusterError>> = OnceLock::new();
    BUILT.get_or_init(build_guests).clone()
}

fn build_guests() -> Result<PathBuf, ClusterError> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let target = target_directory().join("guests");
    add_target()?;
    fetch_crates(&guests)?;
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
    Ok(target.join("wasm32-wasip2/release"))
}

/// Where this test's own binary was built.
fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn add_target() -> Result<(), ClusterError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    if sysroot.join("lib/rustlib/wasm32-wasip2/lib").is_dir() {
        return Ok(());
    }
    run(
        Command::new("rustup").args(["target", "add", "wasm32-wasip2"]),
        "the compiler's target wasm32-wasip2",
        "`rustup target add wasm32-wasip2`",
    )
}

/// Their crates are of another workspace than those that this test was built from.
fn fetch_crates(guests: &Path) -> Result<(), ClusterError> {
    run(
        cargo().args(["fetch", "--locked", "--manifest-path"]).arg(guests.join("Cargo.toml")),
        "the crates of the guests",
        "`cargo fetch --locked --manifest-path ironclaw-sandbox/guests/Cargo.toml`, with a network",
    )
}

fn run(command: &mut Command, what: &'static str, advice: &'static str) -> Result<(), ClusterError> {
    let tried = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(ClusterError::Missing { what, advice, tried })
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

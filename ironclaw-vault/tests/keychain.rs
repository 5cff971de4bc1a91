//! The keychain where there is none, or none that answers. Only the D-Bus Secret Service can be made to be so.
#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(all(feature = "keychain", target_os = "linux"))]

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use ironclaw_core::vault::{KeySource, RootKeyBytes};
use ironclaw_vault::Keychain;

const CHILD: &str = "child_uses_the_keychain";
const TIMEOUT: &str = "IRONCLAW_TEST_TIMEOUT_MS";

/// The address is read once in a process, so that each case needs a process of its own.
fn in_session(address: &str, timeout: Duration) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", CHILD, "--include-ignored", "--nocapture"]);
    child.env("DBUS_SESSION_BUS_ADDRESS", address).env("XDG_RUNTIME_DIR", "/nonexistent");
    child.env(TIMEOUT, timeout.as_millis().to_string());
    String::from_utf8(child.output().unwrap().stdout).unwrap()
}

#[test]
fn without_a_session_bus_it_is_unavailable() {
    let output = in_session("unix:path=/nonexistent/bus", Duration::from_secs(60));
    for operation in ["create", "wrap"] {
        assert!(output.contains(&format!("{operation}: unavailable")), "{output}");
    }
}

#[test]
fn a_session_bus_that_never_answers_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    // Connections wait in the listener's queue for ever.
    let _bus = UnixListener::bind(&path).unwrap();
    let output = in_session(&format!("unix:path={}", path.display()), Duration::from_millis(300));
    assert!(output.contains("create: timed out"), "{output}");
    assert!(output.contains("wrap: timed out"), "{output}");
}

#[tokio::test]
#[ignore = "run by the other tests"]
async fn child_uses_the_keychain() {
    let timeout = std::env::var(TIMEOUT).unwrap().parse().unwrap();
    let keychain = Keychain::new("ironclaw-vault-test", "root").timeout(Duration::from_millis(timeout));
    println!("create: {}", keychain.create().await.unwrap_err().kind());
    println!("wrap: {}", keychain.wrap(&RootKeyBytes::new(&[0; 32]), b"").await.unwrap_err().kind());
}

//! What was not granted is not there, and what was granted is there and no more.

use std::net::TcpListener;

use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox};
use serde_json::{Value, json};

use crate::support::{call, hostile};

ironclaw_testing::tests![
    files_are_denied,
    a_granted_directory_can_be_read_and_no_more,
    the_network_is_denied,
    the_environment_is_empty,
    the_clock_stands_still,
    randomness_is_always_the_same,
    standard_input_is_empty,
    a_grant_of_one_tool_is_not_anothers,
];

async fn answer(sandbox: &WasmSandbox, arguments: Value) -> Value {
    call(sandbox, arguments).await.unwrap().value
}

/// Every attempt of the answer failed.
fn assert_all_denied(answer: &Value) {
    for (attempt, outcome) in answer.as_object().unwrap() {
        assert!(outcome["error"].is_string(), "{attempt}: {outcome}");
    }
}

async fn files_are_denied() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("private.txt");
    std::fs::write(&file, "private").unwrap();
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    for path in [file.to_str().unwrap(), "/etc/passwd", "/", ".", "..", "private.txt", "/dev/zero"] {
        assert_all_denied(&answer(&sandbox, json!({"do": "files", "path": path})).await);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "private");
}

async fn a_granted_directory_can_be_read_and_no_more() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("private.txt"), "private").unwrap();
    let granted = outside.path().join("granted");
    std::fs::create_dir(&granted).unwrap();
    std::fs::write(granted.join("hello.txt"), "hello").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("private.txt"), granted.join("link")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", granted.join("up")).unwrap();

    let sandbox = hostile(SandboxLimits::default(), Grants::none().read_dir(&granted, "/data")).await;
    let got = answer(&sandbox, json!({"do": "files", "path": "/data/hello.txt"})).await;
    assert_eq!(got["read"], json!({"got": "hello"}));
    for attempt in ["write", "create", "remove"] {
        assert!(got[attempt]["error"].is_string(), "{attempt}: {got}");
    }
    assert_eq!(std::fs::read_to_string(granted.join("hello.txt")).unwrap(), "hello");
    assert!(!granted.join("hello.txt.new").exists());
    let list = answer(&sandbox, json!({"do": "files", "path": "/data"})).await;
    assert!(list["list"]["got"].as_array().unwrap().contains(&json!("hello.txt")), "{list}");

    let out = ["/data/../private.txt", "/data/link", "/data/up/private.txt", "/data/up", "/private.txt", "/etc/passwd"];
    for path in out {
        let got = answer(&sandbox, json!({"do": "files", "path": path})).await;
        assert_all_denied(
            &json!({"read": got["read"], "list": got["list"], "write": got["write"], "create": got["create"]}),
        );
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("private.txt")).unwrap(), "private");
}

async fn the_network_is_denied() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let all = Grants::none().clock().random().env("A", "1");
    for grants in [Grants::none(), all] {
        let sandbox = hostile(SandboxLimits::default(), grants).await;
        assert_all_denied(&answer(&sandbox, json!({"do": "network", "address": address})).await);
    }
    assert!(listener.accept().is_err(), "the tool reached the host");
}

async fn the_environment_is_empty() {
    assert!(std::env::vars().count() > 0);
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let got = answer(&sandbox, json!({"do": "environment"})).await;
    assert_eq!(got["variables"], json!([]));
    assert_eq!(got["arguments"], json!([]));
    assert!(!got.to_string().contains(env!("CARGO_MANIFEST_DIR")), "{got}");

    let sandbox = hostile(SandboxLimits::default(), Grants::none().env("LANGUAGE", "de")).await;
    let got = answer(&sandbox, json!({"do": "environment"})).await;
    assert_eq!(got["variables"], json!([["LANGUAGE", "de"]]));
}

async fn the_clock_stands_still() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let got = answer(&sandbox, json!({"do": "clock"})).await;
    assert_eq!(got, json!({"wall": [0, 0], "worked_ns": 0, "slept_ns": 0}));

    let sandbox = hostile(SandboxLimits::default(), Grants::none().clock()).await;
    let got = answer(&sandbox, json!({"do": "clock"})).await;
    assert!(got["wall"][0].as_u64() > Some(1_700_000_000_000_000_000), "{got}");
    assert!(got["worked_ns"].as_u64() > Some(0) && got["slept_ns"].as_u64() >= Some(20_000_000), "{got}");
}

async fn randomness_is_always_the_same() {
    let closed = hostile(SandboxLimits::default(), Grants::none()).await;
    let open = hostile(SandboxLimits::default(), Grants::none().random()).await;
    let random = json!({"do": "random"});
    assert_eq!(answer(&closed, random.clone()).await, answer(&closed, random.clone()).await);
    assert_ne!(answer(&open, random.clone()).await, answer(&open, random).await);
}

async fn standard_input_is_empty() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    assert_eq!(answer(&sandbox, json!({"do": "stdin"})).await, json!({"got": ""}));
}

async fn a_grant_of_one_tool_is_not_anothers() {
    use ironclaw_core::Sandbox;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hello.txt"), "hello").unwrap();
    let open = hostile(SandboxLimits::default(), Grants::none().read_dir(directory.path(), "/data")).await;
    let closed = hostile(SandboxLimits::default(), Grants::none()).await;
    let arguments = json!({"do": "files", "path": "/data/hello.txt"});
    assert_eq!(answer(&open, arguments.clone()).await["read"], json!({"got": "hello"}));
    assert_all_denied(&answer(&closed, arguments).await);
    open.close().await.unwrap();
}

//! Many calls at once, calls that nobody waits for, and the end.

use std::time::{Duration, Instant};

use futures::future::join_all;
use ironclaw_core::Sandbox;
use ironclaw_core::tool::ToolErrorKind;
use ironclaw_sandbox::{Grants, SandboxLimits};
use serde_json::json;

use crate::support::{call, hostile};

ironclaw_testing::tests![
    a_hundred_calls_at_once_work,
    hostile_calls_do_not_stop_the_others,
    a_guest_never_blocks_the_executor,
    a_dropped_call_stops,
    too_many_calls_are_busy,
    closing_waits_for_what_runs_and_refuses_the_rest,
    a_call_that_waits_when_the_sandbox_closes_is_refused,
    a_sandbox_that_slept_wakes,
    #[cfg(target_os = "linux")]
    a_dropped_sandbox_leaves_no_thread,
];

fn limits(change: impl FnOnce(&mut SandboxLimits)) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    limits.fuel = u64::MAX;
    limits.time = Duration::from_secs(60);
    change(&mut limits);
    limits
}

async fn a_hundred_calls_at_once_work() {
    let sandbox = hostile(limits(|l| l.running_calls = 16), Grants::none()).await;
    let calls = (0..100).map(|n| call(&sandbox, json!({"do": "output", "bytes": n})));
    for (n, output) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(output.unwrap().value, json!("x".repeat(n)));
    }
}

async fn hostile_calls_do_not_stop_the_others() {
    let limits = limits(|l| {
        l.time = Duration::from_secs(3);
        l.running_calls = 64;
    });
    let sandbox = hostile(limits, Grants::none()).await;
    let loops = join_all((0..8).map(|_| call(&sandbox, json!({"do": "loop"}))));
    let honest = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        for _ in 0..5 {
            assert_eq!(call(&sandbox, json!({"do": "count"})).await.unwrap().value, json!(1));
        }
        started.elapsed()
    };
    let (stopped, took) = futures::join!(loops, honest);
    assert!(took < Duration::from_secs(2), "honest calls waited for the endless ones: {took:?}");
    assert!(stopped.iter().all(|s| s.as_ref().unwrap_err().kind() == &ToolErrorKind::Timeout));
}

async fn a_guest_never_blocks_the_executor() {
    // One thread for everything of the host.
    let sandbox = hostile(limits(|l| l.time = Duration::from_secs(1)), Grants::none()).await;
    let ticks = async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let started = Instant::now();
            tokio::time::sleep(Duration::from_millis(10)).await;
            longest = longest.max(started.elapsed());
        }
        longest
    };
    let (_, longest) = futures::join!(call(&sandbox, json!({"do": "loop"})), ticks);
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

async fn a_dropped_call_stops() {
    let sandbox = hostile(limits(|l| l.running_calls = 1), Grants::none().clock()).await;
    for arguments in [json!({"do": "loop"}), json!({"do": "sleep", "seconds": 60})] {
        let dropped = tokio::time::timeout(Duration::from_millis(50), call(&sandbox, arguments)).await;
        assert!(dropped.is_err());
        // The only place is free again long before the dropped call's time limit.
        let started = Instant::now();
        assert_eq!(call(&sandbox, json!({"do": "count"})).await.unwrap().value, json!(1));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

async fn too_many_calls_are_busy() {
    let limits = limits(|l| {
        l.running_calls = 1;
        l.waiting_calls = 1;
        l.wait = Duration::from_millis(100);
    });
    let sandbox = hostile(limits, Grants::none()).await;
    let endless = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { call(&sandbox, json!({"do": "loop"})).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (waited, refused) = futures::join!(call(&sandbox, json!({"do": "count"})), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let started = Instant::now();
        let refused = call(&sandbox, json!({"do": "count"})).await;
        assert!(started.elapsed() < Duration::from_millis(60), "a full queue refuses at once");
        refused
    });
    for error in [waited.unwrap_err(), refused.unwrap_err()] {
        assert_eq!(error.kind(), &ToolErrorKind::Busy, "{error}");
        assert!(error.is_retryable());
    }
    endless.abort();
    let _ = endless.await;
    assert!(call(&sandbox, json!({"do": "count"})).await.is_ok());
}

async fn closing_waits_for_what_runs_and_refuses_the_rest() {
    let sandbox = hostile(limits(|_| {}), Grants::none().clock()).await;
    let running = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { call(&sandbox, json!({"do": "sleep", "seconds": 1})).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let (closed, refused) = futures::join!(sandbox.close(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call(&sandbox, json!({"do": "count"})).await
    });
    closed.unwrap();
    assert!(started.elapsed() > Duration::from_millis(500), "closed before the running call ended");
    assert_eq!(refused.unwrap_err().kind(), &ToolErrorKind::Closed);
    assert_eq!(running.await.unwrap().unwrap().value, json!("slept"));
    sandbox.close().await.unwrap();
    assert_eq!(call(&sandbox, json!({"do": "count"})).await.unwrap_err().kind(), &ToolErrorKind::Closed);
}

async fn a_call_that_waits_when_the_sandbox_closes_is_refused() {
    let limits = limits(|l| {
        l.running_calls = 1;
        l.time = Duration::from_millis(500);
    });
    let sandbox = hostile(limits, Grants::none()).await;
    let (running, waiting, closed) = futures::join!(
        call(&sandbox, json!({"do": "loop"})),
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            call(&sandbox, json!({"do": "count"})).await
        },
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            sandbox.close().await
        }
    );
    assert_eq!(running.unwrap_err().kind(), &ToolErrorKind::Timeout);
    assert_eq!(waiting.unwrap_err().kind(), &ToolErrorKind::Closed);
    closed.unwrap();
}

async fn a_sandbox_that_slept_wakes() {
    let limits = limits(|l| l.time = Duration::from_millis(100));
    let sandbox = hostile(limits, Grants::none()).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let error = call(&sandbox, json!({"do": "loop"})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::Timeout);
}

#[cfg(target_os = "linux")]
async fn a_dropped_sandbox_leaves_no_thread() {
    use std::collections::HashSet;
    let threads = || -> HashSet<_> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks.map(|task| task.file_name()).collect()
    };
    let names = |ids: &HashSet<std::ffi::OsString>| -> Vec<_> {
        let name = |id: &std::ffi::OsString| std::fs::read_to_string(format!("/proc/self/task/{}/comm", id.display()));
        ids.iter().filter_map(|id| name(id).ok()).filter(|name| name.starts_with("ironclaw-")).collect()
    };
    let before = threads();
    let sandbox = hostile(limits(|_| {}), Grants::none()).await;
    call(&sandbox, json!({"do": "count"})).await.unwrap();
    // Other tests of this process start threads at the same time; these started within this test or theirs.
    let during: HashSet<_> = threads().difference(&before).cloned().collect();
    let own: HashSet<_> = during.into_iter().filter(|id| !names(&HashSet::from([id.clone()])).is_empty()).collect();
    assert!(!own.is_empty());
    drop(sandbox);
    for _ in 0..600 {
        if names(&own).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("threads are left: {:?}", names(&own));
}

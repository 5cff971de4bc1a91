//! Each limit stops what exceeds it with its own error, and the next call works.

use std::time::{Duration, Instant};

use ironclaw_core::tool::ToolErrorKind;
use ironclaw_sandbox::{Grants, SandboxLimits};
use serde_json::json;

use crate::support::{call, expect_stopped, hostile};

ironclaw_testing::tests![
    an_endless_loop_runs_into_the_time_limit,
    an_endless_loop_runs_out_of_fuel,
    waiting_in_a_call_of_the_host_runs_into_the_time_limit,
    memory_is_limited,
    a_tool_that_can_do_with_less_memory_goes_on,
    recursion_is_limited,
    the_answer_is_limited,
    the_lines_of_the_log_are_limited,
    the_bytes_of_the_log_are_limited,
    a_crash_is_a_crash,
    an_answer_that_can_not_be_kept_is_malformed,
];

fn limits(change: impl FnOnce(&mut SandboxLimits)) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    limits.time = Duration::from_secs(60);
    change(&mut limits);
    limits
}

async fn an_endless_loop_runs_into_the_time_limit() {
    let limits = limits(|l| {
        l.time = Duration::from_millis(200);
        l.fuel = u64::MAX;
    });
    let sandbox = hostile(limits, Grants::none()).await;
    let started = Instant::now();
    expect_stopped(&sandbox, json!({"do": "loop"}), ToolErrorKind::Timeout).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
}

async fn an_endless_loop_runs_out_of_fuel() {
    let sandbox = hostile(limits(|l| l.fuel = 20_000_000), Grants::none()).await;
    expect_stopped(&sandbox, json!({"do": "loop"}), ToolErrorKind::OutOfFuel).await;
}

async fn waiting_in_a_call_of_the_host_runs_into_the_time_limit() {
    let sandbox = hostile(limits(|l| l.time = Duration::from_millis(200)), Grants::none().clock()).await;
    let started = Instant::now();
    expect_stopped(&sandbox, json!({"do": "sleep", "seconds": 3_600}), ToolErrorKind::Timeout).await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

async fn memory_is_limited() {
    let sandbox = hostile(limits(|l| l.memory_bytes = 8 << 20), Grants::none()).await;
    expect_stopped(&sandbox, json!({"do": "memory"}), ToolErrorKind::OutOfMemory).await;
}

async fn a_tool_that_can_do_with_less_memory_goes_on() {
    let sandbox = hostile(limits(|l| l.memory_bytes = 8 << 20), Grants::none()).await;
    let output = call(&sandbox, json!({"do": "memory_politely"})).await.unwrap();
    let got = output.value["mebibytes"].as_u64().unwrap();
    assert!((3..8).contains(&got), "{got}");
    let peak = output.usage.unwrap().memory_bytes;
    assert!(peak > 3 << 20 && peak <= 8 << 20, "{peak}");
}

async fn recursion_is_limited() {
    let sandbox = hostile(limits(|_| {}), Grants::none()).await;
    expect_stopped(&sandbox, json!({"do": "recursion"}), ToolErrorKind::StackOverflow).await;
}

async fn the_answer_is_limited() {
    let sandbox = hostile(limits(|l| l.output_bytes = 10_000), Grants::none()).await;
    // The quotes of JSON count.
    assert!(call(&sandbox, json!({"do": "output", "bytes": 9_998})).await.is_ok());
    for bytes in [9_999, 500_000, 8 << 20] {
        expect_stopped(&sandbox, json!({"do": "output", "bytes": bytes}), ToolErrorKind::OutputTooLarge).await;
    }
    expect_stopped(&sandbox, json!({"do": "fail", "bytes": 20_000}), ToolErrorKind::OutputTooLarge).await;
    expect_stopped(&sandbox, json!({"do": "fail", "bytes": 8 << 20}), ToolErrorKind::OutputTooLarge).await;
}

async fn the_lines_of_the_log_are_limited() {
    let sandbox = hostile(limits(|_| {}), Grants::none()).await;
    let output = call(&sandbox, json!({"do": "log", "lines": 1_000, "characters": 1})).await.unwrap();
    assert_eq!(output.logs.len(), 1_000);
    for flood in [1_001, 1_000_000] {
        let arguments = json!({"do": "log", "lines": flood, "characters": 1});
        expect_stopped(&sandbox, arguments, ToolErrorKind::LogTooLarge).await;
        expect_stopped(&sandbox, json!({"do": "print", "lines": flood}), ToolErrorKind::LogTooLarge).await;
    }
    // The last line has no end, and is one too many all the same.
    expect_stopped(&sandbox, json!({"do": "print", "lines": 1_000}), ToolErrorKind::LogTooLarge).await;
}

async fn the_bytes_of_the_log_are_limited() {
    let sandbox = hostile(limits(|l| l.log_bytes = 1_000), Grants::none()).await;
    assert!(call(&sandbox, json!({"do": "log", "lines": 3, "characters": 100})).await.is_ok());
    let arguments = json!({"do": "log", "lines": 4, "characters": 100});
    expect_stopped(&sandbox, arguments, ToolErrorKind::LogTooLarge).await;
    // More in one message than the host copies at all.
    let arguments = json!({"do": "log", "lines": 1, "characters": 4 << 20});
    expect_stopped(&sandbox, arguments, ToolErrorKind::LogTooLarge).await;
}

async fn a_crash_is_a_crash() {
    let sandbox = hostile(limits(|_| {}), Grants::none()).await;
    expect_stopped(&sandbox, json!({"do": "panic"}), ToolErrorKind::Trapped).await;
    let error = expect_stopped(&sandbox, json!({"do": "exit"}), ToolErrorKind::Trapped).await;
    assert!(error.context().contains("exited with code 1"), "{error}");
}

async fn an_answer_that_can_not_be_kept_is_malformed() {
    let sandbox = hostile(limits(|_| {}), Grants::none()).await;
    expect_stopped(&sandbox, json!({"do": "nul_output"}), ToolErrorKind::MalformedOutput).await;
    expect_stopped(&sandbox, json!({"do": "deep_output"}), ToolErrorKind::MalformedOutput).await;
}

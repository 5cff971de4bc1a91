//! What a call answers, and that nothing of it is left for the next.

use ironclaw_core::Sandbox;
use ironclaw_core::tool::{LogLevel, LogLine, ToolErrorKind};
use ironclaw_core::{Principal, Scope};
use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox};
use serde_json::json;

use crate::support::{ada, call, guest, guest_bytes, hostile, only_tool};

ironclaw_testing::tests![
    tools_are_listed_in_the_order_of_loading_and_say_what_they_are,
    a_call_tells_what_it_took,
    the_same_call_takes_the_same_fuel,
    every_call_meets_a_fresh_instance,
    logs_and_prints_come_with_the_answer,
    a_long_log_line_is_cut_between_characters,
    a_failure_of_the_tool_is_told_in_its_words,
    an_error_is_an_error_of_std,
];

async fn tools_are_listed_in_the_order_of_loading_and_say_what_they_are() {
    let sandbox = WasmSandbox::builder()
        .tool(guest("noop"), Grants::none())
        .tool_bytes(guest_bytes("calculator"), Grants::none())
        .build()
        .await
        .unwrap();
    let tools = sandbox.tools();
    let names: Vec<_> = tools.iter().map(|tool| tool.spec().name.as_str().to_owned()).collect();
    assert_eq!(names, ["noop", "calculator"]);
    let spec = tools[1].spec();
    assert!(spec.description.contains("0.1 + 0.2 is 0.3"));
    assert_eq!(spec.parameters["required"], json!(["expression"]));
    assert_eq!(spec.result.as_ref().unwrap()["type"], json!("object"));
    assert!(tools[0].spec().result.is_none());
}

async fn a_call_tells_what_it_took() {
    let bytes = guest_bytes("calculator");
    let sandbox = WasmSandbox::builder().tool_bytes(bytes, Grants::none()).build().await.unwrap();
    let small = call(&sandbox, json!({"expression": "1"})).await.unwrap().usage.unwrap();
    let large = call(&sandbox, json!({"expression": "3^9999 % 7^5000"})).await.unwrap().usage.unwrap();
    assert_eq!(small.component.len(), 64);
    assert_eq!(small.component, large.component);
    assert!(small.fuel > 0 && large.fuel > 10 * small.fuel, "{small:?} {large:?}");
    assert!(small.memory_bytes >= 1 << 20 && small.memory_bytes <= 64 << 20, "{small:?}");
    assert!(large.duration_us > 0);
}

async fn the_same_call_takes_the_same_fuel() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let mut fuels = Vec::new();
    for _ in 0..3 {
        fuels.push(call(&sandbox, json!({"do": "random"})).await.unwrap().usage.unwrap().fuel);
    }
    assert!(fuels.iter().all(|fuel| *fuel == fuels[0]), "{fuels:?}");
}

async fn every_call_meets_a_fresh_instance() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let bob = Scope::user("bob").unwrap();
    let tool = only_tool(&sandbox);
    let tool_for_bob = bob.acting(Principal::Tool(tool.spec().name.clone()));
    for scope in [ada(), ada(), bob, tool_for_bob] {
        let output = tool.call(&scope, json!({"do": "count"})).await.unwrap();
        assert_eq!(output.value, json!(1));
    }
}

async fn logs_and_prints_come_with_the_answer() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let output = call(&sandbox, json!({"do": "log", "lines": 2, "characters": 3})).await.unwrap();
    let line = LogLine { level: LogLevel::Info, message: "€€€".to_owned() };
    assert_eq!(output.logs, [line.clone(), line]);
    let output = call(&sandbox, json!({"do": "print", "lines": 2})).await.unwrap();
    let expected = [(LogLevel::Info, "printed 0"), (LogLevel::Info, "printed 1"), (LogLevel::Warn, "without an end")];
    let found: Vec<_> = output.logs.iter().map(|l| (l.level, l.message.as_str())).collect();
    assert_eq!(found, expected);
}

async fn a_long_log_line_is_cut_between_characters() {
    let mut limits = SandboxLimits::default();
    limits.log_line_bytes = 100;
    let sandbox = hostile(limits, Grants::none()).await;
    let output = call(&sandbox, json!({"do": "log", "lines": 1, "characters": 50})).await.unwrap();
    assert_eq!(output.logs[0].message, format!("{}…", "€".repeat(32)));
}

async fn a_failure_of_the_tool_is_told_in_its_words() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let error = call(&sandbox, json!({"do": "fail", "bytes": 8})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::Failed);
    assert_eq!(error.context(), "ääää");
    let error = call(&sandbox, json!({"do": "fail", "bytes": 100_000})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::Failed);
    assert!(error.context().len() <= 4 << 10 && error.context().ends_with("ä…"), "{}", error.context().len());
    let error = call(&sandbox, json!({"do": "unheard of"})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments);
    assert!(error.context().contains("unheard of"), "{error}");
}

async fn an_error_is_an_error_of_std() {
    let sandbox = hostile(SandboxLimits::default(), Grants::none()).await;
    let error = call(&sandbox, json!({"do": "panic"})).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("a hostile panic"), "{source}");
    assert!(!error.to_string().contains("a hostile panic"), "{error}");
}

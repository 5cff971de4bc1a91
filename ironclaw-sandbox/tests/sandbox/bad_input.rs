//! Bad input to every public function is refused with an error that names it.

use ironclaw_core::sandbox::{SandboxError, SandboxErrorKind};
use ironclaw_core::tool::{ToolError, ToolErrorKind};
use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox, components};
use serde_json::{Value, json};

use crate::handwritten::{Handwritten, PLAIN};
use crate::support::call;

ironclaw_testing::tests![
    a_hand_written_component_runs,
    a_file_that_can_not_be_read_is_named,
    what_is_no_component_is_refused,
    a_component_with_another_interface_is_refused_by_name,
    an_import_that_is_not_linked_is_named,
    a_bad_description_is_refused_with_its_field,
    a_component_that_never_describes_itself_is_stopped,
    a_component_that_starts_with_more_memory_than_the_limit_is_refused,
    an_answer_that_is_no_json_is_malformed,
    an_answer_that_points_outside_its_memory_is_malformed,
    an_access_out_of_bounds_is_a_crash,
    a_name_is_taken_once,
    a_component_over_the_size_limit_is_not_compiled,
    limits_that_make_no_sense_are_refused_by_name,
    the_largest_limits_work,
    grants_that_make_no_sense_are_refused_by_name,
    grants_show_no_values,
    arguments_are_an_object_within_the_limit,
];

async fn refused(bytes: impl Into<Vec<u8>>, kind: SandboxErrorKind) -> SandboxError {
    let error = WasmSandbox::builder().tool_bytes(bytes.into(), Grants::none()).build().await.unwrap_err();
    assert_eq!(error.kind(), &kind, "{error}");
    error
}

async fn a_hand_written_component_runs() {
    let tool = Handwritten { answer: br#"{"plain": true}"#, ..PLAIN }.component();
    let sandbox = WasmSandbox::builder().tool_bytes(tool, Grants::none()).build().await.unwrap();
    assert_eq!(call(&sandbox, json!({})).await.unwrap().value, json!({"plain": true}));
}

async fn a_file_that_can_not_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("absent.wasm"), directory.path().to_owned()] {
        let error = WasmSandbox::builder().tool(&path, Grants::none()).build().await.unwrap_err();
        assert_eq!(error.kind(), &SandboxErrorKind::Unreadable, "{error}");
        assert!(error.context().contains(path.to_str().unwrap()), "{error}");
    }
}

async fn what_is_no_component_is_refused() {
    let empty = refused("", SandboxErrorKind::InvalidComponent).await;
    assert!(empty.context().contains("empty"), "{empty}");
    refused("(component)", SandboxErrorKind::InvalidComponent).await;
    refused((0..=255).collect::<Vec<u8>>(), SandboxErrorKind::InvalidComponent).await;
    refused("\0asm", SandboxErrorKind::InvalidComponent).await;
    let module = refused(wat::parse_str("(module)").unwrap(), SandboxErrorKind::InvalidComponent).await;
    assert!(module.context().contains("wasm32-wasip2"), "{module}");
    let whole = components::NOOP;
    for length in [9, 100, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..length], SandboxErrorKind::InvalidComponent).await;
    }
}

async fn a_component_with_another_interface_is_refused_by_name() {
    let none = refused(wat::parse_str("(component)").unwrap(), SandboxErrorKind::UnsupportedInterface).await;
    assert!(none.context().contains("it exports nothing"), "{none}");
    let later = r#"(component (instance $i) (export "ironclaw:tool/tool@9.0.0" (instance $i)))"#;
    let later = refused(wat::parse_str(later).unwrap(), SandboxErrorKind::UnsupportedInterface).await;
    assert!(later.context().contains("ironclaw:tool/tool@9.0.0"), "{later}");
    let half = r#"(component (instance $i) (export "ironclaw:tool/tool@0.1.0" (instance $i)))"#;
    refused(wat::parse_str(half).unwrap(), SandboxErrorKind::UnsupportedInterface).await;
    let other_types = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $t (export "describe" (func $f)) (export "call" (func $f)))
        (export "ironclaw:tool/tool@0.1.0" (instance $t)))"#;
    refused(wat::parse_str(other_types).unwrap(), SandboxErrorKind::UnsupportedInterface).await;
}

async fn an_import_that_is_not_linked_is_named() {
    let mut text =
        String::from(r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func))))"#);
    text += r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $t (export "describe" (func $f)) (export "call" (func $f)))
        (export "ironclaw:tool/tool@0.1.0" (instance $t)))"#;
    let error = refused(wat::parse_str(text).unwrap(), SandboxErrorKind::UnsupportedInterface).await;
    assert!(error.context().contains("wasi:http/outgoing-handler"), "{error}");
}

async fn a_bad_description_is_refused_with_its_field() {
    let long = "x".repeat(65);
    for name in ["", "two words", "naïve", "dot.ted", "slash/ed", long.as_str()] {
        let error = refused(Handwritten { name, ..PLAIN }.component(), SandboxErrorKind::InvalidDescription).await;
        assert!(error.context().contains("name:"), "{error}");
    }
    let long = "x".repeat(70_000);
    for description in ["", "  ", "a\0b", long.as_str()] {
        let error =
            refused(Handwritten { description, ..PLAIN }.component(), SandboxErrorKind::InvalidDescription).await;
        assert!(error.context().contains("description:"), "{error}");
    }
    for schema in
        ["", "not JSON", "[]", "\"object\"", "{}", r#"{"type": "array"}"#, r#"{"type": "object", "a": "\u0000"}"#]
    {
        let error = refused(Handwritten { schema, ..PLAIN }.component(), SandboxErrorKind::InvalidDescription).await;
        assert!(error.context().contains("parameters-schema:"), "{error}");
    }
}

async fn a_component_that_never_describes_itself_is_stopped() {
    let cases = [("loop br 0 end", ToolErrorKind::OutOfFuel), ("unreachable", ToolErrorKind::Trapped)];
    for (describe_body, kind) in cases {
        let mut limits = SandboxLimits::default();
        limits.fuel = 1_000_000;
        let tool = Handwritten { describe_body, ..PLAIN }.component();
        let error = WasmSandbox::builder().limits(limits).tool_bytes(tool, Grants::none()).build().await.unwrap_err();
        assert_eq!(error.kind(), &SandboxErrorKind::InvalidDescription, "{error}");
        let source = error.cause().unwrap().downcast_ref::<ToolError>().unwrap();
        assert_eq!(source.kind(), &kind, "{source}");
    }
}

async fn a_component_that_starts_with_more_memory_than_the_limit_is_refused() {
    let mut limits = SandboxLimits::default();
    limits.memory_bytes = 64 << 10;
    let builder = WasmSandbox::builder().limits(limits).tool_bytes(PLAIN.component(), Grants::none());
    let error = builder.build().await.unwrap_err();
    assert_eq!(error.kind(), &SandboxErrorKind::InvalidComponent, "{error}");
    let source = error.cause().unwrap().to_string();
    assert!(source.contains("memory") && source.contains("limit"), "{source}");
}

async fn an_answer_that_is_no_json_is_malformed() {
    let cases: [&[u8]; 5] = [b"", b"{", b"null null", b"\xff\xfe", b"NaN"];
    for answer in cases {
        let tool = Handwritten { answer, ..PLAIN }.component();
        let sandbox = WasmSandbox::builder().tool_bytes(tool, Grants::none()).build().await.unwrap();
        let error = call(&sandbox, json!({})).await.unwrap_err();
        assert_eq!(error.kind(), &ToolErrorKind::MalformedOutput, "{answer:?}: {error}");
    }
}

async fn an_answer_that_points_outside_its_memory_is_malformed() {
    // The length of the answer becomes four gigabytes.
    let body = "i32.const 136 i32.const -1 i32.store";
    let tool = Handwritten { body, ..PLAIN }.component();
    let sandbox = WasmSandbox::builder().tool_bytes(tool, Grants::none()).build().await.unwrap();
    let error = call(&sandbox, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::MalformedOutput, "{error}");
}

async fn an_access_out_of_bounds_is_a_crash() {
    let tool = Handwritten { body: "i32.const -8 i32.load drop", ..PLAIN }.component();
    let sandbox = WasmSandbox::builder().tool_bytes(tool, Grants::none()).build().await.unwrap();
    let error = call(&sandbox, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), &ToolErrorKind::Trapped, "{error}");
}

async fn a_name_is_taken_once() {
    let builder = WasmSandbox::builder()
        .tool_bytes(components::NOOP, Grants::none())
        .tool_bytes(components::NOOP, Grants::none().clock());
    let error = builder.build().await.unwrap_err();
    assert_eq!(error.kind(), &SandboxErrorKind::DuplicateTool, "{error}");
    assert!(error.context().contains("`noop`"), "{error}");
}

async fn a_component_over_the_size_limit_is_not_compiled() {
    let mut limits = SandboxLimits::default();
    limits.component_bytes = components::NOOP.len() - 1;
    let builder = WasmSandbox::builder().limits(limits.clone()).tool_bytes(components::NOOP, Grants::none());
    let error = builder.build().await.unwrap_err();
    assert_eq!(error.kind(), &SandboxErrorKind::TooLarge, "{error}");
    assert!(error.context().contains(&limits.component_bytes.to_string()), "{error}");
    let builder = WasmSandbox::builder().limits(limits).tool(crate::support::guest("calculator"), Grants::none());
    assert_eq!(builder.build().await.unwrap_err().kind(), &SandboxErrorKind::TooLarge);
}

async fn limits_that_make_no_sense_are_refused_by_name() {
    type Change = fn(&mut SandboxLimits);
    let changes: [(&str, Change); 13] = [
        ("component_bytes", |l| l.component_bytes = 0),
        ("arguments_bytes", |l| l.arguments_bytes = 0),
        ("output_bytes", |l| l.output_bytes = 0),
        ("memory_bytes", |l| l.memory_bytes = 0),
        ("memory_bytes", |l| l.memory_bytes = usize::MAX),
        ("stack_bytes", |l| l.stack_bytes = 0),
        ("time", |l| l.time = std::time::Duration::ZERO),
        ("time", |l| l.time = std::time::Duration::MAX),
        ("fuel", |l| l.fuel = 0),
        ("log_line_bytes", |l| l.log_line_bytes = 0),
        ("running_calls", |l| l.running_calls = 0),
        ("waiting_calls", |l| l.waiting_calls = usize::MAX),
        ("wait", |l| l.wait = std::time::Duration::MAX),
    ];
    for (field, change) in changes {
        let mut limits = SandboxLimits::default();
        change(&mut limits);
        let error = WasmSandbox::builder().limits(limits).build().await.unwrap_err();
        assert_eq!(error.kind(), &SandboxErrorKind::InvalidConfiguration, "{field}");
        assert!(error.context().contains(field), "{field}: {error}");
    }
    // No log, no queue: strict, but sensible.
    let mut limits = SandboxLimits::default();
    limits.log_lines = 0;
    limits.log_bytes = 0;
    limits.waiting_calls = 0;
    let builder = WasmSandbox::builder().limits(limits).tool_bytes(components::NOOP, Grants::none());
    assert!(call(&builder.build().await.unwrap(), json!({})).await.is_ok());
}

async fn the_largest_limits_work() {
    let mut limits = SandboxLimits::default();
    limits.memory_bytes = 4 << 30;
    limits.stack_bytes = 16 << 20;
    limits.fuel = u64::MAX;
    let builder = WasmSandbox::builder().limits(limits).tool_bytes(components::NOOP, Grants::none());
    assert!(call(&builder.build().await.unwrap(), json!({})).await.is_ok());
}

async fn grants_that_make_no_sense_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let cases = [
        ("env key", Grants::none().env("", "x")),
        ("env key", Grants::none().env("A=B", "x")),
        ("env key", Grants::none().env("A\0", "x")),
        ("env value", Grants::none().env("A", "x\0")),
        ("guest path", Grants::none().read_dir(directory.path(), "")),
        ("guest path", Grants::none().read_dir(directory.path(), "data")),
        ("host path", Grants::none().read_dir(directory.path().join("absent"), "/data")),
        ("host path", Grants::none().read_dir(file, "/data")),
    ];
    for (field, grants) in cases {
        let error = WasmSandbox::builder().tool_bytes(components::NOOP, grants).build().await.unwrap_err();
        assert_eq!(error.kind(), &SandboxErrorKind::InvalidConfiguration, "{error}");
        assert!(error.context().contains(field), "{field}: {error}");
    }
}

async fn grants_show_no_values() {
    let shown = format!("{:?}", Grants::none().env("KEY", "the value"));
    assert!(shown.contains("KEY") && !shown.contains("the value"), "{shown}");
}

async fn arguments_are_an_object_within_the_limit() {
    let mut limits = SandboxLimits::default();
    limits.arguments_bytes = 100;
    let builder = WasmSandbox::builder().limits(limits).tool_bytes(components::NOOP, Grants::none());
    let sandbox = builder.build().await.unwrap();
    let long = json!({"text": "x".repeat(100)});
    let cases =
        [Value::Null, json!(1), json!("text"), json!([]), json!(true), json!({"a": ["\0"]}), json!({"\0": 1}), long];
    for arguments in cases {
        let error = call(&sandbox, arguments.clone()).await.unwrap_err();
        assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments, "{arguments}");
        assert!(error.context().starts_with("arguments: "), "{error}");
    }
    assert!(call(&sandbox, json!({"text": "\\u0000 is text"})).await.is_ok());
}

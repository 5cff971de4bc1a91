//! The guests themselves: the calculator's arithmetic, and that the committed component is what its source makes.

use ironclaw_core::tool::ToolErrorKind;
use ironclaw_sandbox::{Grants, WasmSandbox, components};
use serde_json::{Value, json};

use crate::support::{call, guest};

ironclaw_testing::tests![
    the_calculator_is_exact,
    the_committed_calculator_behaves_as_its_source,
    the_committed_noop_behaves_as_its_source,
    the_committed_components_are_the_ones_their_checksums_name,
    the_sdk_has_the_interface_of_the_host,
];

const CASES: &[(&str, &str, bool)] = &[
    ("0.1 + 0.2", "0.3", true),
    ("(19.99 * 3 + 4.50) * 1.19", "76.7193", true),
    ("1/8", "0.125", true),
    ("1/3", "0.33333333333333333333333333333333333333333333333333", false),
    ("2/3*3", "2", true),
    ("-2^2", "-4", true),
    ("(-2)^2", "4", true),
    ("2^3^2", "512", true),
    ("2^-2", "0.25", true),
    ("0^0", "1", true),
    ("7 % 3", "1", true),
    ("-7 % 3", "-1", true),
    ("5.5 % 2", "1.5", true),
    ("10 - 2 - 3", "5", true),
    ("100 / 10 / 2", "5", true),
    ("2 + 3 * 4", "14", true),
    ("--3", "3", true),
    ("+5 - -5", "10", true),
    ("sqrt(2.25)", "1.5", true),
    ("sqrt(144)", "12", true),
    ("sqrt(0)", "0", true),
    ("abs(-3.5)", "3.5", true),
    ("round(2.5)", "3", true),
    ("round(-2.5)", "-3", true),
    ("round(3.14159, 2)", "3.14", true),
    ("round(12345, -2)", "12300", true),
    ("round(1/3, 4)", "0.3333", true),
    ("min(3, 1, 2)", "1", true),
    ("max(3, 1, 2)", "3", true),
    ("max(sqrt(16), 2^2)", "4", true),
    ("1e3 + 1E-3", "1000.001", true),
    (".5 * 4.", "2", true),
    ("1_000_000 * 2", "2000000", true),
    ("6 × 7 ÷ 2 − 1", "20", true),
    ("9999999999999999999999999999 + 1", "10000000000000000000000000000", true),
    ("2^200", "1606938044258990275541962092341162602522202993782792835301376", true),
    ("1/3 + 1/3 + 1/3", "1", true),
    ("0 * -1", "0", true),
    (
        "1e-60 / 3",
        "0.00000000000000000000000000000000000000000000000000000000000033333333333333333333333333333333333333333333333333",
        false,
    ),
];

const MISTAKES: &[(&str, ToolErrorKind, &str)] = &[
    ("", ToolErrorKind::InvalidArguments, "expression: must not be empty"),
    ("   ", ToolErrorKind::InvalidArguments, "expression: must not be empty"),
    ("1 +", ToolErrorKind::InvalidArguments, "column 4: expected a number, found the end"),
    ("1 2", ToolErrorKind::InvalidArguments, "column 3: expected an operator, found `2`"),
    ("(1 + 2", ToolErrorKind::InvalidArguments, "column 7: expected an operator or `)`, found the end"),
    ("1)", ToolErrorKind::InvalidArguments, "column 2: expected an operator, found `)`"),
    ("sin(1)", ToolErrorKind::InvalidArguments, "column 1: `sin` is not known"),
    ("sqrt 4", ToolErrorKind::InvalidArguments, "column 6: expected `(` after `sqrt`, found `4`"),
    ("sqrt(1, 2)", ToolErrorKind::InvalidArguments, "sqrt: 2 arguments are too many"),
    ("2 & 3", ToolErrorKind::InvalidArguments, "column 3: `&` is not part of an expression"),
    ("1.2.3", ToolErrorKind::InvalidArguments, "column 4: expected an operator"),
    (".", ToolErrorKind::InvalidArguments, "column 1: `.` is not part of an expression"),
    ("1e", ToolErrorKind::InvalidArguments, "column 2: an exponent needs digits"),
    ("20%", ToolErrorKind::InvalidArguments, "`%` is the remainder"),
    ("2^0.5", ToolErrorKind::InvalidArguments, "sqrt(x) is the square root"),
    ("1/0", ToolErrorKind::Failed, "division by zero"),
    ("1 % (2 - 2)", ToolErrorKind::Failed, "division by zero"),
    ("0^-1", ToolErrorKind::Failed, "division by zero"),
    ("sqrt(-1)", ToolErrorKind::Failed, "square root of a negative number"),
    ("9^9^9", ToolErrorKind::Failed, "more than 10000 digits"),
    ("1e999999999999999999999", ToolErrorKind::Failed, "more than 10000 digits"),
    ("round(1, 20000)", ToolErrorKind::InvalidArguments, "between -10000 and 10000"),
];

async fn the_calculator_is_exact() {
    let built = WasmSandbox::builder().tool(guest("calculator"), Grants::none()).build().await.unwrap();
    check_calculator(&built).await;
}

async fn the_committed_calculator_behaves_as_its_source() {
    let committed = WasmSandbox::builder().tool_bytes(components::CALCULATOR, Grants::none()).build().await.unwrap();
    check_calculator(&committed).await;
}

async fn the_committed_noop_behaves_as_its_source() {
    for bytes in [components::NOOP.to_vec(), crate::support::guest_bytes("noop")] {
        let sandbox = WasmSandbox::builder().tool_bytes(bytes, Grants::none()).build().await.unwrap();
        assert_eq!(call(&sandbox, json!({})).await.unwrap().value, Value::Null);
    }
}

async fn the_committed_components_are_the_ones_their_checksums_name() {
    for (name, bytes) in [("calculator", components::CALCULATOR), ("noop", components::NOOP)] {
        let sandbox = WasmSandbox::builder().tool_bytes(bytes, Grants::none()).build().await.unwrap();
        let arguments = if name == "noop" { json!({}) } else { json!({"expression": "1"}) };
        let ran = call(&sandbox, arguments).await.unwrap().usage.unwrap().component;
        let path = format!("{}/components/{name}.wasm.sha256", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{ran}  {name}.wasm\n"));
    }
}

async fn the_sdk_has_the_interface_of_the_host() {
    let text = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(text("wit/tool.wit"), text("guests/sdk/wit/tool.wit"));
}

async fn check_calculator(sandbox: &WasmSandbox) {
    for (expression, result, exact) in CASES {
        let output = call(sandbox, json!({"expression": expression})).await.unwrap();
        assert_eq!(output.value, json!({"result": result, "exact": exact}), "{expression}");
    }
    for (expression, kind, message) in MISTAKES {
        let error = call(sandbox, json!({"expression": expression})).await.expect_err(expression);
        assert_eq!(error.kind(), kind, "{expression}: {error}");
        assert!(error.context().contains(message), "{expression}: {error}");
    }
    for arguments in [json!({}), json!({"expression": 1}), json!({"expression": "1", "digits": 2})] {
        let error = call(sandbox, arguments.clone()).await.unwrap_err();
        assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments, "{arguments}: {error}");
    }
    check_root_of_two(sandbox).await;
    check_extremes(sandbox).await;
}

async fn check_root_of_two(sandbox: &WasmSandbox) {
    let output = call(sandbox, json!({"expression": "sqrt(2)"})).await.unwrap();
    assert_eq!(output.value["exact"], json!(false));
    assert_eq!(output.value["result"], json!("1.4142135623730950488016887242096980785696718753769"));
}

/// Long and deep expressions are calculated or refused, but never crash.
async fn check_extremes(sandbox: &WasmSandbox) {
    let long = vec!["1"; 4_000].join("+");
    let output = call(sandbox, json!({"expression": long})).await.unwrap();
    assert_eq!(output.value["result"], json!("4000"));
    let deep = format!("{}1{}", "(".repeat(90), ")".repeat(90));
    assert_eq!(call(sandbox, json!({"expression": deep})).await.unwrap().value["result"], json!("1"));
    let powers = format!("1{}", "^1".repeat(4_000));
    for too_much in ["(".repeat(5_000), "-".repeat(5_000), "sqrt(".repeat(1_500), powers, "1".repeat(10_001)] {
        let error = call(sandbox, json!({"expression": too_much})).await.unwrap_err();
        assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments, "{error}");
    }
    let tiny = call(sandbox, json!({"expression": "sqrt(1e-9999)"})).await.unwrap();
    let digits = tiny.value["result"].as_str().unwrap().trim_start_matches(['0', '.']);
    assert!(digits.starts_with("3162277660168379331998893544432718533719555139325"), "{digits}");
}

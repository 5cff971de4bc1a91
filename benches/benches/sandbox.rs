//! The time from a call to its answer, for a tool that does nothing in a fresh instance.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ironclaw_benches::{runtime, scope};
use ironclaw_core::{Sandbox, Tool};
use ironclaw_sandbox::{Grants, WasmSandbox, components};
use serde_json::json;

fn call(criterion: &mut Criterion) {
    let runtime = runtime();
    let scope = scope();
    let (noop, calculator) = runtime.block_on(async {
        let sandbox = WasmSandbox::builder()
            .tool_bytes(components::NOOP, Grants::none())
            .tool_bytes(components::CALCULATOR, Grants::none())
            .build()
            .await
            .expect("the sandbox");
        let mut tools = sandbox.tools().into_iter();
        (tools.next().expect("noop"), tools.next().expect("calculator"))
    });
    let mut group = criterion.benchmark_group("sandbox");
    group.bench_function("noop", |b| {
        b.iter(|| runtime.block_on(noop.call(&scope, json!({}))).map(black_box).expect("an answer"));
    });
    group.bench_function("calculator", |b| {
        let arguments = json!({ "expression": "1299.90 * (1 + 0.19)" });
        b.iter(|| runtime.block_on(calculator.call(&scope, arguments.clone())).map(black_box).expect("an answer"));
    });
    group.finish();
}

criterion_group!(benches, call);
criterion_main!(benches);

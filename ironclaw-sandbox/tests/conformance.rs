//! The suite of `ironclaw_core::conformance`, run against the sandbox.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/build.rs"]
mod build;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::Sandbox;
use ironclaw_core::conformance::sandbox::{Example, Scarce};
use ironclaw_core::conformance::{Capability, Failure, SandboxHarness, Suites};
use ironclaw_sandbox::{Grants, SandboxLimits, WasmSandbox};
use ironclaw_testing::missing;
use serde_json::json;

fn main() -> ExitCode {
    Suites::new().sandbox("wasm", Wasm).run()
}

struct Wasm;

#[async_trait]
impl SandboxHarness for Wasm {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::HostileTool]
    }

    async fn open(&self, scarce: Scarce) -> Result<Arc<dyn Sandbox>, Failure> {
        let guests = build::guests();
        if let Some(missing) = missing(&guests) {
            return Err(Failure::unavailable(missing));
        }
        let guests = guests?;
        let mut limits = SandboxLimits::default();
        limits.time = Duration::from_secs(60);
        // The hostile tool holds its answer several times over while it makes it; it is to fail for its size.
        limits.memory_bytes = 256 << 20;
        match scarce {
            Scarce::Time => {
                limits.time = Duration::from_secs(1);
                limits.fuel = u64::MAX;
            }
            Scarce::Fuel => limits.fuel = 50_000_000,
            _ => {}
        }
        let sandbox = WasmSandbox::builder()
            .limits(limits)
            .tool(guests.join("calculator.wasm"), Grants::none())
            .tool(guests.join("hostile.wasm"), Grants::none())
            .build()
            .await?;
        Ok(Arc::new(sandbox))
    }

    fn example(&self) -> Example {
        Example::new(
            "calculator",
            json!({"expression": "(19.99 * 3 + 4.50) * 1.19"}),
            json!({"result": "76.7193", "exact": true}),
            json!({"expression": "1 +"}),
        )
    }
}

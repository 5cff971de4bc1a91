//! The suite of every language model, for the one that needs no service.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::LlmProvider;
use ironclaw_core::conformance::{Failure, LlmHarness, Suites};
use ironclaw_core::extractive::ExtractiveLlm;

fn main() -> ExitCode {
    Suites::new().llm("extractive", Extractive).run()
}

struct Extractive;

#[async_trait]
impl LlmHarness for Extractive {
    async fn open(&self) -> Result<Arc<dyn LlmProvider>, Failure> {
        Ok(Arc::new(ExtractiveLlm::new()))
    }
}

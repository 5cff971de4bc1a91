//! The suite of every language model: for the one that needs no service, and for those over the network in each
//! protocol, with services on this machine.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::LlmProvider;
use ironclaw_core::conformance::{Capability, Failure, LlmHarness, Says, Suites};
use ironclaw_core::extractive::ExtractiveLlm;

#[cfg(feature = "genai")]
#[path = "genai/loopback.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the other tests")]
mod loopback;
#[cfg(feature = "genai")]
#[path = "conformance/services.rs"]
mod services;

fn main() -> ExitCode {
    let suites = Suites::new().llm("extractive", Extractive);
    #[cfg(feature = "genai")]
    let suites = services::PROTOCOLS
        .into_iter()
        .fold(suites, |suites, (name, provider)| suites.llm(name, services::Served(provider)));
    suites.run()
}

struct Extractive;

#[async_trait]
impl LlmHarness for Extractive {
    async fn open(&self) -> Result<Arc<dyn LlmProvider>, Failure> {
        Ok(Arc::new(ExtractiveLlm::new()))
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[]
    }

    async fn serving(&self, _: Says) -> Result<Option<Arc<dyn LlmProvider>>, Failure> {
        Ok(None)
    }
}

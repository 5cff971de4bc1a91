//! The suites of every memory and every embedder that needs nothing from outside.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::conformance::{EmbedderHarness, Failure, MemoryHarness, Suites};
use ironclaw_core::{Embedder, Memory};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;

fn main() -> ExitCode {
    Suites::new().memory("hybrid", Hybrid).embedder("hash", Hash).run()
}

struct Hybrid;

#[async_trait]
impl MemoryHarness for Hybrid {
    async fn open(&self) -> Result<Arc<dyn Memory>, Failure> {
        Ok(Arc::new(HybridMemory::new(LibsqlStore::in_memory().await?, HashEmbedder::default())))
    }
}

struct Hash;

#[async_trait]
impl EmbedderHarness for Hash {
    async fn open(&self) -> Result<Arc<dyn Embedder>, Failure> {
        Ok(Arc::new(HashEmbedder::default()))
    }
}

//! The suites of every memory and every embedder that needs nothing from outside.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../ironclaw-store/tests/support/database.rs"]
mod database;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ironclaw_core::conformance::{EmbedderHarness, Failure, MemoryHarness, Suites};
use ironclaw_core::{Embedder, Memory};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::{LibsqlStore, PostgresStore};

use crate::database::{Database, app_url, unavailable};

fn main() -> ExitCode {
    Suites::new()
        .memory("hybrid", Hybrid)
        .memory("hybrid_on_postgres", OnPostgres::default())
        .embedder("hash", Hash)
        .run()
}

struct Hybrid;

#[async_trait]
impl MemoryHarness for Hybrid {
    async fn open(&self) -> Result<Arc<dyn Memory>, Failure> {
        Ok(Arc::new(HybridMemory::new(LibsqlStore::in_memory().await?, HashEmbedder::default())))
    }
}

/// Each in a database of its own.
#[derive(Default)]
struct OnPostgres(Mutex<Vec<Database>>);

#[async_trait]
impl MemoryHarness for OnPostgres {
    async fn open(&self) -> Result<Arc<dyn Memory>, Failure> {
        if let Some(missing) = unavailable(false) {
            return Err(Failure::unavailable(missing));
        }
        let database = Database::fresh().await;
        let store = PostgresStore::builder().max_connections(4).connect(&app_url(database.name())).await?;
        self.0.lock().unwrap().push(database);
        Ok(Arc::new(HybridMemory::new(store, HashEmbedder::default())))
    }
}

struct Hash;

#[async_trait]
impl EmbedderHarness for Hash {
    async fn open(&self) -> Result<Arc<dyn Embedder>, Failure> {
        Ok(Arc::new(HashEmbedder::default()))
    }
}

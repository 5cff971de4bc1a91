//! The suite of every store: on a server, on disk and in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod harness;

use std::process::ExitCode;

use ironclaw_core::conformance::Suites;

use crate::harness::{InMemory, OnDisk, Postgres};

fn main() -> ExitCode {
    Suites::new()
        .store("libsql", OnDisk::new())
        .store("libsql_in_memory", InMemory)
        .store("postgres", Postgres::direct())
        .store("pgbouncer", Postgres::pooled())
        .store_in_spaces("libsql_spaces", OnDisk::new())
        .store_in_spaces("postgres_spaces", Postgres::direct())
        .run()
}

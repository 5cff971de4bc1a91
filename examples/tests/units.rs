//! The quickstart's own unit tests: its modules, without its `main`. An example is built by `cargo test` as a program,
//! which the other tests run, and so not as a test of its own.

#![allow(dead_code, reason = "what only `main` uses is not used here")]

#[path = "../quickstart/failure.rs"]
mod failure;
#[path = "../quickstart/find.rs"]
mod find;
#[path = "../quickstart/forget.rs"]
mod forget;
#[path = "../quickstart/host.rs"]
mod host;
#[path = "../quickstart/ingest.rs"]
mod ingest;
#[path = "../quickstart/models.rs"]
mod models;
#[path = "../quickstart/output.rs"]
mod output;
#[path = "../quickstart/sources.rs"]
mod sources;
#[path = "../quickstart/worker.rs"]
mod worker;

//! What only a real server can show: who may do what, and what holds when processes are killed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod audit;
mod cancellation;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod migrations;
mod own;
mod pool;
mod raw;
mod replica;
mod roles;
mod row_security;
mod server_faults;
mod workload;

//! What only a real server can show: who may do what, and what holds when processes are killed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod audit;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod migrations;
mod pooler;
mod raw;
mod roles;
mod row_security;

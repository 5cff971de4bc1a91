//! Stores of every schema that landed open, migrate and verify, for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod check;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod frozen;
mod known;
mod make;
mod newer;
mod open;

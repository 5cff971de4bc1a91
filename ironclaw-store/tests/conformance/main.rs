//! The suite of every store, on disk and in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::process::ExitCode;

use ironclaw_core::conformance::Suites;

use crate::harness::{InMemory, OnDisk};

fn main() -> ExitCode {
    Suites::new().store("libsql", OnDisk::new()).store("libsql_in_memory", InMemory).run()
}

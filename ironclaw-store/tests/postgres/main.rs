//! What only a real server can show: who may do what, and what holds when processes are killed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod addresses;
mod audit;
mod bad_input;
mod cancellation;
mod copy;
mod credentials;
mod damage;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod definitions;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/library.rs"]
mod library;
mod migrations;
mod network;
mod own;
mod pool;
mod pooler;
mod raw;
mod replica;
mod roles;
mod row_security;
mod server_faults;
mod takeover;
mod text;
mod tls;
mod vectors;
mod vetting;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/watched.rs"]
mod watched;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    ironclaw_testing::run([
        addresses::tests(),
        audit::tests(),
        bad_input::tests(),
        cancellation::tests(),
        copy::tests(),
        credentials::tests(),
        damage::tests(),
        definitions::tests(),
        migrations::tests(),
        pool::tests(),
        pooler::tests(),
        replica::tests(),
        roles::tests(),
        row_security::tests(),
        server_faults::tests(),
        takeover::tests(),
        text::tests(),
        tls::tests(),
        vectors::tests(),
        vetting::tests(),
    ])
}

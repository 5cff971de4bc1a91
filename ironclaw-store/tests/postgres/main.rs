//! What only a real server can show: who may do what, and what holds when processes are killed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod addresses;
mod alike;
mod alone;
mod audit;
mod bad_input;
mod cancellation;
mod checking;
mod connecting;
mod copy;
mod credentials;
mod damage;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/database.rs"]
mod database;
mod definitions;
mod documented;
mod dumped;
mod executor;
mod fairness;
mod findings;
mod full;
mod kept;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/library.rs"]
mod library;
mod migrations;
mod network;
mod own;
mod own_indexes;
mod paths;
mod plans;
mod pool;
mod pooler;
mod raw;
mod refusals;
mod replica;
mod retention;
mod roles;
mod row_security;
mod server_faults;
mod session;
mod spaces;
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
        alike::tests(),
        alone::tests(),
        audit::tests(),
        bad_input::tests(),
        cancellation::tests(),
        checking::tests(),
        connecting::tests(),
        copy::tests(),
        credentials::tests(),
        damage::tests(),
        definitions::tests(),
        documented::tests(),
        dumped::tests(),
        executor::tests(),
        fairness::tests(),
        findings::tests(),
        full::tests(),
        kept::tests(),
        migrations::tests(),
        own_indexes::tests(),
        paths::tests(),
        plans::tests(),
        pool::tests(),
        pooler::tests(),
        refusals::tests(),
        replica::tests(),
        retention::tests(),
        roles::tests(),
        row_security::tests(),
        server_faults::tests(),
        takeover::tests(),
        session::tests(),
        spaces::tests(),
        text::tests(),
        tls::tests(),
        vectors::tests(),
        vetting::tests(),
    ])
}

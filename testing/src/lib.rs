#![doc = include_str!("../README.md")]
#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "what tests are made with grows with the tests, which are here too"
)]

mod address;
mod apt;
mod bouncer;
mod cache;
mod certificates;
mod cluster;
mod error;
mod harness;
mod install;
mod output;
mod postmaster;
mod program;
mod run;
mod server;
mod wheel;

pub use bouncer::PgBouncer;
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use error::ClusterError;
pub use harness::{Async, Body, Plain, Test, missing, need, run};
pub use server::{Mode, Server};

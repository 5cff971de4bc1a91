#![doc = include_str!("../README.md")]

mod address;
mod bouncer;
mod certificates;
mod cluster;
mod error;
mod install;
mod postmaster;
mod program;
mod run;
mod server;
mod wheel;

pub use bouncer::PgBouncer;
pub use certificates::Certificates;
pub use cluster::Cluster;
pub use error::ClusterError;
pub use server::{Mode, Server};

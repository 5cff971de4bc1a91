#![doc = include_str!("../README.md")]

mod address;
mod cluster;
mod error;
mod install;
mod postmaster;
mod program;
mod run;
mod wheel;

pub use cluster::Cluster;
pub use error::ClusterError;

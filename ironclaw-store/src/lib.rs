#![doc = include_str!("../README.md")]

#[cfg(feature = "libsql")]
mod libsql;

#[cfg(feature = "libsql")]
pub use crate::libsql::{LibsqlMaintenance, LibsqlStore, LibsqlStoreBuilder};

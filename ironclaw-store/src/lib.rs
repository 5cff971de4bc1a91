#![doc = include_str!("../README.md")]

#[cfg(feature = "libsql")]
mod codes;
#[cfg(feature = "libsql")]
mod cursor;
#[cfg(feature = "libsql")]
mod error;
#[cfg(feature = "libsql")]
mod libsql;
#[cfg(feature = "libsql")]
mod prepared;
#[cfg(feature = "libsql")]
mod random;
#[cfg(feature = "libsql")]
mod search;
#[cfg(feature = "libsql")]
mod system;

#[cfg(feature = "libsql")]
pub use crate::libsql::{LibsqlMaintenance, LibsqlStore, LibsqlStoreBuilder};

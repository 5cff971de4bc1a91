#![doc = include_str!("../README.md")]

#[cfg(any(feature = "libsql", feature = "postgres"))]
mod access;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod audit;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod change;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod codes;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod conversations;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod copy;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod cursor;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod damage;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod error;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod heavy;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod integrity;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod jobs;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod json;
#[cfg(feature = "libsql")]
mod libsql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod prepared;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod random;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod reserved;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod retention;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod search;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod secrets;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod settings;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod sql;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod system;
#[cfg(any(feature = "libsql", feature = "postgres"))]
mod workspace;

#[cfg(any(feature = "libsql", feature = "postgres"))]
pub use crate::copy::{Copied, CopiedTable, CopyProgress, Movable, Selection, copy_store, discard_unfinished_copies};
#[cfg(feature = "libsql")]
pub use crate::libsql::{LibsqlHealth, LibsqlMaintenance, LibsqlStore, LibsqlStoreBuilder};
#[cfg(feature = "postgres")]
pub use crate::postgres::{
    DropReason, DroppedIndex, IndexedVectors, PostgresMaintenance, PostgresStore, PostgresStoreBuilder,
};

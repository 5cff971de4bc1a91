//! The stores that the suite runs against.

mod libsql;
mod postgres;

pub(crate) use libsql::{InMemory, OnDisk};
pub(crate) use postgres::Postgres;

//! A hybrid memory on a real store.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod failures;
mod files;
mod search;
mod tools;

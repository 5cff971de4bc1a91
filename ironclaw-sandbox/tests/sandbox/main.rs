//! The sandbox with real guests, built from their sources, and with hand-written components that no compiler makes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
#[path = "../support/build.rs"]
mod build;
mod calls;
mod concurrency;
mod denied;
mod guests;
mod handwritten;
mod limits;
mod support;

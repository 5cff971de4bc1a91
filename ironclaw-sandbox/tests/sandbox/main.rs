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

use std::process::ExitCode;

fn main() -> ExitCode {
    ironclaw_testing::run([
        bad_input::tests(),
        calls::tests(),
        concurrency::tests(),
        denied::tests(),
        guests::tests(),
        limits::tests(),
    ])
}

//! Benchmarks of the IronClaw crates.

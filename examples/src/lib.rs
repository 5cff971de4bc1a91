//! Runnable hosts of the IronClaw crates.

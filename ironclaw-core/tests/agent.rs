//! The agent over a real store and a real memory. Only the model is scripted, where a test needs it to misbehave.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "agent/building.rs"]
mod building;
#[path = "agent/cancelling.rs"]
mod cancelling;
#[path = "agent/contents.rs"]
mod contents;
#[path = "agent/context.rs"]
mod context;
#[path = "agent/ending.rs"]
mod ending;
#[path = "agent/faults.rs"]
mod faults;
#[path = "agent/functions.rs"]
mod functions;
#[path = "agent/lying.rs"]
mod lying;
#[path = "agent/once.rs"]
mod once;
#[path = "agent/other.rs"]
mod other;
#[path = "agent/retrying.rs"]
mod retrying;
#[path = "agent/sending.rs"]
mod sending;
#[path = "agent/support.rs"]
mod support;
#[path = "agent/tools.rs"]
mod tools;

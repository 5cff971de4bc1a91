//! What the traits promise, as cases that every implementation runs.
//!
//! An implementor writes a harness (how to make a fresh instance, and what else can be done with one) and a test
//! target without the built-in test harness:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     Suites::new().store("libsql", LibsqlHarness::new()).run()
//! }
//! ```
//!
//! The cases have names like `libsql::jobs::claim_is_exclusive`, and the usual arguments (filters, `--exact`,
//! `--list`, `--test-threads`) work. A case that needs a [`Capability`] which the harness does not have is shown as
//! ignored, with the capability's name, and so is one whose harness answers [`Failure::unavailable`]. A case that hangs
//! fails.

mod case;
mod check;
mod child;
mod random;
mod run;
mod text;

pub mod embedder;
pub mod key_source;
pub mod llm;
pub mod memory;
pub mod sandbox;
pub mod store;
pub mod vault;

pub use case::Capability;
pub use check::Failure;
pub use embedder::EmbedderHarness;
pub use key_source::KeySourceHarness;
pub use llm::{LlmHarness, Says};
pub use memory::MemoryHarness;
pub use run::Suites;
pub use sandbox::SandboxHarness;
pub use store::StoreHarness;
pub use vault::VaultHarness;

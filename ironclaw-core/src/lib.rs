#![doc = include_str!("../README.md")]

pub mod agent;
pub mod audit;
pub mod change;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedder;
pub mod extractive;
#[cfg(feature = "genai")]
pub mod genai;
pub mod id;
pub mod input;
pub mod limits;
pub mod llm;
pub mod maintenance;
pub mod markdown;
pub mod memory;
pub mod model;
pub mod omission;
pub mod page;
pub mod prelude;
pub mod sandbox;
pub mod scope;
pub mod search;
pub mod secret;
pub mod settings;
pub mod store;
pub mod tool;
pub mod vault;

mod error;
mod forward;
mod hex;
mod line;
mod report;
mod setters;

pub use agent::Agent;
pub use change::{Change, Receipt};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use embedder::Embedder;
pub use error::BoxError;
pub use extractive::ExtractiveLlm;
pub use input::InputError;
pub use limits::Limits;
pub use llm::LlmProvider;
pub use maintenance::Maintenance;
pub use memory::{Memory, MemoryExt};
pub use page::{Cursor, Page, PageRequest};
pub use report::Report;
pub use sandbox::Sandbox;
pub use scope::{Owner, Principal, RequestContext, Scope};
pub use secret::SecretValue;
pub use store::{AgentStore, Apply, MemoryStore, SpaceExt, Store, StoreExt, VaultStore};
pub use tool::{FnTool, Tool};
pub use vault::{KeySource, Vault, VaultExt};

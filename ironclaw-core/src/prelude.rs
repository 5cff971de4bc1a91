//! What most hosts need, in one line: `use ironclaw_core::prelude::*;`.
//!
//! The traits are here for their methods, with the daily conveniences (`StoreExt`, `MemoryExt`, `VaultExt`). What names data
//! (ids, models, filters) and each trait's error stand in modules of their own.

pub use crate::agent::{Agent, AgentEvent, Reply, SendRequest};
pub use crate::change::Change;
pub use crate::clock::{Clock, SystemClock, Timestamp};
pub use crate::embedder::Embedder;
pub use crate::extractive::ExtractiveLlm;
pub use crate::input::InputError;
pub use crate::llm::LlmProvider;
pub use crate::maintenance::Maintenance;
pub use crate::memory::{Memory, MemoryExt, SearchQuery};
pub use crate::page::PageRequest;
pub use crate::report::Report;
pub use crate::sandbox::Sandbox;
pub use crate::scope::{Principal, RequestContext, Scope};
pub use crate::secret::SecretValue;
pub use crate::store::{AgentStore, Apply, MemoryStore, SpaceExt, Store, StoreExt, VaultStore};
pub use crate::tool::{FnTool, Tool, ToolError};
pub use crate::vault::{KeySource, Vault, VaultExt};

#![doc = include_str!("../README.md")]

mod builder;
mod call;
mod component;
pub mod components;
mod engine;
mod gate;
mod grants;
mod limits;
mod log;
mod memory;
mod sandbox;
mod shared;
mod state;
mod stop;
mod ticker;
mod tool;
mod wit;

pub use builder::SandboxBuilder;
pub use grants::Grants;
pub use limits::SandboxLimits;
pub use sandbox::WasmSandbox;

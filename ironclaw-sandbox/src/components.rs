//! Components that come with this crate, built from `guests/` of its repository.

/// An exact decimal calculator: takes `{"expression": "0.1 + 0.2"}`, answers `{"result": "0.3", "exact": true}`.
///
/// It needs no grant. `components/README.md` has its SHA-256 and the command that builds it.
pub const CALCULATOR: &[u8] = include_bytes!("../components/calculator.wasm");

/// A tool that does nothing and answers `null`: for measuring what a call costs by itself.
pub const NOOP: &[u8] = include_bytes!("../components/noop.wasm");

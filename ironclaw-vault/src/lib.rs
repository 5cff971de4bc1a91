#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

// Depended on only to turn their wiping of memory on.
use blake2 as _;
use hmac as _;
use poly1305 as _;

mod associated;
mod envelope;
mod error;
mod hex;
mod host;
mod key;
mod options;
mod seal;
mod source;

pub use envelope::EnvelopeVault;
pub use options::VaultOptions;
#[cfg(feature = "keychain")]
pub use source::Keychain;
pub use source::{EnvironmentKey, KeyFile, Passphrase, PassphraseCost};

#![doc = include_str!("../README.md")]

mod chunk;
mod embed;
mod error;
mod fusion;
mod hybrid;
mod options;
mod tools;

pub use chunk::{Chunker, Format};
pub use embed::HashEmbedder;
#[cfg(feature = "model2vec")]
pub use embed::StaticEmbedder;
#[cfg(feature = "http")]
pub use embed::{HttpEmbedder, HttpEmbedderBuilder};
pub use hybrid::{HybridMemory, NewFile};
pub use options::Options;

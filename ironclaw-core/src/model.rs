//! The domain types, one module for each category of data.

pub mod access;
pub mod audit;
pub mod content;
pub mod conversations;
pub mod jobs;
pub mod privacy;
pub mod secrets;
pub mod settings;
pub mod spaces;
pub mod workspace;

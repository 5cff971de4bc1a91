//! What operators change and see.

mod apply;
mod read;

#[cfg(feature = "postgres")]
pub(crate) use apply::{append, find};
pub(crate) use apply::{apply, record_failure};

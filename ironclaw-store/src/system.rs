//! What operators change and see.

mod apply;
mod read;

#[cfg(feature = "postgres")]
pub(crate) use apply::find;
pub(crate) use apply::{append, apply, record_failure};

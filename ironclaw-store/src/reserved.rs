//! Tenants that no id can name, so that nobody meets what is kept under them.

/// Of unfinished copies, each under its chain's id.
pub(crate) const STAGED: &str = "\u{1}copy";

/// Of the numbers that content is kept under.
pub(crate) const CONTENT: &str = "\u{1}content";

/// Of users who are being erased, whose name is free.
pub(crate) const ERASED: &str = "\u{1}erased";

/// What no reserved tenant comes after, in the order of bytes.
pub(crate) const FIRST_TENANT: &str = "\u{2}";

/// All of them.
pub(crate) const TENANTS: [&str; 3] = [STAGED, CONTENT, ERASED];

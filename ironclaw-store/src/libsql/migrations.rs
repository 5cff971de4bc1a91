//! The schema of the file, from one version to the next.

use ironclaw_core::search::ANALYSIS_VERSION;
use ironclaw_core::store::{StoreError, StoreErrorKind};

/// The text of a migration never changes after it was released. Another analysis of texts ([`ANALYSIS_VERSION`]) comes
/// with a migration, so that a store that is open notices.
pub(super) const ALL: &[&str] = &[
    concat!(
        include_str!("schema/0001/users.sql"),
        include_str!("schema/0001/conversations.sql"),
        include_str!("schema/0001/workspace.sql"),
        include_str!("schema/0001/jobs.sql"),
        include_str!("schema/0001/secrets.sql"),
        include_str!("schema/0001/access.sql"),
        include_str!("schema/0001/settings.sql"),
        include_str!("schema/0001/audit.sql"),
        include_str!("schema/0001/privacy.sql"),
    ),
    concat!(include_str!("schema/0002/removal.sql"), include_str!("schema/0002/receipts.sql")),
    include_str!("schema/0003/retention.sql"),
    concat!(include_str!("schema/0004/names.sql"), include_str!("schema/0004/retention.sql")),
    include_str!("schema/0005/spaces.sql"),
];

/// The error that says that a newer version wrote the file.
pub(super) fn newer(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::NewerSchema,
        operation,
        format!("this version knows schema {} and analysis {ANALYSIS_VERSION}; use a newer one", ALL.len()),
    )
}

//! What no single user's scope can do.

use async_trait::async_trait;

use crate::change::Receipt;
use crate::clock::Timestamp;
use crate::forward::forward;
use crate::id::{SpaceName, TenantId};
use crate::model::access::User;
use crate::model::audit::{AuditCheckpoint, AuditEntry, ChainHead};
use crate::model::privacy::{Erasure, Hold, RetentionPolicy};
use crate::model::spaces::{Membership, Space};
use crate::page::{Page, PageRequest};
use crate::store::StoreError;

mod change;

pub use change::SystemChange;

/// The admin plane of a store, reached with an operator's credential: for an embedded store whoever may open the
/// file, for PostgreSQL a role of its own.
///
/// Every call is audited on the chain `system`, under the operator's name, in the commit of what it does.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// store.put_setting(&ada, "theme", "dark".into()).await?;
/// let operator = store.maintenance_by("olga")?;
/// assert_eq!(operator.users(&PageRequest::default()).await?.items.len(), 1);
/// assert!(operator.check_integrity().await?.is_empty());
/// operator.verify_audit().await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Maintenance: Send + Sync + std::fmt::Debug {
    /// Commits a system change with its audit event, or nothing.
    ///
    /// Dropping the future leaves the change either whole or not begun.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError>;

    /// The tenants' users, ordered by tenant and id.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError>;

    /// The tenants' spaces, ordered by tenant and name.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn spaces(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError>;

    /// The memberships of a space that were in force at a time (ever, if absent), in the order of their ids; none of a space
    /// that is not there. Those of users who were erased are gone.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn members(
        &self,
        tenant: &TenantId,
        space: &SpaceName,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError>;

    /// The legal holds, released ones included, oldest first.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError>;

    /// The retention policies, ordered by tenant and category.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError>;

    /// The erasures, oldest first.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError>;

    /// The chain `system`, oldest first.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError>;

    /// The checkpoints of the log, oldest first.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError>;

    /// Verifies every chain of the log, the system's included, and gives their heads.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt), which names the streams of all chains that were
    /// changed (as 32 hexadecimal digits), with the first break as its cause.
    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError>;

    /// Deletes what retention policies no longer keep, except what a legal hold protects. How many conversations, jobs and
    /// files were deleted. It costs what it deletes, not what stays; what deletes nothing leaves no event.
    ///
    /// # Errors
    /// A [`StoreError`]; what was deleted before it stays deleted.
    async fn apply_retention(&self) -> Result<u64, StoreError>;

    /// Makes what was deleted unrecoverable from the store's own files: removes what deleting left behind, and
    /// rewrites or empties the files that still hold its bytes.
    ///
    /// # Errors
    /// A [`StoreError`]. That another process prevents it is no error: the report says what is pending.
    async fn scrub(&self) -> Result<Scrubbed, StoreError>;

    /// Checks the store's own consistency: the database's structure, what every column of every row holds, references
    /// between rows, search indexes against their texts, contents against their hashes, the audit chains. What is
    /// wrong, in words that name table, column and row without a user's content; empty if nothing is. At most ten rows
    /// are named of each kind, and the others counted. Writers may go on meanwhile.
    ///
    /// # Errors
    /// A [`StoreError`] if the check itself could not be made. Damage is no error of the check.
    async fn check_integrity(&self) -> Result<Vec<String>, StoreError>;
}

forward! {
    Maintenance:
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError>;
    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError>;
    async fn spaces(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError>;
    async fn members(&self, tenant: &TenantId, space: &SpaceName, at: Option<Timestamp>, page: &PageRequest) -> Result<Page<Membership>, StoreError>;
    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError>;
    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError>;
    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError>;
    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError>;
    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError>;
    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError>;
    async fn apply_retention(&self) -> Result<u64, StoreError>;
    async fn scrub(&self) -> Result<Scrubbed, StoreError>;
    async fn check_integrity(&self) -> Result<Vec<String>, StoreError>;
}

/// What a scrub did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrubbed {
    /// What could not be done yet and why, in words; empty when no deleted byte is left.
    pub pending: Vec<String>,
}

impl Scrubbed {
    /// A scrub that left this to be done.
    pub fn new(pending: Vec<String>) -> Self {
        Self { pending }
    }
}

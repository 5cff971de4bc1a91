use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::model::audit::{AuditEntry, AuditFilter, ChainHead};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads the owner's audit trail.
///
/// Every method fails with a [`StoreError`] only when the store itself does. Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::model::audit::AuditFilter;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// store.put_setting(&ada, "theme", "dark".into()).await?;
/// let events = store.audit().events(&ada, &AuditFilter::default(), &PageRequest::default()).await?.items;
/// assert_eq!(events.len(), 1);
/// let head = store.audit().verify(&ada).await?;
/// assert_eq!(head, store.audit().head(&ada).await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Audit: Send + Sync {
    /// The owner's events, oldest first.
    async fn events(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError>;

    /// The end of the owner's chain, or `None` if nothing was ever audited for them.
    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;

    /// Reads the owner's whole chain again and recomputes every hash and every commitment whose private part is
    /// there. The head, or `None` if there is no chain.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`](super::StoreErrorKind::Corrupt) with a
    /// [`ChainError`](crate::audit::ChainError) as its [cause](super::StoreError::cause).
    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;
}

forward! {
    Audit audit:
    async fn events(&self, scope: &Scope, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError>;
    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;
    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;
}

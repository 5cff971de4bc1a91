use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::model::audit::{AuditEntry, AuditFilter, ChainHead};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads the owner's audit trail.
///
/// Every method fails with a [`StoreError`] only when the store itself does. Dropping a future has no effect.
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
    Audit:
    async fn events(&self, scope: &Scope, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError>;
    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;
    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError>;
}

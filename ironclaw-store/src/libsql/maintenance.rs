//! The admin plane.

use async_trait::async_trait;
use ironclaw_core::Maintenance;
use ironclaw_core::id::{OperatorName, SpaceName, TenantId};
use ironclaw_core::maintenance::{Scrubbed, SystemChange};
use ironclaw_core::model::access::User;
use ironclaw_core::model::audit::{AuditCheckpoint, AuditEntry, ChainHead};
use ironclaw_core::model::privacy::{Erasure, Hold, RetentionPolicy};
use ironclaw_core::model::spaces::{Membership, Space};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, PageRequest, Receipt, Timestamp};

use super::db::Db;
use super::tx::{Tx, at_once};
use super::{LibsqlStore, wait};
use crate::error::is_of_the_change;
use crate::system;

mod integrity;
mod retention;
mod scrub;

#[cfg(test)]
pub(super) use integrity::check_here;

/// The admin plane of a [`LibsqlStore`], by [`LibsqlStore::maintenance`].
#[derive(Debug, Clone)]
pub struct LibsqlMaintenance {
    store: LibsqlStore,
    operator: OperatorName,
}

impl LibsqlMaintenance {
    pub(super) fn new(store: LibsqlStore, operator: OperatorName) -> Self {
        Self { store, operator }
    }

    pub(super) fn store(&self) -> &LibsqlStore {
        &self.store
    }

    pub(super) fn operator(&self) -> &OperatorName {
        &self.operator
    }
}

#[async_trait]
impl Maintenance for LibsqlMaintenance {
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        const OPERATION: &str = "apply_system";
        let (operator, now) = (self.operator.clone(), self.store.engine().now());
        let limits = self.store.limits().clone();
        let erasure = match &change {
            SystemChange::EraseUser { id, .. } => Some(*id),
            _ => None,
        };
        let call = move |db: &Db| {
            let tx = Tx::of_all(db, now, &limits);
            let result = change
                .validate()
                .map_err(|error| StoreError::invalid_input(OPERATION, error))
                .and_then(|()| db.write(|| at_once(&tx, system::apply(&tx, operator.as_str(), &change))));
            if let Err(error) = &result
                && is_of_the_change(error)
            {
                // What failed must be in the trail before its caller hears of it.
                db.write(|| at_once(&tx, system::record_failure(&tx, operator.as_str(), &change, error.kind())))?;
            }
            result
        };
        let engine = self.store.engine();
        let receipt = match erasure {
            Some(_) => engine.delete(OPERATION, call).await?,
            None => engine.write(OPERATION, call).await?,
        };
        let Some(erasure) = erasure else {
            return Ok(receipt);
        };
        self.store.vectors.clear();
        let rows = wait::erased(engine, OPERATION, erasure).await?;
        Ok(Receipt::new(receipt.at, rows.into_iter().collect()).replayed(receipt.replayed))
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        self.store.categories.users(page).await
    }

    async fn spaces(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError> {
        self.store.categories.spaces_of_all(page).await
    }

    async fn members(
        &self,
        tenant: &TenantId,
        space: &SpaceName,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError> {
        self.store.categories.members_of(tenant, space, at, page).await
    }

    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        self.store.categories.holds(page).await
    }

    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.store.categories.retention_policies("retention_policies").await
    }

    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        self.store.categories.erasures(page).await
    }

    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        self.store.categories.system_events(page).await
    }

    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        self.store.categories.checkpoints(page).await
    }

    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        self.store.categories.verify_audit().await
    }

    async fn apply_retention(&self) -> Result<u64, StoreError> {
        retention::apply(&self.store, &self.operator).await
    }

    async fn scrub(&self) -> Result<Scrubbed, StoreError> {
        self.store.vectors.clear();
        scrub::scrub(&self.store).await
    }

    async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        integrity::check(&self.store).await
    }
}

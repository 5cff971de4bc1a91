//! The admin plane.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::Maintenance;
use ironclaw_core::id::{OperatorName, SpaceName, TenantId};
use ironclaw_core::maintenance::{Scrubbed, SystemChange};
use ironclaw_core::model::access::User;
use ironclaw_core::model::audit::{AuditCheckpoint, AuditEntry, ChainHead};
use ironclaw_core::model::privacy::{Erasure, Hold, RetentionPolicy};
use ironclaw_core::model::spaces::{Membership, Space};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, PageRequest, Receipt, Timestamp};

use super::engine::{Engine, Reach};
use super::error::of_the_change;
use super::tx::Tx;
use crate::error::is_of_the_change;
use crate::sql::{Absent, Categories, Freshness};
use crate::system;

mod integrity;
mod retention;
mod scrub;
mod vectors;

/// The name that errors give to [`Maintenance::apply_system`].
const APPLY_SYSTEM: &str = "apply_system";

/// The admin plane of a [`PostgresStore`](super::PostgresStore), reached as a role of its own: a member of
/// `ironclaw_owner`.
///
/// The application has no such connection: what it can't do in one user's scope, it can't do. The operator's name is
/// audited with what is done.
#[derive(Debug, Clone)]
pub struct PostgresMaintenance {
    categories: Categories<Arc<Engine>>,
    operator: OperatorName,
    vector_indexes: u32,
}

impl PostgresMaintenance {
    /// Closes the connections, after the calls that were taken are done. Every call after it fails.
    pub async fn close(&self) {
        self.engine().close().await;
    }

    pub(super) fn new(engine: Arc<Engine>, operator: OperatorName, vector_indexes: u32) -> Self {
        Self { categories: Categories(engine), operator, vector_indexes }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.categories.0
    }

    pub(super) fn operator(&self) -> &OperatorName {
        &self.operator
    }

    /// Does what takes long, and what one operator does at a time, in a task of its own.
    async fn alone<T, F>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl FnOnce(Self) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let work = work(self.clone());
        self.engine().alone(operation, &self.operator, key, |_| work).await
    }

    /// Commits a change with its event, or the event that says why not.
    async fn change(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        let arguments = (self.operator.clone(), Arc::new(change));
        let applied = match arguments.1.validate() {
            Ok(()) => {
                self.engine()
                    .write(APPLY_SYSTEM, reach(&arguments.1), false, arguments.clone(), |tx, (operator, change)| {
                        async move { system::apply(tx, operator.as_str(), &change).await.map_err(of_the_change) }
                            .boxed()
                    })
                    .await
            }
            Err(error) => Err(StoreError::invalid_input(APPLY_SYSTEM, error)),
        };
        if let Err(error) = &applied
            && is_of_the_change(error)
        {
            // What failed must be in the trail before its caller hears of it.
            let (operator, change) = arguments;
            self.write(APPLY_SYSTEM, (operator, change, error.kind().clone()), |tx, (operator, change, kind)| {
                async move { system::record_failure(tx, operator.as_str(), &change, &kind).await }.boxed()
            })
            .await?;
        }
        applied
    }

    /// Reads one snapshot of everything.
    pub(super) async fn read<A, T, F>(&self, operation: &'static str, arguments: A, read: F) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.engine().read(operation, Reach::All, Freshness::Recent, arguments, read).await
    }

    /// Writes in one transaction.
    pub(super) async fn write<A, T, F>(&self, operation: &'static str, arguments: A, write: F) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.engine().write(operation, Reach::All, false, arguments, write).await
    }
}

#[async_trait]
impl Maintenance for PostgresMaintenance {
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        match &change {
            SystemChange::EraseUser { tenant, owner, .. } => {
                let key = format!("erase {tenant}\n{}", owner.key());
                self.alone(APPLY_SYSTEM, &key, |maintenance| async move { maintenance.change(change).await }).await
            }
            _ => self.change(change).await,
        }
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        self.categories.users(page).await
    }

    async fn spaces(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError> {
        self.categories.spaces_of_all(page).await
    }

    async fn members(
        &self,
        tenant: &TenantId,
        space: &SpaceName,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError> {
        self.categories.members_of(tenant, space, at, page).await
    }

    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        self.categories.holds(page).await
    }

    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.categories.retention_policies("retention_policies").await
    }

    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        self.categories.erasures(page).await
    }

    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        self.categories.system_events(page).await
    }

    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        self.categories.checkpoints(page).await
    }

    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        self.categories.verify_audit().await
    }

    async fn apply_retention(&self) -> Result<u64, StoreError> {
        self.alone(
            "apply_retention",
            "apply_retention",
            |maintenance| async move { retention::apply(&maintenance).await },
        )
        .await
    }

    async fn scrub(&self) -> Result<Scrubbed, StoreError> {
        self.alone("scrub", "scrub", |maintenance| async move { scrub::scrub(&maintenance).await }).await
    }

    async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        integrity::check(self).await
    }
}

/// Whom a change is about: its calls wait for each other, before they have connections that others need.
fn reach(change: &SystemChange) -> Reach {
    match change {
        SystemChange::PutUser { tenant, owner, .. } => Reach::About(tenant.clone(), owner.clone().into()),
        SystemChange::PutQuota { tenant, owner, .. } | SystemChange::EraseUser { tenant, owner, .. } => {
            Reach::About(tenant.clone(), owner.clone())
        }
        SystemChange::AppointManager { tenant, space, .. } => Reach::About(tenant.clone(), space.clone().into()),
        SystemChange::PlaceHold { hold } => Reach::About(hold.tenant.clone(), hold.owner.clone()),
        _ => Reach::All,
    }
}

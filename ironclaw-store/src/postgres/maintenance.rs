//! The admin plane.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::Maintenance;
use ironclaw_core::id::{ErasureId, HoldId, OperatorName, TenantId};
use ironclaw_core::maintenance::{Scrubbed, SystemChange};
use ironclaw_core::model::access::User;
use ironclaw_core::model::audit::{AuditCheckpoint, AuditEntry, ChainHead};
use ironclaw_core::model::privacy::{Erasure, Hold, RetentionPolicy};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, PageRequest, Receipt};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::builder::PostgresStoreBuilder;
use super::engine::{Engine, Reach, Wait};
use super::entity::{audit_checkpoints, erasures};
use super::error::of_the_change;
use super::row::{Row, params};
use super::tx::Tx;
use super::{audit, workspace};
use crate::codes;
use crate::cursor;
use crate::error::is_of_the_change;
use crate::reserved::STAGED;
use crate::sql::{Absent, Freshness};
use crate::system;

mod integrity;
mod retention;
mod scrub;

/// The name that errors give to [`Maintenance::apply_system`].
const APPLY_SYSTEM: &str = "apply_system";

/// The admin plane of a [`PostgresStore`](super::PostgresStore), reached as a role of its own: a member of
/// `ironclaw_owner`.
///
/// The application has no such connection: what it can't do in one user's scope, it can't do. The operator's name is
/// audited with what is done.
#[derive(Debug, Clone)]
pub struct PostgresMaintenance {
    engine: Arc<Engine>,
    operator: OperatorName,
    vector_indexes: u32,
}

impl PostgresMaintenance {
    /// Connects as an operator, with the defaults of [`PostgresStoreBuilder`].
    ///
    /// # Errors
    /// As [`PostgresStoreBuilder::connect_maintenance`].
    pub async fn connect(url: &str, operator: OperatorName) -> Result<Self, StoreError> {
        PostgresStoreBuilder::default().connect_maintenance(url, operator).await
    }

    /// Makes an index over the vectors of each user who has so many of one embedding model that it is faster than comparing
    /// all, those with the most first, up to [`vector_indexes`](PostgresStoreBuilder::vector_indexes); drops the indexes that
    /// are none of these any more. Writers go on meanwhile, and it waits for transactions that began before it, such as a
    /// dump. How many indexes were made.
    ///
    /// Without an index all vectors are compared: nothing is missed, but it takes longer the more a user has (some 0.6 ms for
    /// each thousand of 384 dimensions). An index holds one user's rows, so that what others write changes nothing of what is
    /// found through it. Call it when users have got tens of thousands of chunks, or every night: where there is nothing to
    /// do it takes milliseconds.
    ///
    /// One operator makes indexes at a time: a second waits as long as [`lock_timeout`](PostgresStoreBuilder::lock_timeout)
    /// says. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy), with who it is and since when, if another operator makes
    /// them. Otherwise a [`StoreError`]; indexes that were made before it stay, and what was left unfinished is made anew
    /// next time.
    pub async fn index_vectors(&self) -> Result<u64, StoreError> {
        const OPERATION: &str = "index_vectors";
        self.alone(OPERATION, OPERATION, |maintenance| async move {
            let statements = maintenance
                .read(OPERATION, maintenance.vector_indexes, |tx, most| {
                    async move { workspace::index_statements(tx, most).await }.boxed()
                })
                .await?;
            let made = statements.iter().filter(|statement| statement.starts_with("CREATE")).count() as u64;
            // To make an index without keeping writers off, the server waits for the transactions that are under way.
            for result in maintenance.engine.run_each(OPERATION, Wait::AsLongAsNeeded, statements).await? {
                result?;
            }
            Ok(made)
        })
        .await
    }

    /// Closes the connections, after the calls that were taken are done. Every call after it fails.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    pub(super) fn new(engine: Arc<Engine>, operator: OperatorName, vector_indexes: u32) -> Self {
        Self { engine, operator, vector_indexes }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
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
        self.engine.alone(operation, &self.operator, key, work(self.clone())).await
    }

    /// Commits a change with its event, or the event that says why not.
    async fn change(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        let arguments = (self.operator.clone(), Arc::new(change));
        let applied = match system::check(APPLY_SYSTEM, &arguments.1) {
            Ok(()) => {
                self.engine
                    .write(APPLY_SYSTEM, reach(&arguments.1), false, arguments.clone(), |tx, (operator, change)| {
                        async move { system::apply(tx, operator.as_str(), &change).await.map_err(of_the_change) }
                            .boxed()
                    })
                    .await
            }
            Err(error) => Err(error),
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
        self.engine.read(operation, Reach::All, Freshness::Recent, arguments, read).await
    }

    /// Writes in one transaction.
    pub(super) async fn write<A, T, F>(&self, operation: &'static str, arguments: A, write: F) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.engine.write(operation, Reach::All, false, arguments, write).await
    }
}

#[async_trait]
impl Maintenance for PostgresMaintenance {
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        match &change {
            SystemChange::EraseUser { tenant, owner, .. } => {
                let key = format!("erase {tenant}\n{owner}");
                self.alone(APPLY_SYSTEM, &key, |maintenance| async move { maintenance.change(change).await }).await
            }
            _ => self.change(change).await,
        }
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        let after: Option<(String, String)> = cursor::after("users", page)?;
        self.read("users", (after, page.clone()), |tx, (after, page)| {
            async move {
                let (tenant, owner) = after.unwrap_or_default();
                let items = tx
                    .query(
                        "SELECT u.tenant, u.owner, u.status, u.created_at, u.updated_at, \
                         ARRAY(SELECT r.role FROM ironclaw.user_roles r WHERE r.owner_no = u.owner_no ORDER BY r.role) \
                         FROM ironclaw.users u WHERE (u.tenant, u.owner) > ($1, $2) AND u.tenant <> $4 \
                         ORDER BY u.tenant, u.owner LIMIT $3",
                        params![tenant, owner, cursor::rows(&page), STAGED],
                        user,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |(tenant, user)| (tenant.to_string(), user.id.to_string())))
            }
            .boxed()
        })
        .await
    }

    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        let after: Option<u64> = cursor::after("holds", page)?;
        self.read("holds", (after, page.clone()), |tx, (after, page)| {
            async move {
                let items = tx
                    .query(
                        "SELECT h.hold_no, h.id, u.tenant, u.owner, h.reason, h.created_at, h.released_at \
                         FROM ironclaw.holds h JOIN ironclaw.users u ON u.owner_no = h.owner_no \
                         WHERE h.hold_no > $1 AND u.tenant <> $3 ORDER BY h.hold_no LIMIT $2",
                        params![after.unwrap_or(0), cursor::rows(&page), STAGED],
                        hold,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |(hold_no, _)| *hold_no).map(|(_, hold)| hold))
            }
            .boxed()
        })
        .await
    }

    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.read("retention_policies", (), |tx, ()| async move { retention::policies(tx).await }.boxed()).await
    }

    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        let after: Option<u64> = cursor::after("erasures", page)?;
        self.read("erasures", (after, page.clone()), |tx, (after, page)| {
            async move {
                let rows = erasures::Entity::find()
                    .filter(erasures::Column::ErasureNo.gt(after.unwrap_or(0).cast_signed()))
                    .order_by_asc(erasures::Column::ErasureNo)
                    .limit(cursor::rows(&page).cast_unsigned())
                    .all(tx)
                    .await
                    .map_err(|error| tx.orm(error))?;
                let items = rows.into_iter().map(|row| erasure(tx, row)).collect::<Result<_, _>>()?;
                Ok(cursor::page(&page, items, |(erasure_no, _)| *erasure_no).map(|(_, erasure)| erasure))
            }
            .boxed()
        })
        .await
    }

    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let after: Option<u64> = cursor::after("system_events", page)?;
        self.read("system_events", (after, page.clone()), |tx, (after, page)| {
            async move { audit::system_events(tx, after, &page).await }.boxed()
        })
        .await
    }

    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        let after: Option<u64> = cursor::after("checkpoints", page)?;
        self.read("checkpoints", (after, page.clone()), |tx, (after, page)| {
            async move {
                let rows = audit_checkpoints::Entity::find()
                    .filter(audit_checkpoints::Column::Size.gt(after.map_or(-1, u64::cast_signed)))
                    .order_by_asc(audit_checkpoints::Column::Size)
                    .limit(cursor::rows(&page).cast_unsigned())
                    .all(tx)
                    .await
                    .map_err(|error| tx.orm(error))?;
                let items = rows.into_iter().map(|row| checkpoint(tx, row)).collect::<Result<_, _>>()?;
                Ok(cursor::page(&page, items, |checkpoint: &AuditCheckpoint| checkpoint.size))
            }
            .boxed()
        })
        .await
    }

    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        self.read("verify_audit", (), |tx, ()| async move { audit::verify_all(tx).await }.boxed()).await
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
        SystemChange::PutUser { tenant, owner, .. }
        | SystemChange::PutQuota { tenant, owner, .. }
        | SystemChange::EraseUser { tenant, owner, .. } => Reach::About(tenant.clone(), owner.clone()),
        SystemChange::PlaceHold { hold } => Reach::About(hold.tenant.clone(), hold.owner.clone()),
        _ => Reach::All,
    }
}

fn user(row: &Row<'_>) -> Result<(TenantId, User), StoreError> {
    let roles = row.array::<String>(5)?.into_iter().map(|role| role.parse().map_err(|_| row.corrupt(5)));
    let user = User {
        id: row.parsed(1)?,
        status: row.code(2, codes::user_status)?,
        roles: roles.collect::<Result<_, _>>()?,
        created_at: row.time(3)?,
        updated_at: row.time(4)?,
    };
    Ok((row.parsed(0)?, user))
}

fn hold(row: &Row<'_>) -> Result<(u64, Hold), StoreError> {
    let hold = Hold {
        id: HoldId::from_bytes(row.id(1)?),
        tenant: row.parsed(2)?,
        owner: row.parsed(3)?,
        reason: row.text(4)?,
        created_at: row.time(5)?,
        released_at: row.optional(6, Row::time)?,
    };
    Ok((row.count(0)?, hold))
}

fn erasure(tx: &Tx, row: erasures::Model) -> Result<(u64, Erasure), StoreError> {
    let erasure = Erasure {
        id: ErasureId::from_bytes(row.id.into_bytes()),
        stream: row.stream.try_into().map_err(|_| tx.corrupt("erasures.stream"))?,
        rows: row.deleted_rows.cast_unsigned(),
        created_at: row.created_at.0,
    };
    Ok((row.erasure_no.cast_unsigned(), erasure))
}

fn checkpoint(tx: &Tx, row: audit_checkpoints::Model) -> Result<AuditCheckpoint, StoreError> {
    Ok(AuditCheckpoint {
        size: row.size.cast_unsigned(),
        root: row.root.try_into().map_err(|_| tx.corrupt("audit_checkpoints.root"))?,
        note: row.note,
        created_at: row.created_at.0,
    })
}

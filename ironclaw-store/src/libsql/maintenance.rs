//! The admin plane.

use async_trait::async_trait;
use ironclaw_core::Maintenance;
use ironclaw_core::id::{ErasureId, HoldId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::{Scrubbed, SystemChange};
use ironclaw_core::model::access::User;
use ironclaw_core::model::audit::{AuditCheckpoint, AuditEntry, ChainHead};
use ironclaw_core::model::privacy::{Erasure, Hold, RetentionPolicy};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, PageRequest, Receipt};

use super::db::Db;
use super::row::{Row, params};
use super::tx::{Tx, at_once};
use super::{LibsqlStore, audit, cursor, removal};
use crate::codes;
use crate::error::is_of_the_change;
use crate::system;

mod integrity;
mod retention;
mod scrub;

pub(super) use integrity::Looked;
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
            let result = system::check(OPERATION, &change)
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
        let rows = removal::erased(engine, OPERATION, erasure).await?;
        Ok(Receipt { numbers: rows.into_iter().collect(), ..receipt })
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        let after: Option<(String, String)> = cursor::after("users", page)?;
        let page = page.clone();
        self.store
            .read_any("users", move |db| {
                let (tenant, owner) = after.unwrap_or_default();
                let items = db.query(
                    "SELECT u.tenant, u.owner, u.status, u.created_at, u.updated_at, (SELECT json_group_array(role) \
                     FROM (SELECT role FROM user_roles r WHERE r.owner_no = u.owner_no ORDER BY role)) FROM users u \
                     WHERE (u.tenant, u.owner) > (?1, ?2) AND u.tenant >= char(2) ORDER BY u.tenant, u.owner LIMIT ?3",
                    params![tenant, owner, cursor::rows(&page)],
                    |row| {
                        let user = User {
                            id: row.parsed(1)?,
                            status: row.code(2, codes::user_status)?,
                            roles: row.json(5)?,
                            created_at: row.time(3)?,
                            updated_at: row.time(4)?,
                        };
                        Ok((row.parsed::<TenantId>(0)?, user))
                    },
                )?;
                Ok(cursor::page(&page, items, |(tenant, user)| (tenant.to_string(), user.id.to_string())))
            })
            .await
    }

    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        let after: Option<u64> = cursor::after("holds", page)?;
        let page = page.clone();
        self.store
            .read_any("holds", move |db| {
                let items = db.query(
                    "SELECT h.hold_no, h.id, u.tenant, u.owner, h.reason, h.created_at, h.released_at FROM holds h \
                     JOIN users u ON u.owner_no = h.owner_no WHERE h.hold_no > ?1 AND u.tenant >= char(2) \
                     ORDER BY h.hold_no LIMIT ?2",
                    params![after.unwrap_or(0), cursor::rows(&page)],
                    |row| {
                        let hold = Hold {
                            id: HoldId::from_bytes(row.bytes(1)?),
                            tenant: row.parsed(2)?,
                            owner: row.parsed::<UserId>(3)?,
                            reason: row.text(4)?,
                            created_at: row.time(5)?,
                            released_at: row.optional(6, Row::time)?,
                        };
                        Ok((row.count(0)?, hold))
                    },
                )?;
                Ok(cursor::page(&page, items, |(hold_no, _)| *hold_no).map(|(_, hold)| hold))
            })
            .await
    }

    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.store.read_any("retention_policies", retention::policies).await
    }

    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        let after: Option<u64> = cursor::after("erasures", page)?;
        let page = page.clone();
        self.store
            .read_any("erasures", move |db| {
                let items = db.query(
                    "SELECT erasure_no, id, stream, deleted_rows, created_at FROM erasures \
                     WHERE erasure_no > ?1 ORDER BY erasure_no LIMIT ?2",
                    params![after.unwrap_or(0), cursor::rows(&page)],
                    |row| {
                        let erasure = Erasure {
                            id: ErasureId::from_bytes(row.bytes(1)?),
                            stream: row.bytes(2)?,
                            rows: row.count(3)?,
                            created_at: row.time(4)?,
                        };
                        Ok((row.count(0)?, erasure))
                    },
                )?;
                Ok(cursor::page(&page, items, |(erasure_no, _)| *erasure_no).map(|(_, erasure)| erasure))
            })
            .await
    }

    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let after: Option<u64> = cursor::after("system_events", page)?;
        let page = page.clone();
        self.store.read_any("system_events", move |db| audit::system_events(db, after, &page)).await
    }

    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        let after: Option<u64> = cursor::after("checkpoints", page)?;
        let page = page.clone();
        self.store
            .read_any("checkpoints", move |db| {
                let items = db.query(
                    "SELECT size, root, note, created_at FROM audit_checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2",
                    params![after.map_or(-1, u64::cast_signed), cursor::rows(&page)],
                    |row| {
                        Ok(AuditCheckpoint {
                            size: row.count(0)?,
                            root: row.bytes(1)?,
                            note: row.text(2)?,
                            created_at: row.time(3)?,
                        })
                    },
                )?;
                Ok(cursor::page(&page, items, |checkpoint| checkpoint.size))
            })
            .await
    }

    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        audit::verify_all(&self.store).await
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

//! Settings and quotas.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{QuotaName, SettingKey};
use ironclaw_core::model::settings::{Quota, Setting};
use ironclaw_core::store::{Settings, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::PostgresStore;
use super::entity::{quotas, settings};
use super::row::params;
use super::tx::Tx;
use crate::{cursor, json};

/// Applies one operation; the number is the operation's in the receipt.
pub(super) async fn apply(tx: &Tx, op: &SettingOp) -> Result<u64, StoreError> {
    match op {
        SettingOp::Put { key, value } => {
            if tx.is_held() && row_version(tx, key).await? > 0 {
                tx.check_not_held()?;
            }
            let version = tx
                .number(
                    "INSERT INTO ironclaw.settings AS s (owner_no, key, value, version, updated_at) \
                     VALUES ($1, $2, $3::json, 1, $4) ON CONFLICT (owner_no, key) DO UPDATE \
                     SET value = excluded.value, version = s.version + 1, updated_at = excluded.updated_at \
                     RETURNING version",
                    params![tx.owner_no(), key.as_str(), value.to_string(), tx.now()],
                )
                .await?;
            Ok(version.cast_unsigned())
        }
        SettingOp::Delete { key } => {
            tx.check_not_held()?;
            let deleted = settings::Entity::delete_by_id((tx.owner_no(), key.to_string())).exec(tx).await;
            Ok(deleted.map_err(|error| tx.orm(error))?.rows_affected)
        }
        SettingOp::ChargeQuota { name, amount } => charge(tx, name, *amount).await,
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a setting's row; 0 if there is none.
pub(super) async fn row_version(tx: &Tx, key: &SettingKey) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.settings WHERE owner_no = $1 AND key = $2";
    Ok(tx.number(sql, params![tx.owner_no(), key.as_str()]).await?.cast_unsigned())
}

/// How much of a quota is left; `None` if nobody set it.
pub(super) async fn left(tx: &Tx, name: &QuotaName) -> Result<Option<u64>, StoreError> {
    Ok(quota(tx, name).await?.map(|quota| quota.limit.saturating_sub(quota.used)))
}

/// Deletes everything of a user, in an operator's transaction. How many rows.
pub(super) async fn erase(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    Ok(tx.execute("DELETE FROM ironclaw.settings WHERE owner_no = $1", params![owner_no]).await?
        + tx.execute("DELETE FROM ironclaw.quotas WHERE owner_no = $1", params![owner_no]).await?)
}

#[async_trait]
impl Settings for PostgresStore {
    async fn setting(&self, scope: &Scope, key: &SettingKey) -> Result<Option<Setting>, StoreError> {
        self.read("setting", scope, key.clone(), |tx, key| {
            async move {
                let found = settings::Entity::find_by_id((tx.owner_no(), key.into())).one(tx).await;
                found.map_err(|error| tx.orm(error))?.map(|row| setting(tx, row)).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn settings(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Setting>, StoreError> {
        let after: Option<String> = cursor::after("settings", page)?;
        self.read("settings", scope, (after, page.clone()), |tx, (after, page)| {
            async move {
                let rows = settings::Entity::find()
                    .filter(settings::Column::OwnerNo.eq(tx.owner_no()))
                    .filter(settings::Column::Key.gt(after.unwrap_or_default()))
                    .order_by_asc(settings::Column::Key)
                    .limit(cursor::rows(&page).cast_unsigned())
                    .all(tx)
                    .await
                    .map_err(|error| tx.orm(error))?;
                let items = rows.into_iter().map(|row| setting(tx, row)).collect::<Result<_, _>>()?;
                Ok(cursor::page(&page, items, |setting: &Setting| setting.key.to_string()))
            }
            .boxed()
        })
        .await
    }

    async fn quota(&self, scope: &Scope, name: &QuotaName) -> Result<Option<Quota>, StoreError> {
        self.read("quota", scope, name.clone(), |tx, name| async move { quota(tx, &name).await }.boxed()).await
    }
}

async fn charge(tx: &Tx, name: &QuotaName, amount: u64) -> Result<u64, StoreError> {
    let Some(quota) = quota(tx, name).await? else {
        return Ok(0);
    };
    let used = quota.used.checked_add(amount).filter(|used| *used <= quota.limit);
    let used = used.ok_or_else(|| tx.error(StoreErrorKind::QuotaExceeded, "ask the operator to raise the quota"))?;
    tx.execute(
        "UPDATE ironclaw.quotas SET used = $3 WHERE owner_no = $1 AND name = $2",
        params![tx.owner_no(), name.as_str(), used],
    )
    .await?;
    Ok(0)
}

async fn quota(tx: &Tx, name: &QuotaName) -> Result<Option<Quota>, StoreError> {
    let found = quotas::Entity::find_by_id((tx.owner_no(), name.to_string())).one(tx).await;
    Ok(found.map_err(|error| tx.orm(error))?.map(|row| Quota {
        name: name.clone(),
        limit: row.allowed.cast_unsigned(),
        used: row.used.cast_unsigned(),
    }))
}

fn setting(tx: &Tx, row: settings::Model) -> Result<Setting, StoreError> {
    Ok(Setting {
        key: row.key.parse().map_err(|_| tx.corrupt("settings.key"))?,
        value: json::read(&row.value).ok_or_else(|| tx.corrupt("settings.value"))?,
        updated_at: row.updated_at.0,
        version: row.version.cast_unsigned(),
    })
}

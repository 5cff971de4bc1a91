//! Settings and quotas.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{QuotaName, SettingKey};
use ironclaw_core::model::settings::{Quota, Setting};
use ironclaw_core::store::{Settings, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};

use crate::cursor;
use crate::sql::{Categories, Engine, Json, Owned, Query, Row, Transaction, owned, params};

/// What goes with a user.
pub(crate) const OWNED: [Owned; 2] = [owned!("settings", "key", bytes of "value"), owned!("quotas", "name")];

/// Applies one operation; the number is the operation's in the receipt.
pub(crate) async fn apply(tx: &dyn Transaction, op: &SettingOp) -> Result<u64, StoreError> {
    match op {
        SettingOp::Put { key, value } => {
            if tx.is_held().await? && row_version(tx, key).await? > 0 {
                tx.check_not_held().await?;
            }
            let version = tx
                .number(
                    "INSERT INTO ironclaw.settings AS s (owner_no, key, value, version, updated_at) \
                     VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT (owner_no, key) DO UPDATE \
                     SET value = excluded.value, version = s.version + 1, updated_at = excluded.updated_at \
                     RETURNING version",
                    params![tx.owner_no(), key.as_str(), Json::of(value), tx.now()],
                )
                .await?;
            Ok(version.cast_unsigned())
        }
        SettingOp::Delete { key } => {
            tx.check_not_held().await?;
            let sql = "DELETE FROM ironclaw.settings WHERE owner_no = ?1 AND key = ?2";
            tx.execute(sql, params![tx.owner_no(), key.as_str()]).await
        }
        SettingOp::ChargeQuota { name, amount } => charge(tx, name, *amount).await,
    }
}

/// The version of a setting's row; 0 if there is none.
pub(crate) async fn row_version(tx: &dyn Transaction, key: &SettingKey) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.settings WHERE owner_no = ?1 AND key = ?2";
    Ok(tx.number(sql, params![tx.owner_no(), key.as_str()]).await?.cast_unsigned())
}

/// How much of a quota is left; `None` if nobody set it.
pub(crate) async fn left(tx: &dyn Transaction, name: &QuotaName) -> Result<Option<u64>, StoreError> {
    Ok(quota(tx, name).await?.map(|quota| quota.limit.saturating_sub(quota.used)))
}

#[async_trait]
impl<E: Engine> Settings for Categories<E> {
    async fn setting(&self, scope: &Scope, key: &SettingKey) -> Result<Option<Setting>, StoreError> {
        let sql = "SELECT key, value, updated_at, version FROM ironclaw.settings WHERE owner_no = ?1 AND key = ?2";
        self.find("setting", Query::of_user(scope, sql, params![key.as_str()], setting)).await
    }

    async fn settings(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Setting>, StoreError> {
        let after: Option<String> = cursor::after("settings", page)?;
        let query = Query::of_user(
            scope,
            "SELECT key, value, updated_at, version FROM ironclaw.settings WHERE owner_no = ?1 AND key > ?2 ORDER BY key \
             LIMIT ?3",
            params![after.unwrap_or_default()],
            setting,
        );
        self.page("settings", page, query, |setting| setting.key.to_string()).await
    }

    async fn quota(&self, scope: &Scope, name: &QuotaName) -> Result<Option<Quota>, StoreError> {
        self.read("quota", scope, name.clone(), |tx, name| async move { quota(tx, &name).await }.boxed()).await
    }
}

async fn charge(tx: &dyn Transaction, name: &QuotaName, amount: u64) -> Result<u64, StoreError> {
    let Some(quota) = quota(tx, name).await? else {
        return Ok(0);
    };
    let used = quota.used.checked_add(amount).filter(|used| *used <= quota.limit);
    let used = used.ok_or_else(|| tx.error(StoreErrorKind::QuotaExceeded, "ask the operator to raise the quota"))?;
    tx.execute(
        "UPDATE ironclaw.quotas SET used = ?3 WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no(), name.as_str(), used],
    )
    .await?;
    Ok(0)
}

async fn quota(tx: &dyn Transaction, name: &QuotaName) -> Result<Option<Quota>, StoreError> {
    tx.query_row(
        "SELECT name, allowed, used FROM ironclaw.quotas WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no(), name.as_str()],
        |row| Ok(Quota::new(row.parsed(0)?, row.u64(1)?).used(row.u64(2)?)),
    )
    .await
}

fn setting(row: &dyn Row) -> Result<Setting, StoreError> {
    Ok(Setting::new(row.parsed(0)?, row.json(1)?, row.time(2)?).version(row.count(3)?))
}

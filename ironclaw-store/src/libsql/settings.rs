//! Settings and quotas.

use async_trait::async_trait;
use ironclaw_core::change::SettingOp;
use ironclaw_core::id::{QuotaName, SettingKey};
use ironclaw_core::model::settings::{Quota, Setting};
use ironclaw_core::store::{Settings, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};

use super::LibsqlStore;
use super::cursor;
use super::db::Db;
use super::removal::{sized, some};
use super::row::{Row, params};
use super::tx::Tx;

/// Applies one operation; the number is the operation's in the receipt.
pub(super) fn apply(tx: &Tx<'_>, op: &SettingOp) -> Result<u64, StoreError> {
    match op {
        SettingOp::Put { key, value } => {
            if tx.is_held()? && row_version(tx, key)? > 0 {
                tx.check_not_held()?;
            }
            let version = tx.db.query_row(
                "INSERT INTO settings (owner_no, key, value, version, updated_at) VALUES (?1, ?2, ?3, 1, ?4) \
                 ON CONFLICT (owner_no, key) DO UPDATE \
                 SET value = excluded.value, version = version + 1, updated_at = excluded.updated_at RETURNING version",
                params![tx.owner_no, key.as_str(), value.to_string(), tx.now],
                |row| row.count(0),
            )?;
            Ok(version.unwrap_or_default())
        }
        SettingOp::Delete { key } => {
            tx.check_not_held()?;
            tx.db.execute("DELETE FROM settings WHERE owner_no = ?1 AND key = ?2", params![tx.owner_no, key.as_str()])
        }
        SettingOp::ChargeQuota { name, amount } => charge(tx, name, *amount),
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a setting's row; 0 if there is none.
pub(super) fn row_version(tx: &Tx<'_>, key: &SettingKey) -> Result<u64, StoreError> {
    let version = tx
        .db
        .number("SELECT version FROM settings WHERE owner_no = ?1 AND key = ?2", params![tx.owner_no, key.as_str()])?;
    Ok(version.cast_unsigned())
}

/// How much of a quota is left; `None` if nobody set it.
pub(super) fn left(tx: &Tx<'_>, name: &QuotaName) -> Result<Option<u64>, StoreError> {
    Ok(quota(tx.db, tx.owner_no, name.as_str())?.map(|quota| quota.limit.saturating_sub(quota.used)))
}

/// Deletes some of what a user has. How many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = sized(
        db,
        "SELECT key, octet_length(value) FROM settings WHERE owner_no = ?1 LIMIT ?2",
        params![owner_no],
        "DELETE FROM settings WHERE key = ?1 AND owner_no = ?2",
        owner_no,
    )?;
    rows += some(
        db,
        "DELETE FROM quotas WHERE owner_no = ?1 AND name IN (SELECT name FROM quotas WHERE owner_no = ?1 LIMIT ?2)",
        owner_no,
        1,
    )?;
    Ok(rows)
}

#[async_trait]
impl Settings for LibsqlStore {
    async fn setting(&self, scope: &Scope, key: &SettingKey) -> Result<Option<Setting>, StoreError> {
        let key = key.clone();
        self.read("setting", scope, move |tx| {
            tx.db.query_row(
                "SELECT key, value, updated_at, version FROM settings WHERE owner_no = ?1 AND key = ?2",
                params![tx.owner_no, key.as_str()],
                setting,
            )
        })
        .await
    }

    async fn settings(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Setting>, StoreError> {
        let after: Option<String> = cursor::after("settings", page)?;
        let page = page.clone();
        self.read("settings", scope, move |tx| {
            let items = tx.db.query(
                "SELECT key, value, updated_at, version FROM settings WHERE owner_no = ?1 AND key > ?2 \
                 ORDER BY key LIMIT ?3",
                params![tx.owner_no, after.unwrap_or_default(), cursor::rows(&page)],
                setting,
            )?;
            Ok(cursor::page(&page, items, |setting| setting.key.as_str().to_owned()))
        })
        .await
    }

    async fn quota(&self, scope: &Scope, name: &QuotaName) -> Result<Option<Quota>, StoreError> {
        let name = name.clone();
        self.read("quota", scope, move |tx| quota(tx.db, tx.owner_no, name.as_str())).await
    }
}

fn charge(tx: &Tx<'_>, name: &QuotaName, amount: u64) -> Result<u64, StoreError> {
    let Some(quota) = quota(tx.db, tx.owner_no, name.as_str())? else {
        return Ok(0);
    };
    let Some(used) = quota.used.checked_add(amount).filter(|&used| used <= quota.limit) else {
        return Err(tx.error(StoreErrorKind::QuotaExceeded, "ask the operator for more"));
    };
    tx.db.execute(
        "UPDATE quotas SET used = ?3 WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no, name.as_str(), used],
    )?;
    Ok(0)
}

fn quota(db: &Db, owner_no: i64, name: &str) -> Result<Option<Quota>, StoreError> {
    db.query_row(
        "SELECT name, allowed, used FROM quotas WHERE owner_no = ?1 AND name = ?2",
        params![owner_no, name],
        |row| Ok(Quota { name: row.parsed(0)?, limit: row.u64(1)?, used: row.u64(2)? }),
    )
}

fn setting(row: &Row<'_>) -> Result<Setting, StoreError> {
    Ok(Setting { key: row.parsed(0)?, value: row.json(1)?, updated_at: row.time(2)?, version: row.count(3)? })
}

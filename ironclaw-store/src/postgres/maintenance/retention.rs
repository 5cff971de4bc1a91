use std::time::Duration;

use futures::FutureExt;
use ironclaw_core::Timestamp;
use ironclaw_core::id::{ConversationId, JobId};
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::PostgresMaintenance;
use super::system::{append, category_code};
use crate::codes;
use crate::postgres::row::params;
use crate::postgres::tx::{Entered, Tx};
use crate::postgres::{conversations, jobs, workspace};
use crate::system::category_name;

/// How many conversations, jobs or files one transaction deletes: changes wait for one such transaction at most.
const DELETED_AT_ONCE: u32 = 50;

/// The policies, ordered by tenant and category.
pub(super) async fn policies(tx: &Tx) -> Result<Vec<RetentionPolicy>, StoreError> {
    tx.query(
        "SELECT tenant, category, days, updated_at FROM ironclaw.retention_policies ORDER BY tenant, category",
        params![],
        |row| {
            Ok(RetentionPolicy {
                tenant: row.parsed(0)?,
                category: row.code(1, codes::category)?,
                days: row.u32(2)?,
                updated_at: row.time(3)?,
            })
        },
    )
    .await
}

/// Deletes what no policy keeps any more, one small transaction after the other. How many
/// conversations, jobs and files.
pub(super) async fn apply(maintenance: &PostgresMaintenance) -> Result<u64, StoreError> {
    const OPERATION: &str = "apply_retention";
    let mut total = 0;
    for policy in maintenance.retention_policies_now().await? {
        loop {
            let arguments = (policy.clone(), maintenance.operator.clone());
            let (rows, more) = maintenance
                .write(OPERATION, arguments, |tx, (policy, operator)| {
                    async move {
                        let (rows, more) = round(tx, &policy).await?;
                        let record = AuditRecord::new(Action::RetentionApply)
                            .detail("tenant", policy.tenant.as_str())
                            .detail("category", category_name(policy.category))
                            .detail("rows", rows.to_string());
                        append(tx, operator.as_str(), None, &record).await?;
                        Ok((rows, more))
                    }
                    .boxed()
                })
                .await?;
            total += rows;
            // Whoever has something to delete loses some of it in each round.
            if !more || rows == 0 {
                break;
            }
        }
    }
    Ok(total)
}

impl PostgresMaintenance {
    async fn retention_policies_now(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.read("apply_retention", (), |tx, ()| async move { policies(tx).await }.boxed()).await
    }
}

/// Deletes some of what one user has that is no longer kept. How many rows, and whether there was such a user.
async fn round(tx: &Tx, policy: &RetentionPolicy) -> Result<(u64, bool), StoreError> {
    // As it is now, and until the transaction ends: it may have been changed or deleted since the round before.
    let days = tx
        .query_row(
            "SELECT days FROM ironclaw.retention_policies WHERE tenant = $1 AND category = $2 FOR SHARE",
            params![policy.tenant.as_str(), category_code(tx, policy.category)?],
            |row| row.u32(0),
        )
        .await?;
    let Some(days) = days else {
        return Ok((0, false));
    };
    let before = tx.now().before(Duration::from_secs(u64::from(days) * 86_400));
    let Some(owner_no) = next_owner(tx, policy, before).await? else {
        return Ok((0, false));
    };
    match tx.lock_owner(owner_no).await? {
        Some(user) if !user.held => Ok((delete(tx, user, policy.category, before).await?, true)),
        // The hold or the erasure came between the two.
        _ => Ok((0, true)),
    }
}

/// A user of the policy's tenant, without a legal hold, who has something that is no longer kept.
async fn next_owner(tx: &Tx, policy: &RetentionPolicy, before: Timestamp) -> Result<Option<i64>, StoreError> {
    let has_old = match policy.category {
        RetainedCategory::Conversations => {
            "SELECT FROM ironclaw.conversations c WHERE c.owner_no = u.owner_no AND c.updated_at < $2"
        }
        RetainedCategory::Jobs => "SELECT FROM ironclaw.jobs j WHERE j.owner_no = u.owner_no AND j.updated_at < $2",
        RetainedCategory::Workspace => {
            "SELECT FROM ironclaw.workspace_entries e JOIN ironclaw.entry_versions v \
             ON v.owner_no = e.owner_no AND v.version_no = e.version_no \
             WHERE e.owner_no = u.owner_no AND v.updated_at < $2"
        }
        _ => return Err(tx.error(StoreErrorKind::Internal, "a category that this store does not know")),
    };
    let sql = format!(
        "SELECT u.owner_no FROM ironclaw.users u WHERE u.tenant = $1 AND NOT EXISTS (SELECT FROM ironclaw.holds h \
         WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) AND EXISTS ({has_old}) LIMIT 1"
    );
    tx.query_row(sql, params![policy.tenant.as_str(), before], |row| row.i64(0)).await
}

async fn delete(tx: &Tx, user: Entered, category: RetainedCategory, before: Timestamp) -> Result<u64, StoreError> {
    let old = |table: &str| {
        format!("SELECT id FROM ironclaw.{table} WHERE owner_no = $1 AND updated_at < $2 ORDER BY id LIMIT $3")
    };
    let arguments = params![user.owner_no, before, DELETED_AT_ONCE];
    let mut rows = 0;
    match category {
        RetainedCategory::Conversations => {
            for id in tx.query(old("conversations"), arguments, |row| row.id(0)).await? {
                rows += conversations::delete(tx, user.owner_no, ConversationId::from_bytes(id)).await?;
            }
        }
        RetainedCategory::Jobs => {
            for id in tx.query(old("jobs"), arguments, |row| row.id(0)).await? {
                rows += jobs::delete(tx, user.owner_no, JobId::from_bytes(id)).await?;
            }
        }
        RetainedCategory::Workspace => {
            rows += workspace::retain(tx, user.owner_no, before, DELETED_AT_ONCE).await?;
        }
        _ => return Err(tx.error(StoreErrorKind::Internal, "a category that this store does not know")),
    }
    Ok(rows)
}

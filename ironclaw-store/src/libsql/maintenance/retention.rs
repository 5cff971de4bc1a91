use std::time::Duration;

use ironclaw_core::id::{ConversationId, JobId, OperatorName};
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};

use super::system::category_code;
use crate::codes;
use crate::libsql::db::Db;
use crate::libsql::removal::{self, AT_ONCE};
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::libsql::users::Numbers;
use crate::libsql::{LibsqlStore, audit, conversations, jobs, workspace};
use crate::system::category_name;

/// The policies, ordered by tenant and category.
pub(super) fn policies(db: &Db) -> Result<Vec<RetentionPolicy>, StoreError> {
    db.query(
        "SELECT tenant, category, days, updated_at FROM retention_policies ORDER BY tenant, category",
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
}

/// Deletes what no policy keeps any more, one small transaction after the other, and waits until it is gone. How many
/// conversations, jobs and files.
pub(super) async fn apply(store: &LibsqlStore, operator: &OperatorName) -> Result<u64, StoreError> {
    const OPERATION: &str = "apply_retention";
    let mut total = 0;
    for policy in store.read_any(OPERATION, policies).await? {
        let now = store.engine.now();
        loop {
            let (policy, operator) = (policy.clone(), operator.clone());
            let limits = store.limits().clone();
            let (rows, more) = store
                .engine
                .delete(OPERATION, move |db| {
                    db.write(|| {
                        let (rows, more) = round(db, &policy, now, &limits)?;
                        let record = AuditRecord::new(Action::RetentionApply)
                            .detail("tenant", policy.tenant.as_str())
                            .detail("category", category_name(policy.category))
                            .detail("rows", rows.to_string());
                        audit::append_system(db, operator.as_str(), &record, None, now)?;
                        Ok((rows, more))
                    })
                })
                .await?;
            total += rows;
            // Whoever has something to delete loses some of it in each round.
            if !more || rows == 0 {
                break;
            }
            removal::settled(&store.engine, OPERATION).await?;
        }
    }
    Ok(total)
}

/// Deletes some of what one user has that is no longer kept. How many rows, and whether there was such a user.
fn round(db: &Db, policy: &RetentionPolicy, now: Timestamp, limits: &Limits) -> Result<(u64, bool), StoreError> {
    // As it is now: it may have been changed or deleted since the round before.
    let days = db.query_row(
        "SELECT days FROM retention_policies WHERE tenant = ?1 AND category = ?2",
        params![policy.tenant.as_str(), category_code(db, policy.category)?],
        |row| row.u32(0),
    )?;
    let Some(days) = days else {
        return Ok((0, false));
    };
    let before = now.before(Duration::from_secs(u64::from(days) * 86_400));
    match next_owner(db, policy, before)? {
        Some(user) => Ok((delete(&Tx::new(db, user, now, limits), policy.category, before)?, true)),
        None => Ok((0, false)),
    }
}

/// What finds a user of a tenant, without a legal hold, who has something old.
macro_rules! next_owner_query {
    ($old:literal) => {
        concat!(
            "SELECT u.owner_no, coalesce(u.content_no, u.owner_no) FROM users u WHERE u.tenant = ?1 AND NOT EXISTS \
             (SELECT 1 FROM holds h WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) AND EXISTS (",
            $old,
            ") LIMIT 1"
        )
    };
}

fn next_owner(db: &Db, policy: &RetentionPolicy, before: Timestamp) -> Result<Option<Numbers>, StoreError> {
    let sql = match policy.category {
        RetainedCategory::Conversations => next_owner_query!(
            "SELECT 1 FROM visible_conversations c WHERE c.owner_no = coalesce(u.content_no, u.owner_no) \
             AND c.updated_at < ?2"
        ),
        RetainedCategory::Jobs => next_owner_query!(
            "SELECT 1 FROM visible_jobs j WHERE j.owner_no = coalesce(u.content_no, u.owner_no) AND j.updated_at < ?2"
        ),
        RetainedCategory::Workspace => next_owner_query!(
            "SELECT 1 FROM workspace_entries e JOIN entry_versions v ON v.version_no = e.version_no \
             WHERE e.owner_no = coalesce(u.content_no, u.owner_no) AND v.updated_at < ?2"
        ),
        _ => return Err(db.error(StoreErrorKind::Internal, "a category that this store does not know")),
    };
    let params = params![policy.tenant.as_str(), before];
    db.query_row(sql, params, |row| Ok(Numbers { owner_no: row.i64(0)?, content_no: row.i64(1)? }))
}

fn delete(tx: &Tx<'_>, category: RetainedCategory, before: Timestamp) -> Result<u64, StoreError> {
    tx.check_not_held()?;
    let sql = match category {
        RetainedCategory::Conversations => {
            "SELECT id FROM visible_conversations WHERE owner_no = ?1 AND updated_at < ?2 LIMIT ?3"
        }
        RetainedCategory::Jobs => "SELECT id FROM visible_jobs WHERE owner_no = ?1 AND updated_at < ?2 LIMIT ?3",
        RetainedCategory::Workspace => return workspace::retain(tx, before),
        _ => return Err(tx.error(StoreErrorKind::Internal, "a category that this store does not know")),
    };
    let old = tx.db.query(sql, params![tx.content_no(), before, AT_ONCE], |row| row.bytes(0))?;
    let mut deleted = 0;
    for id in old {
        if !tx.db.budget.is_left() {
            break;
        }
        deleted += match category {
            RetainedCategory::Conversations => conversations::delete(tx, ConversationId::from_bytes(id))?,
            _ => jobs::delete(tx, JobId::from_bytes(id))?,
        };
    }
    Ok(deleted)
}

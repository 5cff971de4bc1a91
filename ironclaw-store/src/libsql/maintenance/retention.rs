use std::time::Duration;

use ironclaw_core::Timestamp;
use ironclaw_core::id::{ConversationId, JobId, OperatorName};
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::codes;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::libsql::{LibsqlStore, audit, conversations, jobs, workspace};
use crate::system::category_name;

/// How many conversations, jobs or files one transaction deletes: changes wait for one such transaction at most.
const DELETED_AT_ONCE: u32 = 50;

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

/// Deletes what no policy keeps any more, one small transaction after the other. How many rows.
pub(super) async fn apply(store: &LibsqlStore, operator: &OperatorName) -> Result<u64, StoreError> {
    const OPERATION: &str = "apply_retention";
    let mut total = 0;
    for policy in store.read_any(OPERATION, policies).await? {
        let now = store.engine.now();
        let before = now.before(Duration::from_secs(u64::from(policy.days) * 86_400));
        loop {
            let (policy, operator) = (policy.clone(), operator.clone());
            let limits = store.limits().clone();
            let (rows, more) = store
                .engine
                .write(OPERATION, move |db| {
                    db.write(|| {
                        let (rows, more) = match next_owner(db, &policy, before)? {
                            Some(owner_no) => {
                                let tx = Tx::new(db, owner_no, now, &limits);
                                (delete(&tx, policy.category, before)?, true)
                            }
                            None => (0, false),
                        };
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
        }
    }
    Ok(total)
}

/// A user of the policy's tenant, without a legal hold, who has something that is no longer kept.
fn next_owner(db: &Db, policy: &RetentionPolicy, before: Timestamp) -> Result<Option<i64>, StoreError> {
    let sql = match policy.category {
        RetainedCategory::Conversations => {
            "SELECT u.owner_no FROM users u WHERE u.tenant = ?1 AND NOT EXISTS (SELECT 1 FROM holds h \
             WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) \
             AND EXISTS (SELECT 1 FROM conversations c WHERE c.owner_no = u.owner_no AND c.updated_at < ?2) LIMIT 1"
        }
        RetainedCategory::Jobs => {
            "SELECT u.owner_no FROM users u WHERE u.tenant = ?1 AND NOT EXISTS (SELECT 1 FROM holds h \
             WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) \
             AND EXISTS (SELECT 1 FROM jobs j WHERE j.owner_no = u.owner_no AND j.updated_at < ?2) LIMIT 1"
        }
        RetainedCategory::Workspace => {
            "SELECT u.owner_no FROM users u WHERE u.tenant = ?1 AND NOT EXISTS (SELECT 1 FROM holds h \
             WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) \
             AND EXISTS (SELECT 1 FROM workspace_entries e JOIN entry_versions v ON v.version_no = e.version_no \
             WHERE e.owner_no = u.owner_no AND v.updated_at < ?2) LIMIT 1"
        }
        _ => return Err(db.error(StoreErrorKind::Internal, "a category that this store does not know")),
    };
    db.query_row(sql, params![policy.tenant.as_str(), before], |row| row.i64(0))
}

fn delete(tx: &Tx<'_>, category: RetainedCategory, before: Timestamp) -> Result<u64, StoreError> {
    tx.check_not_held()?;
    let params = params![tx.owner_no, before, DELETED_AT_ONCE];
    match category {
        RetainedCategory::Conversations => {
            let old = tx.db.query(
                "SELECT id FROM conversations WHERE owner_no = ?1 AND updated_at < ?2 LIMIT ?3",
                params,
                |row| row.bytes(0),
            )?;
            let mut rows = 0;
            for id in old {
                rows += conversations::delete(tx.db, tx.owner_no, ConversationId::from_bytes(id))?;
            }
            Ok(rows)
        }
        RetainedCategory::Jobs => {
            let old =
                tx.db.query("SELECT id FROM jobs WHERE owner_no = ?1 AND updated_at < ?2 LIMIT ?3", params, |row| {
                    row.bytes(0)
                })?;
            let mut rows = 0;
            for id in old {
                rows += jobs::delete(tx.db, tx.owner_no, JobId::from_bytes(id))?;
            }
            Ok(rows)
        }
        RetainedCategory::Workspace => workspace::retain(tx, before, DELETED_AT_ONCE),
        _ => Err(tx.error(StoreErrorKind::Internal, "a category that this store does not know")),
    }
}

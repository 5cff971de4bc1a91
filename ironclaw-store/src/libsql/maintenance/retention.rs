use std::time::Duration;

use ironclaw_core::id::OperatorName;
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Limits, Timestamp};

use crate::codes::category_code;
use crate::libsql::db::Db;
use crate::libsql::removal::{self, AT_ONCE, Kind};
use crate::libsql::row::params;
use crate::libsql::tx::Tx;
use crate::libsql::users::{Numbers, content_no};
use crate::libsql::{LibsqlStore, audit, workspace};

#[cfg(test)]
mod tests;

/// Deletes what no policy keeps any more, one small transaction after the other, and waits until it is gone. How many
/// conversations, jobs and files.
pub(super) async fn apply(store: &LibsqlStore, operator: &OperatorName) -> Result<u64, StoreError> {
    const OPERATION: &str = "apply_retention";
    let mut total = 0;
    for policy in store.categories.retention_policies(OPERATION).await? {
        let now = store.engine().now();
        let mut from = Some(Place::default());
        while let Some(place) = from {
            let (policy, operator) = (policy.clone(), operator.clone());
            let limits = store.limits().clone();
            let (rows, next) = store
                .engine()
                .delete(OPERATION, move |db| {
                    db.write(|| {
                        let (rows, next) = round(db, &policy, place, now, &limits)?;
                        if rows > 0 {
                            let record = AuditRecord::new(Action::RetentionApply)
                                .detail("tenant", policy.tenant.as_str())
                                .detail("category", policy.category.name())
                                .detail("rows", rows.to_string());
                            audit::append_system(db, operator.as_str(), &record, None, now)?;
                        }
                        Ok((rows, next))
                    })
                })
                .await?;
            total += rows;
            if rows > 0 {
                removal::settled(store.engine(), OPERATION).await?;
            }
            from = next;
        }
    }
    Ok(total)
}

/// Deletes some of what the next user has that is no longer kept. How many rows, and where to go on; `None` at the end.
fn round(
    db: &Db,
    policy: &RetentionPolicy,
    from: Place,
    now: Timestamp,
    limits: &Limits,
) -> Result<(u64, Option<Place>), StoreError> {
    // As it is now: it may have been changed or deleted since the round before.
    let days = db.query_row(
        "SELECT days FROM retention_policies WHERE tenant = ?1 AND category = ?2",
        params![policy.tenant.as_str(), category_code(policy.category)],
        |row| row.u32(0),
    )?;
    let Some(days) = days else {
        return Ok((0, None));
    };
    let before = now.before(Duration::from_secs(u64::from(days) * 86_400));
    let sql = Statements::of(policy.category);
    let params = params![policy.tenant.as_str(), before, from.since, from.owner_no];
    let next = db.query_row(sql.users, params, |row| {
        let user = Numbers { owner_no: row.i64(0)?, content_no: row.i64(1)? };
        Ok((user, Place { since: row.time(2)?, owner_no: user.owner_no }))
    })?;
    let Some((user, place)) = next else {
        return Ok((0, None));
    };
    let tx = Tx::new(db, user, now, limits);
    let rows = delete(&tx, &sql, policy.category, before)?;
    let oldest = db.query_row(sql.oldest, params![user.content_no], |row| row.time(1))?;
    if rows > 0 && oldest.is_some_and(|oldest| oldest < before) {
        return Ok((rows, Some(place)));
    }
    db.execute(sql.note, params![user.owner_no, oldest])?;
    Ok((rows, Some(Place { owner_no: place.owner_no + 1, ..place })))
}

/// Users come by the time before which nothing of theirs was changed, and those of the same time by their numbers.
#[derive(Debug, Clone, Copy)]
struct Place {
    since: Timestamp,
    owner_no: i64,
}

impl Default for Place {
    fn default() -> Self {
        Self { since: Timestamp::from_micros(i64::MIN), owner_no: 0 }
    }
}

/// What a category's users and their oldest are found by.
struct Statements {
    users: &'static str,
    old: &'static str,
    oldest: &'static str,
    note: &'static str,
}

macro_rules! users {
    ($since:literal) => {
        concat!(
            "SELECT u.owner_no, ",
            content_no!("u"),
            ", u.",
            $since,
            " FROM users u WHERE u.tenant = ?1 AND u.",
            $since,
            " < ?2 AND (u.",
            $since,
            ", u.owner_no) >= (?3, ?4) AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.owner_no = u.owner_no \
             AND h.released_at IS NULL) ORDER BY u.",
            $since,
            ", u.owner_no LIMIT 1"
        )
    };
}

macro_rules! of_view {
    ($view:literal, $since:literal) => {
        Statements {
            users: users!($since),
            old: concat!(
                "SELECT id FROM ",
                $view,
                " WHERE owner_no = ?1 AND updated_at < ?2 ORDER BY updated_at LIMIT ?3"
            ),
            oldest: concat!("SELECT id, updated_at FROM ", $view, " WHERE owner_no = ?1 ORDER BY updated_at LIMIT 1"),
            note: concat!("UPDATE users SET ", $since, " = ?2 WHERE owner_no = ?1"),
        }
    };
}

impl Statements {
    fn of(category: RetainedCategory) -> Self {
        match category {
            RetainedCategory::Conversations => of_view!("visible_conversations", "conversations_since"),
            RetainedCategory::Jobs => of_view!("visible_jobs", "jobs_since"),
            RetainedCategory::Workspace => Self {
                users: users!("files_since"),
                old: "SELECT v.version_no, e.path FROM entry_versions v CROSS JOIN workspace_entries e \
                      ON e.owner_no = v.owner_no AND e.path = v.path AND e.version_no = v.version_no \
                      WHERE v.owner_no = ?1 AND v.state = 1 AND v.updated_at < ?2 ORDER BY v.updated_at LIMIT ?3",
                oldest: "SELECT version_no, updated_at FROM entry_versions WHERE owner_no = ?1 AND state = 1 \
                         ORDER BY updated_at LIMIT 1",
                note: "UPDATE users SET files_since = ?2 WHERE owner_no = ?1",
            },
        }
    }
}

fn delete(tx: &Tx<'_>, sql: &Statements, category: RetainedCategory, before: Timestamp) -> Result<u64, StoreError> {
    tx.check_not_held()?;
    if category == RetainedCategory::Workspace {
        let old = tx.db.query(sql.old, params![tx.content_no(), before, tx.db.budget.left()], |row| {
            row.text(1)?.try_into().map_err(|_| row.corrupt(1))
        })?;
        return workspace::retain(tx, old);
    }
    let kind = match category {
        RetainedCategory::Conversations => Kind::Conversation,
        _ => Kind::Job,
    };
    let mut deleted = 0;
    for id in tx.db.query(sql.old, params![tx.content_no(), before, AT_ONCE], |row| row.bytes(0))? {
        if !tx.db.budget.is_left() {
            break;
        }
        deleted += removal::delete(tx, kind, id)?;
    }
    Ok(deleted)
}

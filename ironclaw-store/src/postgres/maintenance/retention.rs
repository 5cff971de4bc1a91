use std::time::Duration;

use futures::FutureExt;
use ironclaw_core::Timestamp;
use ironclaw_core::id::{ConversationId, JobId};
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::StoreError;

use super::PostgresMaintenance;
use crate::codes::category_code;
use crate::postgres::row::params;
use crate::postgres::tx::{Entered, Tx};
use crate::postgres::{conversations, removal, workspace};
use crate::system::append;

/// How many conversations, jobs or files one transaction deletes: changes wait for one such transaction at most.
const DELETED_AT_ONCE: u32 = 50;

const OPERATION: &str = "apply_retention";

/// Deletes what no policy keeps any more, one small transaction after the other. How many
/// conversations, jobs and files.
///
/// Whoever is locked is passed over at first, and waited for when all others have been gone through: nobody's long
/// transaction keeps what is others'.
pub(super) async fn apply(maintenance: &PostgresMaintenance) -> Result<u64, StoreError> {
    let policies = maintenance.categories.retention_policies(OPERATION).await?;
    let (mut total, mut late) = (0, Vec::new());
    for policy in policies {
        let (rows, is_complete) = pass(maintenance, &policy, Locked::PassOver).await?;
        total += rows;
        if !is_complete {
            late.push(policy);
        }
    }
    for policy in late {
        total += pass(maintenance, &policy, Locked::WaitFor).await?.0;
    }
    Ok(total)
}

/// What to do about a user who is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locked {
    PassOver,
    WaitFor,
}

/// Goes through the users of a policy. How many rows were deleted, and whether nobody was passed over.
async fn pass(
    maintenance: &PostgresMaintenance,
    policy: &RetentionPolicy,
    locked: Locked,
) -> Result<(u64, bool), StoreError> {
    let (mut total, mut is_complete, mut from) = (0, true, Some(Place::default()));
    while let Some(place) = from {
        let arguments = (policy.clone(), place, maintenance.operator.clone());
        let round = maintenance
            .write(OPERATION, arguments, move |tx, (policy, place, operator)| {
                async move {
                    let round = round(tx, &policy, place, locked).await?;
                    if round.rows > 0 {
                        let record = AuditRecord::new(Action::RetentionApply)
                            .detail("tenant", policy.tenant.as_str())
                            .detail("category", policy.category.name())
                            .detail("rows", round.rows.to_string());
                        append(tx, operator.as_str(), None, &record).await?;
                    }
                    Ok(round)
                }
                .boxed()
            })
            .await?;
        total += round.rows;
        is_complete &= !round.passed_over;
        from = round.next;
    }
    Ok((total, is_complete))
}

/// What became of the next user.
#[derive(Debug, Default)]
struct Round {
    rows: u64,
    /// Where to go on; `None` at the end.
    next: Option<Place>,
    /// Whether they were locked.
    passed_over: bool,
}

/// Deletes some of what the next user has that is no longer kept.
async fn round(tx: &Tx, policy: &RetentionPolicy, from: Place, locked: Locked) -> Result<Round, StoreError> {
    // As it is now, and until the transaction ends: it may have been changed or deleted since the round before.
    let days = tx
        .query_row(
            "SELECT days FROM ironclaw.retention_policies WHERE tenant = $1 AND category = $2 FOR SHARE",
            params![policy.tenant.as_str(), category_code(policy.category)],
            |row| row.u32(0),
        )
        .await?;
    let Some(days) = days else {
        return Ok(Round::default());
    };
    let before = tx.now().before(Duration::from_secs(u64::from(days) * 86_400));
    let sql = Statements::of(policy.category);
    let Some(place) = next_owner(tx, &sql, policy, from, before).await? else {
        return Ok(Round::default());
    };
    let next = Some(Place { owner_no: place.owner_no + 1, ..place });
    if locked == Locked::PassOver {
        let free = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR UPDATE SKIP LOCKED";
        if tx.query_row(free, params![place.owner_no], |_| Ok(())).await?.is_none() {
            return Ok(Round { next, passed_over: true, ..Round::default() });
        }
    }
    let user = match tx.lock_owner(place.owner_no).await? {
        Some(user) if !user.held => user,
        // The hold or the erasure came between the two.
        _ => return Ok(Round { next, ..Round::default() }),
    };
    let rows = delete(tx, &sql, user, policy.category, before).await?;
    let is_more = format!("SELECT (({}) < $2 IS TRUE)::integer::bigint", sql.oldest);
    if rows > 0 && tx.number(is_more, params![user.owner_no, before]).await? > 0 {
        return Ok(Round { rows, next: Some(place), passed_over: false });
    }
    let note = format!("UPDATE ironclaw.users SET {} = ({}) WHERE owner_no = $1", sql.since, sql.oldest);
    tx.execute(note, params![user.owner_no]).await?;
    Ok(Round { rows, next, passed_over: false })
}

/// Users come by the time before which nothing of theirs was changed, and those of the same time by their numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    since: Option<Timestamp>,
    owner_no: i64,
}

/// What a category's users and their oldest are found by.
struct Statements {
    users: &'static str,
    old: &'static str,
    oldest: &'static str,
    since: &'static str,
}

macro_rules! users {
    ($since:literal) => {
        // One user's time that makes no sense keeps nobody from being found.
        concat!(
            "SELECT greatest(u.",
            $since,
            ", '0001-01-01 00:00:00+00 BC'), u.owner_no FROM ironclaw.users u WHERE u.tenant = $1 AND u.",
            $since,
            " < $2 AND (u.",
            $since,
            ", u.owner_no) >= (coalesce($3::timestamptz, '-infinity'), $4) AND NOT EXISTS (SELECT FROM ironclaw.holds h \
             WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) ORDER BY u.",
            $since,
            ", u.owner_no LIMIT 1"
        )
    };
}

macro_rules! of_table {
    ($table:literal, $since:literal) => {
        Statements {
            users: users!($since),
            old: concat!(
                "SELECT id FROM ironclaw.",
                $table,
                " WHERE owner_no = $1 AND updated_on <= ($2::timestamptz AT TIME ZONE 'UTC')::date AND updated_at < $2 \
                 ORDER BY updated_on LIMIT $3"
            ),
            oldest: concat!(
                "SELECT min(updated_at) FROM ironclaw.",
                $table,
                " WHERE owner_no = $1 AND updated_on = (SELECT min(updated_on) FROM ironclaw.",
                $table,
                " WHERE owner_no = $1)"
            ),
            since: $since,
        }
    };
}

impl Statements {
    fn of(category: RetainedCategory) -> Self {
        match category {
            RetainedCategory::Conversations => of_table!("conversations", "conversations_since"),
            RetainedCategory::Jobs => of_table!("jobs", "jobs_since"),
            RetainedCategory::Workspace => Self {
                users: users!("files_since"),
                old: "SELECT e.version_no, e.path FROM ironclaw.entry_versions v JOIN ironclaw.workspace_entries e \
                      ON e.owner_no = v.owner_no AND e.version_no = v.version_no \
                      WHERE v.owner_no = $1 AND v.state = 1 AND v.updated_at < $2 ORDER BY v.updated_at LIMIT $3",
                oldest: "SELECT min(updated_at) FROM ironclaw.entry_versions WHERE owner_no = $1 AND state = 1",
                since: "files_since",
            },
        }
    }
}

/// The next user of the policy's tenant, without a legal hold, who may have something that is no longer kept.
async fn next_owner(
    tx: &Tx,
    sql: &Statements,
    policy: &RetentionPolicy,
    from: Place,
    before: Timestamp,
) -> Result<Option<Place>, StoreError> {
    tx.query_row(sql.users, params![policy.tenant.as_str(), before, from.since, from.owner_no], |row| {
        Ok(Place { since: Some(row.time(0)?), owner_no: row.i64(1)? })
    })
    .await
}

async fn delete(
    tx: &Tx,
    sql: &Statements,
    user: Entered,
    category: RetainedCategory,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let arguments = params![user.owner_no, before, DELETED_AT_ONCE];
    if category == RetainedCategory::Workspace {
        let old = tx.query(sql.old, arguments, |row| Ok((row.i64(0)?, row.text(1)?))).await?;
        return workspace::retain(tx, user.owner_no, old).await;
    }
    let mut rows = 0;
    for id in tx.query(sql.old, arguments, |row| row.id(0)).await? {
        rows += match category {
            RetainedCategory::Conversations => {
                conversations::delete(tx, user.owner_no, ConversationId::from_bytes(id)).await?
            }
            _ => removal::delete_job(tx, user.owner_no, JobId::from_bytes(id)).await?,
        };
    }
    Ok(rows)
}

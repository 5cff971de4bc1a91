use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::Timestamp;
use ironclaw_core::id::{ConversationId, JobId};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::StoreError;

use super::PostgresMaintenance;
use crate::postgres::row::params;
use crate::postgres::text::numbered;
use crate::postgres::tx::Tx;
use crate::postgres::{conversations, removal, workspace};
use crate::retention::{Locked, Owner, Place, Retain, Statements, Taken, round};

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
                async move { round(tx, operator.as_str(), &policy, place, locked).await }.boxed()
            })
            .await?;
        total += round.rows;
        is_complete &= !round.passed_over;
        from = round.next;
    }
    Ok((total, is_complete))
}

macro_rules! statements {
    ($since:literal, $old:expr, $oldest:expr) => {
        Statements {
            // One user's time that makes no sense keeps nobody from being found.
            users: concat!(
                "SELECT u.owner_no, u.owner_no, greatest(u.",
                $since,
                ", '0001-01-01 00:00:00+00 BC') FROM ironclaw.users u WHERE u.tenant = ?1 AND u.",
                $since,
                " < ?2 AND (u.",
                $since,
                ", u.owner_no) >= (coalesce(?3::timestamptz, '-infinity'), ?4) AND NOT EXISTS (SELECT \
                 FROM ironclaw.holds h WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) ORDER BY u.",
                $since,
                ", u.owner_no LIMIT 1"
            ),
            old: $old,
            is_more: concat!("SELECT ((", $oldest, ") < ?2 IS TRUE)::integer::bigint"),
            // A user's content has the user's own number here.
            note: concat!("UPDATE ironclaw.users SET ", $since, " = (", $oldest, ") WHERE owner_no = ?1"),
        }
    };
}

macro_rules! of_table {
    ($table:literal, $since:literal) => {
        statements!(
            $since,
            concat!(
                "SELECT id FROM ",
                $table,
                " WHERE owner_no = ?1 AND updated_on <= (?2::timestamptz AT TIME ZONE 'UTC')::date AND updated_at < ?2 \
                 ORDER BY updated_on LIMIT ?3"
            ),
            concat!(
                "SELECT min(updated_at) FROM ",
                $table,
                " WHERE owner_no = ?1 AND updated_on = (SELECT min(updated_on) FROM ",
                $table,
                " WHERE owner_no = ?1)"
            )
        )
    };
}

#[async_trait]
impl Retain for Tx {
    fn statements(&self, category: RetainedCategory) -> Statements {
        match category {
            RetainedCategory::Conversations => of_table!("ironclaw.conversations", "conversations_since"),
            RetainedCategory::Jobs => of_table!("ironclaw.jobs", "jobs_since"),
            RetainedCategory::Workspace => statements!(
                "files_since",
                "SELECT e.version_no, e.path FROM ironclaw.entry_versions v JOIN ironclaw.workspace_entries e \
                 ON e.owner_no = v.owner_no AND e.version_no = v.version_no \
                 WHERE v.owner_no = ?1 AND v.state = 1 AND v.updated_at < ?2 ORDER BY v.updated_at LIMIT ?3",
                "SELECT min(updated_at) FROM ironclaw.entry_versions WHERE owner_no = ?1 AND state = 1"
            ),
        }
    }

    async fn take(&self, owner: Owner, locked: Locked) -> Result<Taken, StoreError> {
        if locked == Locked::PassOver {
            let free = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR UPDATE SKIP LOCKED";
            if self.query_row(free, params![owner.owner_no], |_| Ok(())).await?.is_none() {
                return Ok(Taken::Locked);
            }
        }
        Ok(match self.lock_owner(owner.owner_no).await? {
            Some(user) if !user.held => Taken::Yes,
            _ => Taken::No,
        })
    }

    async fn delete_old(
        &self,
        owner: Owner,
        category: RetainedCategory,
        old: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let (old, arguments) = (numbered(old), params![owner.content_no, before, DELETED_AT_ONCE]);
        if category == RetainedCategory::Workspace {
            let old = self.query(old, arguments, |row| Ok((row.i64(0)?, row.text(1)?))).await?;
            return workspace::retain(self, owner.owner_no, old).await;
        }
        let mut rows = 0;
        for id in self.query(old, arguments, |row| row.id(0)).await? {
            rows += match category {
                RetainedCategory::Conversations => {
                    conversations::delete(self, owner.owner_no, ConversationId::from_bytes(id)).await?
                }
                _ => removal::delete_job(self, owner.owner_no, JobId::from_bytes(id)).await?,
            };
        }
        Ok(rows)
    }
}

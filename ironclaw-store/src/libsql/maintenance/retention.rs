use async_trait::async_trait;
use ironclaw_core::Timestamp;
use ironclaw_core::id::OperatorName;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::store::StoreError;

use crate::libsql::budget::AT_ONCE;
use crate::libsql::removal::Kind;
use crate::libsql::row::params;
use crate::libsql::tx::{Tx, at_once};
use crate::libsql::users::{Numbers, content_no};
use crate::libsql::{LibsqlStore, remove, wait, workspace};
use crate::retention::{Locked, Owner, Place, Retain, Statements, Taken, round};

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
            let deleting = store.engine().delete(OPERATION, move |db| {
                let tx = Tx::of_all(db, now, &limits);
                db.write(|| at_once(&tx, round(&tx, operator.as_str(), &policy, place, Locked::WaitFor)))
            });
            let round = deleting.await?;
            total += round.rows;
            if round.rows > 0 {
                wait::settled(store.engine(), OPERATION).await?;
            }
            from = round.next;
        }
    }
    Ok(total)
}

macro_rules! statements {
    ($since:literal, $old:expr, ($table:literal, $which:literal)) => {
        Statements {
            // Without a place it begins before any time.
            users: concat!(
                "SELECT u.owner_no, ",
                content_no!("u"),
                ", u.",
                $since,
                " FROM ironclaw.users u WHERE u.tenant = ?1 AND u.",
                $since,
                " < ?2 AND (u.",
                $since,
                ", u.owner_no) >= (coalesce(?3, -9223372036854775808), ?4) AND NOT EXISTS (SELECT 1 \
                 FROM ironclaw.holds h WHERE h.owner_no = u.owner_no AND h.released_at IS NULL) ORDER BY u.",
                $since,
                ", u.owner_no LIMIT 1"
            ),
            old: $old,
            is_more: concat!(
                "SELECT coalesce((SELECT updated_at FROM ",
                $table,
                " WHERE owner_no = ?1",
                $which,
                " ORDER BY updated_at LIMIT 1) < ?2, 0)"
            ),
            note: concat!(
                "UPDATE ironclaw.users SET ",
                $since,
                " = (SELECT updated_at FROM ",
                $table,
                " WHERE owner_no = ?2",
                $which,
                " ORDER BY updated_at LIMIT 1) WHERE owner_no = ?1"
            ),
        }
    };
}

macro_rules! of_view {
    ($view:literal, $since:literal) => {
        statements!(
            $since,
            concat!("SELECT id FROM ", $view, " WHERE owner_no = ?1 AND updated_at < ?2 ORDER BY updated_at LIMIT ?3"),
            ($view, "")
        )
    };
}

#[async_trait]
impl Retain for Tx<'_> {
    fn statements(&self, category: RetainedCategory) -> Statements {
        match category {
            RetainedCategory::Conversations => of_view!("ironclaw.visible_conversations", "conversations_since"),
            RetainedCategory::Jobs => of_view!("ironclaw.visible_jobs", "jobs_since"),
            RetainedCategory::Workspace => statements!(
                "files_since",
                "SELECT v.version_no, e.path FROM ironclaw.entry_versions v CROSS JOIN ironclaw.workspace_entries e \
                 ON e.owner_no = v.owner_no AND e.path = v.path AND e.version_no = v.version_no \
                 WHERE v.owner_no = ?1 AND v.state = 1 AND v.updated_at < ?2 ORDER BY v.updated_at LIMIT ?3",
                ("ironclaw.entry_versions", " AND state = 1")
            ),
        }
    }

    /// Whoever writes is alone.
    async fn take(&self, _: Owner, _: Locked) -> Result<Taken, StoreError> {
        Ok(Taken::Yes)
    }

    async fn delete_old(
        &self,
        owner: Owner,
        category: RetainedCategory,
        old: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let user = Numbers { owner_no: owner.owner_no, content_no: owner.content_no };
        let tx = Tx::new(self.db, user, self.now, self.limits);
        tx.check_not_held()?;
        let kind = match category {
            RetainedCategory::Conversations => Kind::Conversation,
            RetainedCategory::Jobs => Kind::Job,
            RetainedCategory::Workspace => {
                let old = tx.db.query(old, params![tx.content_no(), before, tx.db.budget.left()], |row| {
                    row.text(1)?.try_into().map_err(|_| row.corrupt(1))
                })?;
                return workspace::retain(&tx, old);
            }
        };
        let mut deleted = 0;
        for id in tx.db.query(old, params![tx.content_no(), before, AT_ONCE], |row| row.bytes(0))? {
            if !tx.db.budget.is_left() {
                break;
            }
            deleted += remove::delete(&tx, kind, id)?;
        }
        Ok(deleted)
    }
}

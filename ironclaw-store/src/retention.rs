//! Deleting what no policy keeps any more: in rounds, each of one user and in a transaction of its own.

use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::Timestamp;
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::model::privacy::{RetainedCategory, RetentionPolicy};
use ironclaw_core::store::StoreError;

use crate::codes::category_code;
use crate::sql::{Transaction, params};
use crate::system::append;

/// What retention asks of an operator's transaction.
#[async_trait]
pub(crate) trait Retain: Transaction {
    /// How this engine finds what is old.
    fn statements(&self, category: RetainedCategory) -> Statements;

    /// Takes a user until the transaction ends.
    async fn take(&self, owner: Owner, locked: Locked) -> Result<Taken, StoreError>;

    /// Deletes some of what the statement `old` finds of a user who was taken. How many conversations, jobs or files.
    async fn delete_old(
        &self,
        owner: Owner,
        category: RetainedCategory,
        old: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// What a category's users and their oldest are found by.
pub(crate) struct Statements {
    /// The next user of the tenant `?1`, without a legal hold, who may have something from before `?2`, from the place
    /// `?3` and `?4` on: the two numbers of an [`Owner`], and the time that the place begins with.
    pub(crate) users: &'static str,
    /// At most `?3` of what the content number `?1` has from before `?2`, the oldest first.
    pub(crate) old: &'static str,
    /// Whether the content number `?1` has something from before `?2`.
    pub(crate) is_more: &'static str,
    /// Notes the time of the oldest of the content number `?2` with the user `?1`.
    pub(crate) note: &'static str,
}

/// A user by number, and the number that their content is kept under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) owner_no: i64,
    pub(crate) content_no: i64,
}

/// What to do about a user whom another transaction has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "whoever writes to a file is alone"))]
    PassOver,
    WaitFor,
}

/// Whether a user's rows may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "whoever writes to a file is alone"))]
pub(crate) enum Taken {
    Yes,
    /// They are locked, and were to be passed over.
    Locked,
    /// A hold or their erasure came meanwhile.
    No,
}

/// Users come by the time before which nothing of theirs was changed, and those of the same time by their numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    since: Option<Timestamp>,
    owner_no: i64,
}

/// What became of the next user.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// How many conversations, jobs or files were deleted.
    pub(crate) rows: u64,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Place>,
    /// Whether they were locked.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file has one writer, who passes nobody over"))]
    pub(crate) passed_over: bool,
}

/// Deletes some of what the next user has that is no longer kept, and says so in the audit trail.
pub(crate) async fn round(
    tx: &dyn Retain,
    operator: &str,
    policy: &RetentionPolicy,
    from: Place,
    locked: Locked,
) -> Result<Round, StoreError> {
    let round = next_user(tx, policy, from, locked).await?;
    if round.rows > 0 {
        let record = AuditRecord::new(Action::RetentionApply)
            .detail("tenant", policy.tenant.as_str())
            .detail("category", policy.category.name())
            .detail("rows", round.rows.to_string());
        append(tx, operator, None, &record).await?;
    }
    Ok(round)
}

async fn next_user(
    retain: &dyn Retain,
    policy: &RetentionPolicy,
    from: Place,
    locked: Locked,
) -> Result<Round, StoreError> {
    let tx: &dyn Transaction = retain;
    // As it is now, and until the transaction ends: it may have been changed or deleted since the round before.
    let days = tx
        .query_row(
            "SELECT days FROM ironclaw.retention_policies WHERE tenant = ?1 AND category = ?2 FOR SHARE",
            params![policy.tenant.as_str(), category_code(policy.category)],
            |row| row.u32(0),
        )
        .await?;
    let Some(days) = days else {
        return Ok(Round::default());
    };
    let before = tx.now().before(Duration::from_secs(u64::from(days) * 86_400));
    let sql = retain.statements(policy.category);
    let place = params![policy.tenant.as_str(), before, from.since, from.owner_no];
    let found = tx.query_row(sql.users, place, |row| {
        let owner = Owner { owner_no: row.i64(0)?, content_no: row.i64(1)? };
        Ok((owner, Place { since: Some(row.time(2)?), owner_no: owner.owner_no }))
    });
    let Some((owner, place)) = found.await? else {
        return Ok(Round::default());
    };
    let next = Some(Place { owner_no: place.owner_no + 1, ..place });
    match retain.take(owner, locked).await? {
        Taken::Yes => {}
        Taken::Locked => return Ok(Round { next, passed_over: true, ..Round::default() }),
        Taken::No => return Ok(Round { next, ..Round::default() }),
    }
    let rows = retain.delete_old(owner, policy.category, sql.old, before).await?;
    if rows > 0 && tx.number(sql.is_more, params![owner.content_no, before]).await? > 0 {
        return Ok(Round { rows, next: Some(place), passed_over: false });
    }
    tx.execute(sql.note, params![owner.owner_no, owner.content_no]).await?;
    Ok(Round { rows, next, passed_over: false })
}

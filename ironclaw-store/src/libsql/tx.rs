//! A transaction.

use futures::FutureExt;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};

use super::db::Db;
use super::locked::Locked;
use super::row::params;
use super::users::{Entered, Numbers};
use crate::sql::Standing;

/// One user's part of a transaction.
pub(super) struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) db: &'a Db,
    /// The user: it stands for tenant and owner in every key.
    pub(super) owner_no: i64,
    /// The same for conversations, jobs, workspace and receipts. Forgetting changes it.
    content_no: Locked<i64>,
    /// The time that the change's rows carry.
    pub(super) now: Timestamp,
    /// What is accepted.
    pub(super) limits: &'a Limits,
    /// As what whoever writes is in the place that they write in.
    pub(super) standing: Standing,
    held: Locked<Option<bool>>,
    /// The removal that forgetting began and could not end.
    forgetting: Locked<Option<i64>>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(db: &'a Db, user: Numbers, now: Timestamp, limits: &'a Limits) -> Self {
        let Numbers { owner_no, content_no } = user;
        let (content_no, held, forgetting) = (Locked::new(content_no), Locked::default(), Locked::default());
        Self { db, owner_no, content_no, now, limits, standing: Standing::Own, held, forgetting }
    }

    /// The same for whoever writes in this place.
    pub(super) fn entered(db: &'a Db, entered: &Entered, now: Timestamp, limits: &'a Limits) -> Self {
        Self { standing: entered.standing, ..Self::new(db, entered.owner.numbers(), now, limits) }
    }

    /// The transaction of an operator, or of what is no user's.
    pub(super) fn of_all(db: &'a Db, now: Timestamp, limits: &'a Limits) -> Self {
        Self::new(db, Numbers { owner_no: 0, content_no: 0 }, now, limits)
    }

    /// The number that the user's conversations, jobs, workspace and receipts are kept under.
    pub(super) fn content_no(&self) -> i64 {
        self.content_no.get()
    }

    /// Goes on under another number for content, while a removal takes what is under the old one.
    pub(super) fn forget(&self, content_no: i64, removal_no: i64) {
        self.content_no.set(content_no);
        self.forgetting.set(Some(removal_no));
    }

    /// The removal of what the change forgets, if that is not done yet.
    pub(super) fn forgetting(&self) -> Option<i64> {
        self.forgetting.get()
    }

    /// Whether a legal hold stands on the user.
    pub(super) fn is_held(&self) -> Result<bool, StoreError> {
        if let Some(held) = self.held.get() {
            return Ok(held);
        }
        let held = self.db.number(
            "SELECT EXISTS (SELECT 1 FROM holds WHERE owner_no = ?1 AND released_at IS NULL)",
            params![self.owner_no],
        )? != 0;
        self.held.set(Some(held));
        Ok(held)
    }

    /// Refuses to delete or overwrite what a legal hold protects. Whatever loses a value calls this first.
    pub(super) fn check_not_held(&self) -> Result<(), StoreError> {
        if self.is_held()? {
            return Err(self.error(StoreErrorKind::LegalHold, "ask the operator to release the hold first"));
        }
        Ok(())
    }

    /// An error of this kind in the operation that is under way.
    pub(super) fn error(&self, kind: StoreErrorKind, context: impl Into<String>) -> StoreError {
        self.db.error(kind, context)
    }

    /// Says that what the change is about is not there.
    pub(super) fn not_found(&self, what: &str) -> StoreError {
        self.error(StoreErrorKind::NotFound, what)
    }

    /// Says that the change came too late.
    pub(super) fn conflict(&self, why: &str) -> StoreError {
        self.error(StoreErrorKind::Conflict, why)
    }
}

/// What is asked of a transaction of this engine, which is done when it is first asked.
pub(super) fn at_once<T>(tx: &Tx<'_>, done: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let waiting = || tx.error(StoreErrorKind::Internal, "a call of a local database had to wait");
    done.now_or_never().unwrap_or_else(|| Err(waiting()))
}

//! What the categories see of a transaction.

use std::cell::Cell;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Page, Timestamp};

use super::db::Db;
use super::row::params;
use super::users::Numbers;

/// One user's part of a transaction that writes.
pub(super) struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) db: &'a Db,
    /// The user: it stands for tenant and owner in every key.
    pub(super) owner_no: i64,
    /// The same for conversations, jobs, workspace and receipts. Forgetting changes it.
    content_no: Cell<i64>,
    /// The time that the change's rows carry.
    pub(super) now: Timestamp,
    /// What is accepted.
    pub(super) limits: &'a Limits,
    held: Cell<Option<bool>>,
    /// The removal that forgetting began and could not end.
    forgetting: Cell<Option<i64>>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(db: &'a Db, user: Numbers, now: Timestamp, limits: &'a Limits) -> Self {
        let Numbers { owner_no, content_no } = user;
        let (content_no, held, forgetting) = (Cell::new(content_no), Cell::new(None), Cell::new(None));
        Self { db, owner_no, content_no, now, limits, held, forgetting }
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

/// One user's part of a snapshot.
pub(super) struct ReadTx<'a> {
    /// The connection, inside the snapshot.
    pub(super) db: &'a Db,
    /// The user.
    pub(super) owner_no: i64,
    /// The number that the user's conversations, jobs and workspace are kept under.
    pub(super) content_no: i64,
}

/// What a reading gives for a user that the store does not know.
pub(super) trait Absent {
    fn absent() -> Self;
}

impl<T> Absent for Option<T> {
    fn absent() -> Self {
        None
    }
}

impl<T> Absent for Vec<T> {
    fn absent() -> Self {
        Self::new()
    }
}

impl<T> Absent for Page<T> {
    fn absent() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

//! What the writer does when nobody asks it for anything, and in turns with what it is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ironclaw_core::Clock;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use tokio::sync::watch;

use crate::error::repeat;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::{change, remove, workspace};

/// How often to look for what became old enough, or what another process left.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long it is put off while another process holds the write lock.
const PAUSE: Duration = Duration::from_millis(20);

/// How long it is put off after a failure: that of a full disk, or one that can't be written to.
const RETRY: Duration = Duration::from_secs(10);

/// How many receipts one step removes.
const RECEIPTS_AT_ONCE: u32 = 200;

/// What those who wait for the background are told: that something ended, or why it can't go on now.
#[derive(Debug, Default)]
pub(in crate::libsql) struct Pass {
    pub(in crate::libsql) failure: Option<Arc<StoreError>>,
    /// Since when another process has held the write lock.
    pub(in crate::libsql) blocked_since: Option<Instant>,
}

/// Removes what was hidden, replaced or abandoned, one small transaction at a time.
pub(super) struct Background {
    clock: Arc<dyn Clock>,
    /// How long receipts are kept.
    receipts: Duration,
    /// When to go on.
    next_at: Instant,
    /// The removal that had the last turn.
    last: i64,
    told: watch::Sender<Pass>,
    /// Since when another process has held the write lock.
    blocked_since: Option<Instant>,
}

impl Background {
    pub(super) fn new(clock: Arc<dyn Clock>, receipts: Duration, told: watch::Sender<Pass>) -> Self {
        Self { clock, receipts, next_at: Instant::now(), last: 0, told, blocked_since: None }
    }

    /// Says that there may be something to do.
    pub(super) fn wake(&mut self) {
        self.next_at = Instant::now();
    }

    /// How long there is nothing to do.
    pub(super) fn idle(&self) -> Duration {
        self.next_at.saturating_duration_since(Instant::now())
    }

    /// Says that another process holds the write lock: again and again while it does, so that those who wait for the
    /// background can tell when they have waited for too long.
    pub(super) fn blocked(&mut self) {
        let blocked_since = Some(*self.blocked_since.get_or_insert_with(Instant::now));
        self.told.send_replace(Pass { blocked_since, failure: None });
    }

    /// Says that the write lock could be had.
    pub(super) fn unblocked(&mut self) {
        self.blocked_since = None;
    }

    /// Whether there is something to remove, though a hold may keep it.
    pub(super) fn is_anything_left(&self, db: &Db) -> bool {
        db.begin_operation("remove");
        let sql = "SELECT EXISTS (SELECT 1 FROM removals) OR EXISTS (SELECT 1 FROM entry_versions WHERE state <> 1)";
        // Whatever is wrong is found again by the step.
        db.number(sql, params![]).is_ok_and(|found| found != 0)
    }

    /// Does one step, if one is due. Whether there was something to do.
    pub(super) fn step(&mut self, db: &Db) -> bool {
        if !self.idle().is_zero() {
            return false;
        }
        db.begin_operation("remove");
        // A damaged row must not end the writer.
        let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.remove(db))).unwrap_or_else(|_| {
            db.roll_back();
            Err(db.error(StoreErrorKind::Internal, "a removal broke off; the store's file may be damaged"))
        });
        let error = match removed {
            Ok(did) => {
                self.unblocked();
                if !did {
                    self.next_at = Instant::now() + INTERVAL;
                }
                self.told.send_replace(Pass::default());
                return did;
            }
            Err(error) => error,
        };
        if *error.kind() == StoreErrorKind::ReadOnly {
            // Nothing can be done in a file that can't be written to, and nobody can have asked for it.
            self.next_at = Instant::now() + INTERVAL;
            self.told.send_replace(Pass { failure: Some(Arc::new(error)), blocked_since: None });
            return false;
        }
        // Another process's lock is waited for, but not here: others want to be answered.
        self.next_at = Instant::now() + if error.is_retryable() { PAUSE } else { RETRY };
        if error.is_retryable() {
            self.blocked();
        } else {
            tracing::warn!(%error, "removing what was deleted was put off");
            self.told.send_replace(Pass { failure: Some(Arc::new(repeat(&error))), blocked_since: None });
        }
        false
    }

    /// Whether there was something to do.
    fn remove(&mut self, db: &Db) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if db.write(|| remove::step(db, &mut self.last, now))? {
            return Ok(true);
        }
        let swept = db.write(|| {
            let receipts = change::sweep_receipts(db, self.receipts, now, RECEIPTS_AT_ONCE)?;
            Ok(receipts + workspace::give_up_abandoned(db, now)? + workspace::sweep(db)?)
        })?;
        Ok(swept > 0)
    }
}

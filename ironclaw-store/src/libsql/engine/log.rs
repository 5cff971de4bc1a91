//! The write-ahead log: moved into the file by us alone, and kept small.
//!
//! SQLite up to 3.51.2 loses what was committed if a checkpoint reads the log's header, another process then begins
//! the log anew, and the checkpoint goes on. Nobody begins it anew without the write lock, so a checkpoint runs on a
//! second connection while the one that writes holds that lock, and never otherwise: no connection checkpoints by
//! itself, and none asks for the modes that fall back to a passive one when the lock is taken.
//!
//! The next change begins the log anew when all of it is in the file and no reading uses it. Readings that overlap
//! without end would put that off for ever; the gate keeps new ones back for as long as the running ones take.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Clock, Timestamp};

use super::gate::Gate;
use crate::libsql::db::{Db, IMMEDIATE};
use crate::libsql::row::params;

/// The size of the log at which it is moved into the file, unless a quarter of the limit is less: 4,000 pages.
const CHECKPOINTED_AT: u64 = 16 << 20;

/// The least size at which it is moved, however small the disk.
const LEAST: u64 = 512 << 10;

/// How long a change waits at most for the readings that are under way, while the log is below its limit.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often to try again while somebody else keeps the log from being emptied.
const RETRY: Duration = Duration::from_secs(1);

/// How large the log is and why.
#[derive(Debug)]
pub(super) struct LogStatus {
    bytes: AtomicU64,
    /// When the log first could not be emptied though none of this process's readings was under way.
    stuck_since: AtomicI64,
    oversized: AtomicU64,
    limit: u64,
}

/// What [`LogStatus::stuck_since`] is while nothing is stuck.
const NOT_STUCK: i64 = i64::MIN;

impl LogStatus {
    pub(super) fn new(limit: u64) -> Self {
        Self { bytes: AtomicU64::new(0), stuck_since: AtomicI64::new(NOT_STUCK), oversized: AtomicU64::new(0), limit }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn stuck_since(&self) -> Option<Timestamp> {
        let since = self.stuck_since.load(Ordering::Relaxed);
        (since != NOT_STUCK).then(|| Timestamp::from_micros(since))
    }

    pub(super) fn oversized(&self) -> u64 {
        self.oversized.load(Ordering::Relaxed)
    }
}

/// The writer's second connection, which does nothing but move the log into the file.
pub(super) struct Log {
    db: Db,
    /// A connection that can't write. If it is the last to close, SQLite neither moves the log into the file nor takes it
    /// away.
    keeper: Db,
    gate: Arc<Gate>,
    status: Arc<LogStatus>,
    clock: Arc<dyn Clock>,
    /// How many bytes a log that began anew keeps; a larger one has more in it than that.
    threshold: u64,
    /// The size at which it is tried again.
    next_at: u64,
    /// When it is tried again though the log has not grown.
    retry_at: Option<Instant>,
    /// Whether a log that is too large was moved into the file as far as the readings let it.
    moved: bool,
}

impl Log {
    /// Takes the connection that will checkpoint, and sets up the one that writes.
    pub(super) fn new(
        db: Db,
        keeper: Db,
        writer: &Db,
        gate: Arc<Gate>,
        status: Arc<LogStatus>,
        clock: Arc<dyn Clock>,
        reserved: Option<u64>,
    ) -> Result<Self, StoreError> {
        // What is in the log and not in the file may need as much room there: no more than deleting could find.
        let threshold = CHECKPOINTED_AT.min(status.limit / 4).min(reserved.unwrap_or(u64::MAX).max(LEAST));
        let log = Self { db, keeper, gate, status, clock, threshold, next_at: threshold, retry_at: None, moved: false };
        log.keep(writer, threshold)?;
        Ok(log)
    }

    /// Looks at the log after a change, and keeps it small. What goes wrong is no error of the change.
    pub(super) fn after_change(&mut self, writer: &Db) {
        let (before, size) = (self.status.bytes.swap(writer.log_bytes(), Ordering::Relaxed), writer.log_bytes());
        // Of what a log that began anew keeps of its file, it is not known how much is used.
        if size > self.status.limit && size.saturating_sub(before) > self.status.limit - self.threshold {
            self.status.oversized.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                bytes = size - before,
                limit = self.status.limit,
                "one change is larger than the log may be"
            );
        }
        if size <= self.threshold {
            self.begun_anew();
        } else if self.retry_at.map_or(size > self.next_at, |at| at <= Instant::now()) {
            self.shrink(writer, size);
        }
    }

    /// How long to wait before [`retry`](Self::retry), if there is anything to try again.
    pub(super) fn due(&self) -> Option<Duration> {
        self.retry_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Tries again what somebody else kept from being done.
    pub(super) fn retry(&mut self, writer: &Db) {
        let size = self.status.bytes();
        self.shrink(writer, size);
    }

    /// Moves all of the log into the file and leaves almost nothing in it. `false` if others kept it from that.
    pub(super) fn empty(&mut self, writer: &Db) -> Result<bool, StoreError> {
        if self.gate.closed(None, || checkpoint(&self.db, writer)).transpose()? != Some(Moved::All) {
            return Ok(false);
        }
        // The next change begins the log anew and cuts off what is behind it.
        self.keep(writer, 0)?;
        let begun = writer.touch();
        self.keep(writer, self.threshold)?;
        begun?;
        self.status.bytes.store(writer.log_bytes(), Ordering::Relaxed);
        let emptied = writer.log_bytes() <= ONE_CHANGE;
        if emptied {
            self.begun_anew();
        }
        Ok(emptied)
    }

    /// Moves the log into the file before it is closed. Others may still read: not ours to wait for.
    pub(super) fn close(self, writer: Db) -> Result<(), StoreError> {
        self.db.begin_operation("close");
        let moved = checkpoint(&self.db, &writer).map(drop);
        // What this process knows of a log that is not the file's any more would destroy what others have written since.
        let is_gone = moved.as_ref().is_err_and(|error| *error.kind() == StoreErrorKind::FileMoved);
        if is_gone {
            drop((self.db, writer));
            drop(self.keeper);
        } else {
            drop(self.keeper);
            drop((self.db, writer));
        }
        moved
    }

    fn begun_anew(&mut self) {
        (self.next_at, self.retry_at, self.moved) = (self.threshold, None, false);
        self.status.stuck_since.store(NOT_STUCK, Ordering::Relaxed);
    }

    fn shrink(&mut self, writer: &Db, size: u64) {
        let patience = if size < self.status.limit { Some(PATIENCE) } else { None };
        let alone = self.moved || patience.is_none();
        let result = if alone {
            self.gate.closed(patience, || self.begin_anew(writer))
        } else {
            Some(checkpoint(&self.db, writer))
        };
        (self.next_at, self.retry_at) = (size + self.threshold / 4, None);
        match result {
            Some(Ok(Moved::All)) if alone => self.begun_anew(),
            Some(Ok(Moved::All | Moved::Part)) if !alone => (self.moved, self.next_at) = (true, size),
            Some(Ok(Moved::Nothing)) | None => {}
            // Another process reads what is in it.
            Some(Ok(_)) => self.stuck(),
            Some(Err(error)) => {
                tracing::warn!(%error, "the log could not be moved into the file");
                self.stuck();
            }
        }
    }

    /// Moves all of the log into the file and begins it anew with a change that changes nothing. One of a caller's would not
    /// tell: it may be as large as the whole log.
    fn begin_anew(&self, writer: &Db) -> Result<Moved, StoreError> {
        let moved = checkpoint(&self.db, writer)?;
        if moved != Moved::All {
            return Ok(moved);
        }
        match writer.touch() {
            Err(error) if error.is_retryable() => return Ok(Moved::Nothing),
            touched => touched?,
        }
        self.status.bytes.store(writer.log_bytes(), Ordering::Relaxed);
        Ok(if writer.log_bytes() <= self.threshold { Moved::All } else { Moved::Part })
    }

    fn stuck(&mut self) {
        self.retry_at = Some(Instant::now() + RETRY);
        let now = self.clock.now().as_micros();
        let first = self.status.stuck_since.compare_exchange(NOT_STUCK, now, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            tracing::warn!(bytes = self.status.bytes(), "another process keeps the log from being emptied");
        }
    }

    /// How much of its file a log that began anew keeps.
    fn keep(&self, writer: &Db, bytes: u64) -> Result<(), StoreError> {
        writer.batch(&format!("PRAGMA journal_size_limit = {bytes}"))
    }
}

/// More than the log takes with one page in it, whatever the size of pages.
const ONE_CHANGE: u64 = 128 << 10;

/// How much of the log is in the file.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    All,
    /// What nobody reads an older state of.
    Part,
    /// Another process held the write lock.
    Nothing,
}

/// Moves what can be moved, while the connection that writes keeps all others from beginning the log anew.
fn checkpoint(db: &Db, writer: &Db) -> Result<Moved, StoreError> {
    match writer.execute(IMMEDIATE, params![]) {
        Err(error) if error.is_retryable() => return Ok(Moved::Nothing),
        begun => begun?,
    };
    let moved = writer.check_whole().and_then(|_| {
        db.query_row("PRAGMA wal_checkpoint(PASSIVE)", params![], |row| {
            Ok(row.i64(0)? == 0 && row.i64(1)? == row.i64(2)?)
        })
    });
    writer.roll_back();
    Ok(if moved? == Some(true) { Moved::All } else { Moved::Part })
}

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Clock, Limits, Receipt};
use tokio::sync::oneshot;

use super::{Call, run};
use crate::error::{is_of_the_change, repeat};
use crate::libsql::change;
use crate::libsql::db::Db;
use crate::libsql::row::params;
use crate::libsql::workspace;
use crate::prepared::{APPLY, Prepared};

/// How many changes commit together at most.
const GROUP: usize = 256;

/// How long to wait for more changes at a time, while more come and the group before was larger.
const PATIENCE: Duration = Duration::from_micros(50);

/// How many rows one batch of the sweep deletes: a change waits for one batch at most.
const SWEPT_AT_ONCE: u32 = 500;

/// How often to look for what became old enough to be swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);

/// What the writer is asked for.
pub(super) enum Work {
    /// To apply a change.
    Change(Box<Prepared>, Reply),
    /// To run a call between changes.
    Call(Call),
}

type Reply = oneshot::Sender<Result<Receipt, StoreError>>;

/// Owns the connection that writes.
pub(super) struct Writer {
    db: Db,
    work: Receiver<Work>,
    waiting: VecDeque<Work>,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    sweep_due: bool,
    /// How many changes the last group had.
    last_group: usize,
}

impl Writer {
    pub(super) fn new(db: Db, work: Receiver<Work>, limits: Arc<Limits>, clock: Arc<dyn Clock>) -> Self {
        Self { db, work, waiting: VecDeque::new(), limits, clock, sweep_due: true, last_group: 1 }
    }

    /// Works until nobody can ask any more and all is done; then ends the other threads and closes the file.
    pub(super) fn run(mut self, readers: Vec<JoinHandle<()>>) -> Result<(), StoreError> {
        while let Some(work) = self.next() {
            match work {
                Work::Call(call) => run(&self.db, call),
                Work::Change(change, reply) => {
                    let group = self.gather((change, reply));
                    self.last_group = group.len();
                    self.commit(group);
                }
            }
        }
        for reader in readers {
            // A reader that panicked outside of a call has told so.
            let _ = reader.join();
        }
        self.db.begin_operation("close");
        // With nobody else reading, the log is moved into the file and emptied. Others may still read: not ours to wait for.
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", params![], |_| Ok(()))?;
        Ok(())
    }

    /// The next thing to do. Sweeps while there is nothing else to do and something to sweep.
    fn next(&mut self) -> Option<Work> {
        if let Some(work) = self.waiting.pop_front() {
            return Some(work);
        }
        loop {
            if self.sweep_due {
                match self.work.try_recv() {
                    Ok(work) => return Some(work),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) => self.sweep(),
                }
            } else {
                match self.work.recv_timeout(SWEEP_INTERVAL) {
                    Ok(work) => return Some(work),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => self.sweep_due = true,
                }
            }
        }
    }

    /// A change with those that are waiting, and those that are just about to: when the callers of the group before
    /// were answered together, a moment's patience is cheaper than a sync for the first of them alone.
    fn gather(&mut self, first: (Box<Prepared>, Reply)) -> Vec<(Box<Prepared>, Reply)> {
        let mut group = vec![first];
        let mut fruitless = 0;
        loop {
            let before = group.len();
            while group.len() < GROUP
                && let Some(next) = self.next_waiting_change()
            {
                group.push(next);
            }
            fruitless = if group.len() > before { 0 } else { fruitless + 1 };
            if group.len() >= self.last_group || fruitless > 2 || !self.waiting.is_empty() {
                return group;
            }
            std::thread::sleep(PATIENCE);
        }
    }

    /// The next change, if one is waiting and comes next.
    fn next_waiting_change(&mut self) -> Option<(Box<Prepared>, Reply)> {
        if !self.waiting.is_empty() {
            return None;
        }
        match self.work.try_recv().ok()? {
            Work::Change(change, reply) => Some((change, reply)),
            other => {
                self.waiting.push_back(other);
                None
            }
        }
    }

    fn sweep(&mut self) {
        self.db.begin_operation("sweep");
        let now = self.clock.now();
        match self.db.write(|| workspace::sweep(&self.db, now, SWEPT_AT_ONCE)) {
            Ok(0) => self.sweep_due = false,
            Ok(rows) => tracing::debug!(rows, "swept"),
            Err(error) => {
                tracing::debug!(%error, "the sweep was put off");
                self.sweep_due = false;
            }
        }
    }

    /// Commits changes together and answers their callers.
    fn commit(&mut self, group: Vec<(Box<Prepared>, Reply)>) {
        self.db.begin_operation(APPLY);
        self.sweep_due |= group.iter().any(|(change, _)| change::touches_workspace(change));
        tracing::debug!(changes = group.len(), "commit");
        if group.len() > 1 {
            match self.try_together(&group) {
                Ok(results) => return answer(group, results),
                Err(Broken::AtCommit(error)) => {
                    // What a commit that failed left behind is not known for sure: it must not be tried again.
                    let results = group.iter().map(|_| Err(repeat(&error))).collect();
                    return answer(group, results);
                }
                Err(Broken::Before(error)) => tracing::debug!(%error, "the group is tried one by one"),
            }
        }
        for (change, reply) in group {
            let result = self.alone(&change);
            let _ = reply.send(result);
        }
    }

    /// All changes in one transaction, each under a savepoint. `Err` if the transaction as a whole failed.
    fn try_together(&self, group: &[(Box<Prepared>, Reply)]) -> Result<Vec<Result<Receipt, StoreError>>, Broken> {
        let result = self.together(group);
        if result.is_err() {
            self.db.roll_back();
        }
        result
    }

    fn together(&self, group: &[(Box<Prepared>, Reply)]) -> Result<Vec<Result<Receipt, StoreError>>, Broken> {
        let db = &self.db;
        let run = |sql| db.execute(sql, params![]).map_err(Broken::Before);
        run("BEGIN IMMEDIATE")?;
        let mut results = Vec::with_capacity(group.len());
        for (change, _) in group {
            run("SAVEPOINT change")?;
            let now = self.clock.now();
            let result = caught(|| change::apply(change, db, &self.limits, now));
            if let Err(error) = &result {
                if !is_of_the_change(error) {
                    return Err(Broken::Before(repeat(error)));
                }
                run("ROLLBACK TO change")?;
                let failure = change.failure(error, &self.limits).map_err(Broken::Before)?;
                change::record(&failure, db, now).map_err(Broken::Before)?;
            }
            run("RELEASE change")?;
            results.push(result);
        }
        db.execute("COMMIT", params![]).map_err(Broken::AtCommit)?;
        Ok(results)
    }

    fn alone(&self, change: &Prepared) -> Result<Receipt, StoreError> {
        let db = &self.db;
        let now = self.clock.now();
        let result = db.write(|| caught(|| change::apply(change, db, &self.limits, now)));
        if let Err(error) = &result
            && is_of_the_change(error)
        {
            // What failed must be in the trail before its caller hears of it.
            let failure = change.failure(error, &self.limits)?;
            db.write(|| change::record(&failure, db, now))?;
        }
        result
    }
}

/// Why a group did not commit.
enum Broken {
    /// Nothing of it can have become durable.
    Before(StoreError),
    /// Its commit failed.
    AtCommit(StoreError),
}

fn answer(group: Vec<(Box<Prepared>, Reply)>, results: Vec<Result<Receipt, StoreError>>) {
    for ((_, reply), result) in group.into_iter().zip(results) {
        // A caller that has gone is no error: its change is whole.
        let _ = reply.send(result);
    }
}

/// A panic, as the crate has on text that is not UTF-8, fails one change and not the writer.
fn caught(apply: impl FnOnce() -> Result<Receipt, StoreError>) -> Result<Receipt, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(apply)).unwrap_or_else(|_| {
        Err(StoreError::new(StoreErrorKind::Internal, APPLY, "the change broke off; the store's file may be damaged"))
    })
}

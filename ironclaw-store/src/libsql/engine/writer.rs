use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ironclaw_core::Receipt;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use self::work::Waits;
pub(super) use self::work::{Asked, AskedCall, AskedChange, AskedLog, Work};
use super::background::Background;
use super::log::Log;
use super::reserve::Reserve;
use super::run;
use crate::error::{is_of_the_change, repeat};
use crate::libsql::change;
use crate::libsql::db::{Db, IMMEDIATE};
use crate::libsql::place::Place;
use crate::libsql::row::params;
use crate::prepared::APPLY;

mod work;

/// How many changes commit together at most.
const GROUP: usize = 256;

/// How long to wait for more changes at a time, while more come and the group before was larger.
const PATIENCE: Duration = Duration::from_micros(50);

/// The longest pause between two tries to take the write lock: so long do others wait for their answer at most.
const PAUSE: Duration = Duration::from_millis(20);

/// Owns the connection that writes.
pub(super) struct Writer {
    db: Db,
    /// Absent for a store in memory.
    log: Option<Log>,
    /// What deleting may use of a full disk.
    reserve: Option<(Reserve, Arc<Place>)>,
    work: Receiver<Work>,
    waiting: VecDeque<Work>,
    background: Background,
    /// How many changes the last group had.
    last_group: usize,
}

impl Writer {
    pub(super) fn new(
        db: Db,
        log: Option<Log>,
        reserve: Option<(Reserve, Arc<Place>)>,
        work: Receiver<Work>,
        background: Background,
    ) -> Self {
        Self { db, log, reserve, work, waiting: VecDeque::new(), background, last_group: 1 }
    }

    /// Works until nobody can ask any more and all is done; then ends the other threads and closes the file.
    pub(super) fn run(mut self, readers: Vec<JoinHandle<()>>) -> Result<(), StoreError> {
        while let Some(work) = self.next() {
            match work {
                Work::Call(call) => self.call(call),
                Work::Change(change) => {
                    let group = self.gather(change);
                    self.last_group = group.len();
                    self.commit(group);
                }
                Work::EmptyLog(asked) => self.empty_log(asked),
            }
            self.db.wait_until(None);
            if let Some(log) = &mut self.log {
                log.after_change(&self.db);
            }
            // In turns with what is asked for, however much that is.
            self.in_background();
        }
        for reader in readers {
            // A reader that panicked outside of a call has told so.
            let _ = reader.join();
        }
        self.db.begin_operation("close");
        // SQLite takes the log away with the file's last connection.
        self.log.map_or(Ok(()), |log| log.close(self.db))
    }

    /// The next thing to do. Does what can wait while there is nothing else to do.
    fn next(&mut self) -> Option<Work> {
        if let Some(work) = self.waiting.pop_front() {
            return Some(work);
        }
        loop {
            let (retry, idle) = (self.log.as_ref().and_then(Log::due), self.background.idle());
            match self.work.recv_timeout(retry.map_or(idle, |retry| retry.min(idle))) {
                Ok(work) => return Some(work),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => match &mut self.log {
                    Some(log) if retry.is_some_and(|retry| retry <= idle) => log.retry(&self.db),
                    _ => self.in_background(),
                },
            }
        }
    }

    /// A change with those that are waiting, and those that are just about to: when the callers of the group before
    /// were answered together, a moment's patience is cheaper than a sync for the first of them alone.
    fn gather(&mut self, first: AskedChange) -> Vec<AskedChange> {
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
    fn next_waiting_change(&mut self) -> Option<AskedChange> {
        let next = match self.waiting.pop_front() {
            Some(next) => next,
            None => self.work.try_recv().ok()?,
        };
        match next {
            Work::Change(change) => Some(change),
            other => {
                self.waiting.push_front(other);
                None
            }
        }
    }

    /// Takes the write lock for those who asked: gives those of them that have not waited for too long, with a
    /// transaction open unless it gives none. While another process holds the lock, everybody who waits is told so when
    /// his own time is up: it is waited for once.
    fn begin<T: Waits>(&mut self, mut asked: Vec<T>) -> Vec<T> {
        let mut pause = Duration::from_millis(1);
        while let Some(first) = asked.first() {
            self.db.begin_operation(first.asked().operation);
            let error = match self.db.begin(IMMEDIATE) {
                Ok(()) => {
                    self.background.unblocked();
                    break;
                }
                Err(error) => error,
            };
            if !error.is_retryable() {
                asked.drain(..).for_each(|one| one.refuse(&error));
                break;
            }
            self.background.blocked();
            self.waiting.extend(self.work.try_iter());
            let now = Instant::now();
            asked.extract_if(.., |one| one.asked().until <= now).for_each(|late| late.refuse(&error));
            let (late, waiting): (Vec<Work>, Vec<Work>) =
                self.waiting.drain(..).partition(|one| one.asked().until <= now);
            self.waiting = waiting.into();
            late.into_iter().for_each(|late| late.refuse(&error));
            if let Some(first) = asked.iter().map(|one| one.asked().until).min() {
                std::thread::sleep(pause.min(first.saturating_duration_since(now)));
                pause = (pause * 2).min(PAUSE);
            }
        }
        asked
    }

    /// Runs a call, which begins transactions of its own, once nobody else holds the write lock.
    fn call(&mut self, call: AskedCall) {
        for call in self.begin(vec![call]) {
            self.db.roll_back();
            self.db.wait_until(Some(call.asked.until));
            let AskedCall { call, deletes, asked: _asked } = call;
            let before = self.db.changes();
            let run = |writer: &mut Self| run(&writer.db, Box::new(|db| call(Ok(db))));
            if deletes {
                self.with_reserve(run)
            } else {
                run(self)
            }
            if self.db.changes() != before {
                self.background.wake();
            }
        }
    }

    fn empty_log(&mut self, asked: AskedLog) {
        for asked in self.begin(vec![asked]) {
            self.db.roll_back();
            self.db.wait_until(Some(asked.asked.until));
            let result = self.log.as_mut().map_or(Ok(true), |log| log.empty(&self.db));
            // A caller that has gone is no error.
            let _ = asked.reply.send(result);
        }
    }

    fn in_background(&mut self) {
        if !self.background.idle().is_zero() {
            return;
        }
        // What finds nothing to do needs no room.
        let did = match self.background.is_anything_left(&self.db) {
            true => self.with_reserve(|writer| writer.background.step(&writer.db)),
            false => self.background.step(&self.db),
        };
        if did && let Some(log) = &mut self.log {
            log.after_change(&self.db);
        }
    }

    /// Runs what only deletes. On a disk that is nearly full it gets the reserve; what is in the log goes into the file
    /// before it and after it, so that the room is there again.
    fn with_reserve<T>(&mut self, delete: impl FnOnce(&mut Self) -> T) -> T {
        let is_needed = |(reserve, place): &(Reserve, Arc<Place>)| reserve.is_needed(place);
        if !self.reserve.as_ref().is_some_and(is_needed) {
            return delete(self);
        }
        self.reserve.iter().for_each(|(reserve, _)| reserve.release());
        self.move_log();
        let deleted = delete(self);
        self.move_log();
        self.reserve.iter().for_each(|(reserve, _)| reserve.refill());
        deleted
    }

    fn move_log(&mut self) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.empty(&self.db)
        {
            tracing::warn!(%error, "the log could not be moved into the file");
        }
    }

    /// Commits changes together and answers their callers.
    fn commit(&mut self, group: Vec<AskedChange>) {
        if group.iter().any(|asked| change::leaves_something(&asked.change)) {
            self.background.wake();
        }
        let (deletes, group) = self.apart(group);
        for asked in deletes {
            self.with_reserve(|writer| {
                let begun = writer.begin(vec![asked]);
                writer.answer_alone(begun);
            });
        }
        if group.is_empty() {
            return;
        }
        let mut group = self.begin(group);
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
            for asked in group {
                let begun = self.begin(vec![asked]);
                self.answer_alone(begun);
            }
            return;
        }
        self.answer_alone(std::mem::take(&mut group));
    }

    /// The changes that only delete and need the reserve for it, and the others.
    fn apart(&self, group: Vec<AskedChange>) -> (Vec<AskedChange>, Vec<AskedChange>) {
        match &self.reserve {
            Some((reserve, place)) if reserve.is_needed(place) => {
                group.into_iter().partition(|asked| change::only_deletes(&asked.change))
            }
            _ => (Vec::new(), group),
        }
    }

    /// All changes in the open transaction, each under a savepoint. `Err` if the transaction as a whole failed.
    fn try_together(&self, group: &[AskedChange]) -> Result<Vec<Result<Receipt, StoreError>>, Broken> {
        let result = self.together(group);
        if result.is_err() {
            self.db.roll_back();
        }
        result
    }

    fn together(&self, group: &[AskedChange]) -> Result<Vec<Result<Receipt, StoreError>>, Broken> {
        let db = &self.db;
        let run = |sql| db.execute(sql, params![]).map_err(Broken::Before);
        let mut results = Vec::with_capacity(group.len());
        for asked in group {
            run("SAVEPOINT change")?;
            let (change, session) = (&asked.change, &asked.session);
            let now = session.clock.now();
            let result = caught(|| change::apply(change, db, &session.limits, now));
            if let Err(error) = &result {
                if !is_of_the_change(error) {
                    return Err(Broken::Before(repeat(error)));
                }
                run("ROLLBACK TO change")?;
                let failure = change.failure(error, &session.limits).map_err(Broken::Before)?;
                change::record(&failure, db, now).map_err(Broken::Before)?;
            }
            run("RELEASE change")?;
            results.push(result);
        }
        db.commit().map_err(Broken::AtCommit)?;
        Ok(results)
    }

    /// Answers the caller of the one change, if it is there, whose transaction is open.
    fn answer_alone(&self, asked: Vec<AskedChange>) {
        for asked in asked {
            self.db.wait_until(Some(asked.asked.until));
            let result = self.alone(&asked);
            // A caller that has gone is no error: its change is whole.
            let _ = asked.reply.send(result);
        }
    }

    fn alone(&self, asked: &AskedChange) -> Result<Receipt, StoreError> {
        let (db, change, session) = (&self.db, &asked.change, &asked.session);
        let now = session.clock.now();
        let result = db.end_write(|| caught(|| change::apply(change, db, &session.limits, now)));
        if let Err(error) = &result
            && is_of_the_change(error)
        {
            // What failed must be in the trail before its caller hears of it.
            let failure = change.failure(error, &session.limits)?;
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

fn answer(group: Vec<AskedChange>, results: Vec<Result<Receipt, StoreError>>) {
    for (asked, result) in group.into_iter().zip(results) {
        // A caller that has gone is no error: its change is whole.
        let _ = asked.reply.send(result);
    }
}

/// A panic, as the crate has on text that is not UTF-8, fails one change and not the writer.
fn caught(apply: impl FnOnce() -> Result<Receipt, StoreError>) -> Result<Receipt, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(apply)).unwrap_or_else(|_| {
        Err(StoreError::new(StoreErrorKind::Internal, APPLY, "the change broke off; the store's file may be damaged"))
    })
}

//! How far a standby may be behind.
//!
//! What counts is not the age of what was replayed last, which grows while nobody writes: a standby is behind by less
//! than the limit if it has all that the primary had at some moment since then. Those moments are this process's own, by
//! its own clock: each transaction at the primary tells how far the log reaches, and if none did for that long, the
//! primary is asked.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::standby::REST;
use super::{ASK, Position, Servers};
use crate::postgres::turns::Caller;

/// How many moments are kept of the time that the limit spans.
const KEPT: u32 = 8;

/// What is known of how far the primary's log reached, and when.
#[derive(Debug)]
pub(super) struct Lag {
    limit: Duration,
    moments: Mutex<VecDeque<Moment>>,
    /// Held by the one that asks the primary. Until when it is not asked again, if it did not answer.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    reached: u64,
}

impl Lag {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, moments: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The primary's log reached so far at this moment, or soon after it.
    pub(super) fn note(&self, at: Instant, reached: u64) {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let since = moments.back().map(|last| at.saturating_duration_since(last.at));
        if since.is_none_or(|since| since >= self.limit / KEPT) {
            moments.push_back(Moment { at, reached });
        }
        if moments.len() > KEPT as usize + 1 {
            moments.pop_front();
        }
    }

    /// How far the log of a standby must reach that is behind by less than the limit; `None` if nothing is known.
    fn needed(&self, now: Instant) -> Option<u64> {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        while moments.pop_front_if(|moment| now.saturating_duration_since(moment.at) > self.limit).is_some() {}
        moments.front().map(|moment| moment.reached)
    }
}

impl Servers {
    /// How far the log of a standby must reach that may answer a reading; `None` if the primary is to answer.
    pub(super) async fn needed(&self, operation: &'static str, caller: &Caller, patience: Duration) -> Option<u64> {
        let now = Instant::now();
        let written = || self.written.load(Ordering::SeqCst);
        if let Some(needed) = self.lag.needed(now) {
            return Some(needed.max(written()));
        }
        let mut rests_until = self.lag.asking.lock().await;
        // Somebody else may have asked meanwhile, with an answer or without one.
        if let Some(needed) = self.lag.needed(now) {
            return Some(needed.max(written()));
        }
        if rests_until.is_some_and(|until| now < until) {
            return Some(written());
        }
        // What a slow primary says is worth the wait, as without it nothing bounds what is read. One that hangs keeps
        // readers for half of the time at most, however far the standby may be behind.
        match tokio::time::timeout(REST, self.ask(operation, caller, patience)).await {
            Ok(Ok(is_known)) => {
                *rests_until = None;
                self.lag.needed(now).filter(|_| is_known).map(|needed| needed.max(written()))
            }
            // It is there, and says itself that it can do no more right now.
            Ok(Err(error)) if matches!(error.kind(), StoreErrorKind::Closed | StoreErrorKind::Busy) => None,
            // Nobody can tell what the standby lacks, and nobody else can answer.
            Ok(Err(_)) | Err(_) => {
                *rests_until = Some(Instant::now() + REST);
                Some(written())
            }
        }
    }

    /// Asks the primary how far its log reaches. `false` if there is no connection to do it with.
    async fn ask(&self, operation: &'static str, caller: &Caller, patience: Duration) -> Result<bool, StoreError> {
        let server = self.primary.load(Ordering::Relaxed);
        self.check_once(operation, server).await?;
        let began = Instant::now();
        let begun = self.servers[server].pool.try_begin(operation, caller, patience, &ASK).await?;
        let Some((connection, row)) = begun else {
            return Ok(false);
        };
        connection.give_back();
        let position = Position::of(operation, row)?;
        self.check_primary(operation, position)?;
        self.lag.note(began, position.reached);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_needs_what_the_primary_had_within_the_limit() {
        let lag = Lag::new(Duration::from_secs(8));
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(lag.needed(at(0)), None);
        for (second, reached) in [(0, 100), (1, 200), (2, 300)] {
            lag.note(at(second), reached);
        }
        // The oldest that is young enough asks the least.
        assert_eq!(lag.needed(at(8)), Some(100));
        assert_eq!(lag.needed(at(9)), Some(200));
        assert_eq!(lag.needed(at(10)), Some(300));
        // An idle primary's log reaches no further, but nobody has said so.
        assert_eq!(lag.needed(at(11)), None);
    }

    #[test]
    fn many_moments_take_no_more_room_than_few() {
        let lag = Lag::new(Duration::from_secs(8));
        let start = Instant::now();
        for millis in 0..100_000 {
            lag.note(start + Duration::from_millis(millis), millis);
        }
        assert!(lag.moments.lock().unwrap().len() <= KEPT as usize + 1);
        let needed = lag.needed(start + Duration::from_millis(100_000)).unwrap();
        assert!((92_000..=93_000).contains(&needed), "{needed}");
    }
}

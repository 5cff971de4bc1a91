//! Reading from the standby, if that is well and has everything.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::{ASK, Begun, Place, Position, READ, Server, Servers};
use crate::postgres::turns::Caller;

/// How long a standby that failed is left alone.
pub(super) const REST: Duration = Duration::from_secs(5);

/// How long a reading waits for the standby before it goes to the primary.
pub(super) const STANDBY: Duration = Duration::from_millis(500);

/// The same for one that could not be reached before, of which there is more to ask.
const FIRST: Duration = Duration::from_secs(2);

impl Servers {
    /// `None` if there is no standby, or none that is well, has all that this store wrote, and is not too far behind.
    pub(super) async fn begin_at_standby(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
    ) -> Option<Begun> {
        let index = 1 - self.primary.load(Ordering::Relaxed);
        let standby = self.servers.get(index)?;
        if !standby.may_be_asked() {
            return None;
        }
        let needed = self.needed(operation, caller, patience).await?;
        let is_checked = standby.is_checked.load(Ordering::Relaxed);
        let wait = if is_checked { STANDBY } else { FIRST };
        let asked = self.try_standby(operation, caller, index, patience, needed);
        let failed = match tokio::time::timeout(wait, asked).await {
            Ok(Ok(begun)) => {
                *standby.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return begun;
            }
            Ok(Err(error)) => error,
            Err(elapsed) => {
                StoreError::new(StoreErrorKind::TimedOut, operation, "the standby is slow").with_source(elapsed)
            }
        };
        self.rest(index, &failed);
        None
    }

    async fn try_standby(
        &self,
        operation: &'static str,
        caller: &Caller,
        server: usize,
        patience: Duration,
        needed: u64,
    ) -> Result<Option<Begun>, StoreError> {
        self.check_once(operation, server).await?;
        // Before the snapshot is taken: what is replayed after it is not in it.
        let begun = self.servers[server].pool.try_begin(operation, caller, patience, &ASK).await?;
        let Some((mut connection, row)) = begun else {
            return Ok(None);
        };
        let Position { is_standby, timeline, reached } = Position::of(operation, row)?;
        let highest = self.timeline.fetch_max(timeline, Ordering::SeqCst);
        if !is_standby {
            connection.give_back();
            let context = "the server is no standby: it was promoted, or replaced and started again";
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, context));
        }
        let is_settled = self.lost.load(Ordering::SeqCst) == self.settled.load(Ordering::SeqCst);
        if timeline < highest || !is_settled || reached < needed {
            connection.give_back();
            return Ok(None);
        }
        connection.run(operation, READ).await?;
        Ok(Some((connection, Place { server, timeline })))
    }

    pub(super) fn rest(&self, standby: usize, error: &StoreError) {
        let mut rests_until = self.servers[standby].rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.replace(Instant::now() + REST).is_none() {
            tracing::warn!(%error, "the primary answers what the standby would, until that is well again");
        }
    }
}

impl Server {
    /// Of those that come when its rest is over, one tries it.
    fn may_be_asked(&self) -> bool {
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *rests_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                *rests_until = Some(now + REST);
                true
            }
        }
    }
}

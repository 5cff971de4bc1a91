//! A call among those that wait for their turns.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ironclaw_core::id::{SpaceName, TenantId, UserId};
use tokio_util::sync::CancellationToken;

use super::Turns;

/// A call, with its place among those of its line, which it keeps while it is tried again.
#[derive(Debug)]
pub(in crate::postgres) struct Caller {
    pub(super) line: Arc<Line>,
    pub(super) place: u64,
    waits_at_lock: AtomicBool,
    /// Who was asked for its last turn.
    turns: Mutex<Option<Arc<Turns>>>,
    /// Whether whoever made the call went away.
    left: CancellationToken,
}

/// Calls that do the same for the same user.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) whose: Whose,
    pub(super) writes: bool,
}

/// Whose rows a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::postgres) enum Whose {
    User(TenantId, UserId),
    /// A space's, for an operator.
    Space(TenantId, SpaceName),
    /// A user whom a copy knows by number.
    Number(i64),
    /// A tenant's, without any user's.
    Tenant(String),
    Everybody,
}

impl Whose {
    pub(super) fn is_one_users(&self) -> bool {
        matches!(self, Self::User(..) | Self::Space(..) | Self::Number(_))
    }
}

impl Caller {
    pub(in crate::postgres) fn new(whose: Whose, writes: bool, left: CancellationToken) -> Self {
        static CALLERS: AtomicU64 = AtomicU64::new(0);
        let place = CALLERS.fetch_add(1, Ordering::Relaxed);
        let (waits_at_lock, turns) = (AtomicBool::new(false), Mutex::default());
        Self { line: Arc::new(Line { whose, writes }), place, waits_at_lock, turns, left }
    }

    /// From now on its turns are for waiting at a lock, with a part of the connections. Until it is done no other call of its
    /// line has a turn: that would wait for the same.
    pub(in crate::postgres) fn wait_at_lock(&self) {
        self.waits_at_lock.store(true, Ordering::Relaxed);
        if let Some(turns) = &*self.turns() {
            turns.keep(self, true);
        }
    }

    pub(in crate::postgres) fn waits_at_lock(&self) -> bool {
        self.waits_at_lock.load(Ordering::Relaxed)
    }

    /// How long it may wait at a lock with its turn; `None` before it has met one.
    pub(in crate::postgres) fn share_at_lock(&self) -> Option<Duration> {
        let turns = self.turns();
        turns.as_ref().filter(|_| self.waits_at_lock()).map(|turns| turns.share_at_lock())
    }

    /// What a wait gives; `None` if whoever made the call went away: nobody is left to wait for.
    pub(in crate::postgres) async fn unless_left<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let waited = self.left.run_until_cancelled(wait).await;
        // What came at the same moment is for whoever is next.
        waited.filter(|_| !self.left.is_cancelled())
    }

    /// It asks these for its turn. A lock that it met at the server that it asked before keeps it no more.
    pub(super) fn ask(&self, turns: &Arc<Turns>) {
        let before = self.turns().replace(Arc::clone(turns));
        if let Some(before) = before
            && !Arc::ptr_eq(&before, turns)
            && self.waits_at_lock.swap(false, Ordering::Relaxed)
        {
            before.keep(self, false);
        }
    }

    fn turns(&self) -> MutexGuard<'_, Option<Arc<Turns>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.waits_at_lock()
            && let Some(turns) = self.turns().take()
        {
            turns.keep(self, false);
        }
    }
}

impl Line {
    /// How many of its calls have a connection at the same time; half of all at most, so that nobody has all.
    pub(super) fn most(&self, connections: usize) -> usize {
        if self.whose.is_one_users() && self.writes { 1 } else { connections.div_ceil(2) }
    }
}

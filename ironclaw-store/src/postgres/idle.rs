//! The connections that nobody uses, and the calls that wait for one of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::oneshot;

/// After how long without use a connection is closed.
const UNUSED: Duration = Duration::from_secs(600);

/// How long a connection is used, so that what a server keeps for it does not grow for ever.
const LIFETIME: Duration = Duration::from_secs(1_800);

/// A connection that outlives the transactions on it.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) connection: PgConnection,
    opened: Instant,
    used: Instant,
}

impl Pooled {
    pub(super) fn new(connection: PgConnection) -> Self {
        let now = Instant::now();
        Self { connection, opened: now, used: now }
    }

    fn is_young(&self) -> bool {
        self.opened.elapsed() < LIFETIME && self.used.elapsed() < UNUSED
    }
}

/// The connections that nobody uses, each in no transaction. Dropping one closes its socket.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    connections: Vec<Pooled>,
    /// Calls that the server had no connection for, the first of which gets the next one.
    waiting: VecDeque<oneshot::Sender<Pooled>>,
}

impl Idle {
    /// Keeps a connection for the next one.
    pub(super) fn put(&self, mut pooled: Pooled) {
        pooled.used = Instant::now();
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(pooled) {
                Ok(()) => return,
                Err(back) => pooled = back,
            }
        }
        state.connections.retain(Pooled::is_young);
        state.connections.push(pooled);
    }

    /// The one that was used last: those that are not needed grow old.
    pub(super) fn take(&self) -> Option<Pooled> {
        let mut state = self.state();
        state.connections.retain(Pooled::is_young);
        state.connections.pop()
    }

    /// The next one that comes back, if one does in time.
    pub(super) async fn next(&self, wait: Duration) -> Option<Pooled> {
        let next = {
            let mut state = self.state();
            if let Some(pooled) = state.connections.pop() {
                return Some(pooled);
            }
            let (waiting, next) = oneshot::channel();
            state.waiting.retain(|waiting| !waiting.is_closed());
            state.waiting.push_back(waiting);
            next
        };
        tokio::time::timeout(wait, next).await.ok()?.ok()
    }

    pub(super) fn clear(&self) {
        drop(self.drain());
    }

    pub(super) fn drain(&self) -> Vec<Pooled> {
        std::mem::take(&mut self.state().connections)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

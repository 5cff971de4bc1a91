//! The gate before the readings: closed for a moment, so that none is under way.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts the readings that are under way, and keeps new ones waiting while it is closed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    closed: bool,
}

impl Gate {
    /// Runs a reading, once the gate is open.
    pub(super) fn pass<T>(&self, reading: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        while state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.under_way += 1;
        drop(state);
        let _passing = Passing(self);
        reading()
    }

    /// Closes the gate, waits until the readings that are under way have ended, runs `alone`, and opens the gate.
    /// `None`, without running it, if they take longer than `patience`; for ever if there is none.
    pub(super) fn closed<T>(&self, patience: Option<Duration>, alone: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.lock();
        state.closed = true;
        let _closed = Closed(self);
        let begun = Instant::now();
        while state.under_way > 0 {
            state = match patience {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let left = patience.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
                    let Some(left) = left else {
                        drop(state);
                        return None;
                    };
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(state);
        Some(alone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single step: it is whole even if a thread panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reading under way, until it is dropped.
struct Passing<'a>(&'a Gate);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
        self.0.changed.notify_all();
    }
}

/// The gate closed, until it is dropped.
struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn nobody_reads_while_it_is_closed() {
        let gate = &Gate::default();
        let (began, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let first = began.clone();
            scope.spawn(move || {
                gate.pass(|| {
                    first.send("first").unwrap();
                    ends.recv().unwrap();
                });
            });
            assert_eq!(begins.recv().unwrap(), "first");
            assert_eq!(gate.closed(Some(Duration::ZERO), || panic!("a reading is under way")), None);
            end.send(()).unwrap();
            gate.closed(None, || {
                scope.spawn(move || gate.pass(move || began.send("second").unwrap()));
                assert!(
                    begins.recv_timeout(Duration::from_millis(20)).is_err(),
                    "a reading began behind a closed gate"
                );
            })
            .unwrap();
            assert_eq!(begins.recv().unwrap(), "second");
        });
    }
}

//! A value that one thread uses at a time.

use std::sync::{Mutex, PoisonError};

/// A [`Cell`](std::cell::Cell) that other threads may hold too: what waits in the middle of a transaction is a future, and
/// futures may go from one thread to another. Nobody ever waits for it.
#[derive(Debug, Default)]
pub(super) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Looks at the value or changes it. What is done with it must not come back here.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, value: T) {
        self.replace(value);
    }

    pub(super) fn replace(&self, value: T) -> T {
        self.with(|old| std::mem::replace(old, value))
    }
}

impl<T: Clone> Locked<T> {
    pub(super) fn get(&self) -> T {
        self.with(|value| value.clone())
    }
}

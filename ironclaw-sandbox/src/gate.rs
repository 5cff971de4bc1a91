//! Who may run: so many calls at once, so many waiting, none after closing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ironclaw_core::tool::{ToolError, ToolErrorKind};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::limits::SandboxLimits;

/// Counts the calls of a sandbox.
#[derive(Debug)]
pub(crate) struct Gate {
    running: Semaphore,
    inside: AtomicUsize,
    capacity: usize,
    wait: Duration,
    closed: AtomicBool,
    left: Notify,
}

impl Gate {
    pub(crate) fn new(limits: &SandboxLimits) -> Self {
        Self {
            running: Semaphore::new(limits.running_calls),
            inside: AtomicUsize::new(0),
            capacity: limits.running_calls + limits.waiting_calls,
            wait: limits.wait,
            closed: AtomicBool::new(false),
            left: Notify::new(),
        }
    }

    /// Counts one more call, which runs or waits from now on.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Ticket, ToolError> {
        // Counted before the look at `closed`: whoever closes either is seen here or sees this call.
        let before = self.inside.fetch_add(1, Ordering::SeqCst);
        let ticket = Ticket(Arc::clone(self));
        if self.closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        if before >= self.capacity {
            return Err(busy("too many calls are waiting"));
        }
        Ok(ticket)
    }

    /// Lets nobody in and waits until everybody has left.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.running.close();
        loop {
            let left = self.left.notified();
            if self.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// One call that was let in.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Gate>);

impl Ticket {
    /// Waits until the call may run; it may for as long as the permit lives.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, ToolError> {
        if let Ok(permit) = self.0.running.try_acquire() {
            return Ok(permit);
        }
        match tokio::time::timeout(self.0.wait, self.0.running.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(busy("too many calls are running")),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

/// The error of a call after [`Gate::close`].
pub(crate) fn closed() -> ToolError {
    ToolError::new(ToolErrorKind::Closed, "call", "the sandbox was closed")
}

fn busy(why: &str) -> ToolError {
    ToolError::new(ToolErrorKind::Busy, "call", format!("{why}; try again later"))
}

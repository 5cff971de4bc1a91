//! Waiting: for what is the host's, as long as somebody wants the answer and there is time.

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use futures::FutureExt;

use super::{Turn, cancelled};
use crate::agent::reply::AgentEvent;
use crate::agent::{AgentError, AgentErrorKind};

impl Turn {
    pub(super) async fn tell(&self, event: AgentEvent) -> Result<(), AgentError> {
        self.wait(self.events.send(Ok(event))).await?.map_err(|_| cancelled())
    }

    /// Waits until the work is done, the caller has gone, or the answer has taken too long.
    pub(super) async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, AgentError> {
        let deadline = self.inner.config.deadline;
        let left = deadline.saturating_sub(self.begun.elapsed());
        let late = || {
            let context = format!("the answer took longer than {deadline:?}");
            AgentError::new(AgentErrorKind::DeadlineExceeded, "send", context)
        };
        // Work that is always ready never lets a timer fire, and a machine that slept has no timer that tells.
        if left.is_zero() || self.inner.clock.now() >= self.until {
            return Err(late());
        }
        let waiting = async {
            let mut work = pin!(work.fuse());
            let mut gone = pin!(self.events.closed().fuse());
            let mut too_late = pin!(tokio::time::sleep(left).fuse());
            futures::select_biased! {
                done = work => Ok(done),
                () = gone => Err(cancelled()),
                () = too_late => Err(late()),
            }
        };
        AssertUnwindSafe(waiting).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
    }
}

pub(super) fn panicked() -> AgentError {
    let context = "a provider, an embedder or a memory panicked, or the runtime has no timers (`enable_all`)";
    AgentError::new(AgentErrorKind::Panicked, "send", context)
}

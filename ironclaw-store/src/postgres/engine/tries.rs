//! How often a call is tried, and how long it waits for a lock each time.

use std::time::{Duration, Instant};

/// How long a call waits after each attempt that was lost.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
];

/// After how long a call is not tried again.
const TRIED: Duration = Duration::from_secs(20);

/// How long a change keeps a connection while it waits for a lock, of another process's change of the same user, for the
/// first time. It takes the turn of others for that.
const AT_FIRST: Duration = Duration::from_millis(20);

/// When a call that was lost is tried again.
pub(super) struct Tries {
    pauses: std::slice::Iter<'static, Duration>,
    began: Instant,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { pauses: PAUSES.iter(), began: Instant::now() }
    }

    /// Waits before the next try; `false` if there is none.
    pub(super) async fn again(&mut self) -> bool {
        match self.pauses.next() {
            Some(pause) if self.is_within(TRIED) => {
                tokio::time::sleep(*pause).await;
                true
            }
            _ => false,
        }
    }

    /// Whether the call has not taken so long yet.
    pub(super) fn is_within(&self, most: Duration) -> bool {
        self.began.elapsed() < most
    }

    /// How long the next attempt waits for a lock, if the whole call may wait for so long, and this attempt, unless it is
    /// the first, for its share of the time of those who wait so.
    pub(super) fn at_a_lock(&self, share: Option<Duration>, most: Duration) -> Duration {
        let wait = share.unwrap_or(AT_FIRST);
        wait.min(most.saturating_sub(self.began.elapsed())).max(Duration::from_millis(1))
    }
}

//! What an opening of a file gives with each of its calls.

use std::sync::Arc;

use ironclaw_core::{Clock, Limits};
use tokio::sync::watch;

/// What holds for the changes of one opening.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) limits: Limits,
    pub(super) clock: Arc<dyn Clock>,
}

/// A call that was taken and is not done.
#[derive(Debug)]
pub(super) struct Taken(pub(super) watch::Sender<usize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

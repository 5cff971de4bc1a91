//! How much one transaction removes.

use super::locked::Locked;

/// How many rows one transaction removes at most, those of all changes of a group together. A row of long content counts
/// for as many rows as it has pages, since each of them is overwritten.
pub(super) const AT_ONCE: u32 = 500;

/// What the transaction under way may still remove.
#[derive(Debug, Default)]
pub(super) struct Budget(Locked<u32>);

impl Budget {
    /// Begins a transaction.
    pub(super) fn renew(&self) {
        self.0.set(AT_ONCE);
    }

    /// Whether something may still be removed. Whatever removes stops when it may not, so that something left after it
    /// says that it is done.
    pub(super) fn is_left(&self) -> bool {
        self.0.get() > 0
    }

    pub(super) fn left(&self) -> u32 {
        self.0.get()
    }

    pub(super) fn spend(&self, rows: u64) {
        self.0.with(|left| *left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX)));
    }
}

//! The memory of one call: all linear memories and tables added up.

use wasmtime::ResourceLimiter;

/// What a table's element takes in the host.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Adds up what a call's memories and tables hold, and refuses what goes beyond the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: usize,
    held: usize,
    peak: usize,
    last_growth: usize,
    refused: bool,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: 0, peak: 0, last_growth: 0, refused: false }
    }

    /// The most that was held, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Whether growth was refused: if the tool then crashed, that is why.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, growth: usize) -> bool {
        let wanted = self.held.saturating_add(growth);
        if wanted > self.limit {
            self.refused = true;
            return false;
        }
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        self.last_growth = growth;
        true
    }

    /// The engine could not do what was accepted last.
    fn undo(&mut self) {
        self.held -= std::mem::take(&mut self.last_growth);
        self.refused = true;
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = MemoryLimiter::new(1_000);
        assert!(limiter.memory_growing(0, 500, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(!limiter.refused());
        assert!(!limiter.table_growing(0, 20, None).unwrap());
        assert!(limiter.refused());
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert_eq!(limiter.peak(), 980);
    }

    #[test]
    fn growth_that_the_engine_could_not_do_is_given_back() {
        let mut limiter = MemoryLimiter::new(1_000);
        assert!(limiter.memory_growing(0, 900, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(limiter.memory_growing(0, 900, None).unwrap());
    }
}

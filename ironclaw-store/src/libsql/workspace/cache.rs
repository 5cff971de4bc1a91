//! Vectors kept in memory between searches.
//!
//! A cached matrix carries the generation of the owner's workspace that it was read at. A search compares it with the
//! generation in its own snapshot and brings the matrix up to date first, so that writes of other processes are seen
//! as well.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ironclaw_core::id::EmbeddingModelId;

use super::matrix::Matrix;

/// The matrices that were searched last, at most so many bytes of them.
#[derive(Debug)]
pub(in crate::libsql) struct VectorCache {
    limit: usize,
    /// The one used last at the end.
    slots: Mutex<Vec<Slot>>,
}

/// A matrix that several searches share.
pub(super) type Shared = Arc<RwLock<Cached>>;

/// The vectors of one user and one model, as they were at a generation.
#[derive(Debug)]
pub(super) struct Cached {
    /// The generation of the workspace that the matrix is of; absent while it is not whole.
    pub(super) generation: Option<i64>,
    /// The generation up to which vectors were read of a matrix that is not whole yet.
    pub(super) part: Option<i64>,
    pub(super) matrix: Matrix,
}

#[derive(Debug)]
struct Slot {
    owner_no: i64,
    model: EmbeddingModelId,
    bytes: usize,
    shared: Shared,
}

impl VectorCache {
    /// The memory that cached vectors take unless another limit is set: 256 MiB, about 170,000 vectors of 384
    /// dimensions.
    pub(in crate::libsql) const DEFAULT_BYTES: usize = 256 << 20;

    /// An empty cache of at most `limit` bytes. A matrix that alone is larger is not kept after its search.
    pub(in crate::libsql) fn new(limit: usize) -> Self {
        Self { limit, slots: Mutex::default() }
    }

    /// Forgets all vectors: those of a user who is forgotten would otherwise stay until others need their place.
    pub(in crate::libsql) fn clear(&self) {
        self.lock().clear();
    }

    /// The vectors of an owner and a model: new and empty if they are not in memory.
    pub(super) fn shared(&self, owner_no: i64, model: &EmbeddingModelId, dimensions: usize) -> Shared {
        let mut slots = self.lock();
        let slot = match slots.iter().position(|slot| slot.owner_no == owner_no && slot.model == *model) {
            Some(at) => slots.remove(at),
            None => {
                let cached = Cached { generation: None, part: None, matrix: Matrix::new(dimensions) };
                Slot { owner_no, model: model.clone(), bytes: 0, shared: Arc::new(RwLock::new(cached)) }
            }
        };
        let shared = Arc::clone(&slot.shared);
        slots.push(slot);
        shared
    }

    /// Notes how large a matrix has become, and forgets those that were not used for longest while all together are
    /// too large.
    pub(super) fn resized(&self, shared: &Shared, bytes: usize) {
        let mut slots = self.lock();
        if let Some(at) = slots.iter().position(|slot| Arc::ptr_eq(&slot.shared, shared)) {
            slots[at].bytes = bytes;
            if bytes > self.limit {
                slots.remove(at);
            }
        }
        let mut total: usize = slots.iter().map(|slot| slot.bytes).sum();
        while total > self.limit {
            total -= slots.remove(0).bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Each change of the list is a single step: it is whole even if a thread panicked.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> EmbeddingModelId {
        EmbeddingModelId::parse(name).unwrap()
    }

    fn is_kept(cache: &VectorCache, owner_no: i64, shared: &Shared) -> bool {
        cache.lock().iter().any(|slot| slot.owner_no == owner_no && Arc::ptr_eq(&slot.shared, shared))
    }

    #[test]
    fn whoever_writes_keeps_his_vectors() {
        let cache = VectorCache::new(10_000 * 52);
        let shared = cache.shared(1, &model("m"), 3);
        let mut cached = shared.write().unwrap();
        // More than half of the limit: twice as much room would be over it.
        cached.matrix.reserve(6_000);
        for _ in 0..6_001 {
            cached.matrix.push([0; 16], 1, &[0; 12]).unwrap();
        }
        cache.resized(&shared, cached.matrix.bytes());
        assert!(is_kept(&cache, 1, &shared));
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = VectorCache::new(100);
        let first = cache.shared(1, &model("m"), 3);
        cache.resized(&first, 40);
        let second = cache.shared(2, &model("m"), 3);
        cache.resized(&second, 40);
        assert!(Arc::ptr_eq(&first, &cache.shared(1, &model("m"), 3)));
        let third = cache.shared(1, &model("n"), 3);
        cache.resized(&third, 40);
        assert!(is_kept(&cache, 1, &first) && is_kept(&cache, 1, &third) && !is_kept(&cache, 2, &second));
        let large = cache.shared(3, &model("m"), 3);
        cache.resized(&large, 101);
        assert!(!is_kept(&cache, 3, &large));
        assert!(is_kept(&cache, 1, &first), "the others stay");
        cache.clear();
        assert!(!is_kept(&cache, 1, &first));
    }
}

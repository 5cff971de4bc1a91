//! The engines of this process: one for each file, whatever names it is opened by.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, TryLockError, Weak};

use ironclaw_core::store::StoreError;

use super::{Engine, Options};
use crate::libsql::place::{FileId, Place};

static ENGINES: LazyLock<Mutex<HashMap<FileId, Entry>>> = LazyLock::new(Mutex::default);

struct Entry {
    engine: Weak<Engine>,
    /// Locked while an engine of the file runs: the next begins when it has ended.
    running: Arc<Mutex<()>>,
}

/// The engine of this file, which was started if there was none.
pub(super) fn engine(place: Place, options: Options) -> Result<Arc<Engine>, StoreError> {
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = engines.get(place.id());
    if let Some(engine) = entry.and_then(|entry| entry.engine.upgrade())
        && engine.join()
    {
        return Ok(engine);
    }
    let running = entry.map(|entry| Arc::clone(&entry.running)).unwrap_or_default();
    let id = place.id().clone();
    let engine = Arc::new(Engine::start(Some(Arc::new(place)), options, Arc::clone(&running))?);
    // What has ended is of no use any more, and its file may be another's by now.
    engines.retain(|_, entry| entry.engine.strong_count() > 0 || Arc::strong_count(&entry.running) > 1);
    engines.insert(id, Entry { engine: Arc::downgrade(&engine), running });
    Ok(engine)
}

/// Runs `run` while no engine of the file runs; `None` if one does.
pub(in crate::libsql) fn without_engine<T>(id: &FileId, run: impl FnOnce() -> T) -> Option<T> {
    let running = {
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = engines.entry(id.clone()).or_insert_with(|| Entry { engine: Weak::new(), running: Arc::default() });
        Arc::clone(&entry.running)
    };
    // An engine that ends just now is waited for by whoever closed it.
    let _alone = match running.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    Some(run())
}

//! The keys that are in memory while a vault is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ironclaw_core::Owner;
use ironclaw_core::change::SecretOp;
use ironclaw_core::id::DataKeyId;
use ironclaw_core::model::secrets::{Algorithm, DataKey, Place, WrappedKey};
use ironclaw_core::vault::VaultError;

use super::error;
use crate::associated::{self, FORMAT};
use crate::error::SealError;
use crate::key::Key;
use crate::seal::{self, Parts, Purpose};

/// How many data keys stay unwrapped in memory: those used last.
const CACHED: usize = 1_024;

/// The root key, and data keys that it unwrapped.
pub(super) struct Keys {
    root: Key,
    root_number: u32,
    cache: Mutex<Cache>,
}

/// A data key that was just made, and the operation that keeps it.
pub(super) struct NewDataKey {
    pub(super) id: DataKeyId,
    pub(super) key: Arc<Key>,
    pub(super) put: SecretOp,
}

impl Keys {
    pub(super) fn new(root: Key, root_number: u32) -> Self {
        Self { root, root_number, cache: Mutex::default() }
    }

    /// A data key that is in memory. One id is one key for ever, so it can't be out of date.
    pub(super) fn cached(&self, place: &Place, id: DataKeyId) -> Option<Arc<Key>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(&place.owner, id)
    }

    /// Keeps a data key in memory; only one that the store has.
    pub(super) fn cache(&self, place: &Place, id: DataKeyId, key: &Arc<Key>) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(&place.owner, id, key);
    }

    /// Unwraps the data key of this id, if it is not in memory.
    pub(super) fn unwrap(
        &self,
        operation: &'static str,
        place: &Place,
        id: DataKeyId,
        row: &DataKey,
    ) -> Result<Arc<Key>, VaultError> {
        if let Some(key) = self.cached(place, id) {
            return Ok(key);
        }
        let wrapped = &row.wrapped;
        if wrapped.format != FORMAT {
            return Err(error::unsupported(operation));
        }
        let parts = Parts {
            salt: wrapped.parameters.clone(),
            nonce: wrapped.nonce.clone(),
            ciphertext: wrapped.ciphertext.clone(),
        };
        let key = associated::data_key(place, id, row.number, row.root_key, wrapped.algorithm)
            .and_then(|bound| seal::open(&self.root, Purpose::DataKey, wrapped.algorithm, &bound, &parts))
            .and_then(|bytes| Key::from_slice(&bytes).ok_or(SealError::Failed))
            .map_err(|e| error::from_seal(operation, e))?;
        let key = Arc::new(key);
        self.cache(place, id, &key);
        Ok(key)
    }

    /// A new random data key, wrapped.
    pub(super) fn make_data_key(
        &self,
        place: &Place,
        id: DataKeyId,
        number: u32,
        algorithm: Algorithm,
    ) -> Result<NewDataKey, SealError> {
        let key = Key::make_random()?;
        let root_key = self.root_number;
        let bound = associated::data_key(place, id, number, root_key, algorithm)?;
        let Parts { salt: parameters, nonce, ciphertext } =
            seal::seal(&self.root, Purpose::DataKey, algorithm, &bound, key.expose())?;
        let wrapped = WrappedKey::new(FORMAT, algorithm, nonce, ciphertext).parameters(parameters);
        Ok(NewDataKey { id, key: Arc::new(key), put: SecretOp::PutDataKey { id, number, root_key, wrapped } })
    }
}

/// The data keys used last, by their owner and id.
#[derive(Default)]
struct Cache {
    keys: HashMap<(Owner, DataKeyId), (Arc<Key>, u64)>,
    uses: u64,
}

impl Cache {
    fn find(&mut self, owner: &Owner, id: DataKeyId) -> Option<Arc<Key>> {
        self.uses += 1;
        let (key, used) = self.keys.get_mut(&(owner.clone(), id))?;
        *used = self.uses;
        Some(key.clone())
    }

    fn insert(&mut self, owner: &Owner, id: DataKeyId, key: &Arc<Key>) {
        self.uses += 1;
        self.keys.insert((owner.clone(), id), (key.clone(), self.uses));
        if self.keys.len() > CACHED {
            let oldest = self.keys.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.keys.remove(&id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_those_used_last() {
        let (ada, bob) = (Owner::from_key("ada").unwrap(), Owner::from_key("bob").unwrap());
        let id = |n: usize| DataKeyId::from_bytes((n as u128).to_be_bytes());
        let key = Arc::new(Key::make_random().unwrap());
        let mut cache = Cache::default();
        for n in 0..CACHED {
            cache.insert(&ada, id(n), &key);
        }
        assert!(cache.find(&ada, id(0)).is_some());
        cache.insert(&ada, id(CACHED), &key);
        assert_eq!(cache.keys.len(), CACHED);
        assert!(cache.find(&ada, id(0)).is_some());
        assert!(cache.find(&ada, id(1)).is_none());
        assert!(cache.find(&bob, id(0)).is_none());
    }
}

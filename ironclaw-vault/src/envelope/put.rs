//! Sealing and deleting.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ironclaw_core::change::{SHORT_TEXT_BYTES, SecretOp};
use ironclaw_core::id::{DataKeyId, SecretName};
use ironclaw_core::input::{InputError, Problem, check_size, check_text};
use ironclaw_core::model::audit::Action;
use ironclaw_core::model::secrets::{Place, PutSecret, Sealed, Secret};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::vault::{SecretOptions, VaultError, VaultErrorKind};
use ironclaw_core::{Change, Limits, Receipt, Scope, SecretValue};
use tokio::sync::{Mutex, MutexGuard};

use super::audit::Call;
use super::keys::{Keys, NewDataKey};
use super::{Inner, error};
use crate::associated::{self, FORMAT};
use crate::host::check_host;
use crate::key::Key;
use crate::seal::{self, Purpose};

/// How often a put is tried when writers in other processes are faster.
const ATTEMPTS: u32 = 32;
/// The most bindings of a secret.
const BINDINGS: usize = 100;

impl Inner {
    pub(super) async fn put(
        &self,
        keys: &Keys,
        scope: &Scope,
        name: &SecretName,
        value: &SecretValue,
        options: SecretOptions,
    ) -> Result<Secret, VaultError> {
        let call = Call { operation: "put", action: Action::SecretPut, scope, name };
        self.check_in_person(call).await?;
        if let Err(problem) = check(value, &options, &self.options.limits) {
            return Err(self.refuse(call, "invalid input", error::invalid("put", problem)).await);
        }
        let _turn = self.putting.turn(scope).await;
        for attempt in 1..=ATTEMPTS {
            match self.try_put(keys, scope, name, value, &options).await {
                Err(e) if e.kind() == &VaultErrorKind::Conflict => {
                    tracing::debug!(attempt, "another process put at the same time: sealing again");
                    tokio::task::yield_now().await;
                }
                result => return result,
            }
        }
        let context = format!("other processes were faster {ATTEMPTS} times: try again");
        Err(VaultError::new(VaultErrorKind::Conflict, "put", context))
    }

    /// Seals the value as the version after the newest, and fails with a conflict if that is not the newest any more.
    async fn try_put(
        &self,
        keys: &Keys,
        scope: &Scope,
        name: &SecretName,
        value: &SecretValue,
        options: &SecretOptions,
    ) -> Result<Secret, VaultError> {
        let failed = |e| error::from_store("put", e);
        let place = self.place(scope);
        let before = self.store.secrets().secret(scope, name).await.map_err(failed)?;
        let number = self.store.secrets().next_secret_version(scope, name).await.map_err(failed)?;
        let data_key = self.sealing_key(keys, scope, &place).await?;
        let sealed = self.seal(&place, name, number, data_key.id, &data_key.key, value)?;
        let SecretOptions { provider, bindings, expires_at, .. } = options.clone();
        let secret =
            PutSecret::new(name.clone(), number, sealed).provider(provider).bindings(bindings).expires_at(expires_at);
        let after = |receipt: Receipt| after(&secret, before, &receipt);
        let change = data_key.put.into_iter().fold(Change::new(), Change::with);
        let change = change.with(SecretOp::Put { secret: Box::new(secret.clone()) });
        let receipt = self.store.apply(scope, change).await.map_err(|e| match e.kind() {
            // The data key is gone, erased with all its user had: the next try makes another.
            StoreErrorKind::NotFound => VaultError::new(VaultErrorKind::Conflict, "put", "").with_source(e),
            _ => failed(e),
        })?;
        keys.cache(&place, data_key.id, &data_key.key);
        Ok(after(receipt))
    }

    /// The user's newest data key, or a new one if there is none or it has sealed enough. The new one is kept by the
    /// change that first uses it.
    async fn sealing_key(&self, keys: &Keys, scope: &Scope, place: &Place) -> Result<SealingKey, VaultError> {
        let newest = self.store.secrets().newest_data_key(scope).await.map_err(|e| error::from_store("put", e))?;
        if let Some(row) = newest.as_ref().filter(|row| row.seals < self.options.seals_per_data_key) {
            return Ok(SealingKey { id: row.id, key: keys.unwrap("put", place, row.id, row)?, put: None });
        }
        let number = next_data_key(newest.map(|row| row.number))?;
        let id = DataKeyId::make(&*self.options.clock);
        let NewDataKey { id, key, put } =
            keys.make_data_key(place, id, number, self.options.algorithm).map_err(|e| error::from_seal("put", e))?;
        Ok(SealingKey { id, key, put: Some(put) })
    }

    fn seal(
        &self,
        place: &Place,
        name: &SecretName,
        number: u32,
        data_key: DataKeyId,
        key: &Key,
        value: &SecretValue,
    ) -> Result<Sealed, VaultError> {
        let algorithm = self.options.algorithm;
        let parts = associated::secret(place, name, number, data_key, algorithm)
            .and_then(|bound| seal::seal(key, Purpose::Secret, algorithm, &bound, value.expose()))
            .map_err(|e| error::from_seal("put", e))?;
        let seal::Parts { salt, nonce, ciphertext } = parts;
        Ok(Sealed::new(FORMAT, algorithm, data_key, nonce, ciphertext).salt(salt))
    }

    pub(super) async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, VaultError> {
        self.check_in_person(Call { operation: "delete", action: Action::SecretDelete, scope, name }).await?;
        let change = Change::new().with(SecretOp::Delete { name: name.clone() });
        let receipt = self.store.apply(scope, change).await.map_err(|e| error::from_store("delete", e))?;
        Ok(receipt.numbers.first().is_some_and(|&deleted| deleted > 0))
    }
}

struct SealingKey {
    id: DataKeyId,
    key: Arc<Key>,
    /// Keeps the key, if it is new.
    put: Option<SecretOp>,
}

/// One put at a time for each user within this process, so that they queue instead of conflicting.
pub(super) struct Stripes([Mutex<()>; 64]);

impl Stripes {
    async fn turn(&self, scope: &Scope) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        scope.owner().hash(&mut hasher);
        // The remainder is below 64 on every platform.
        self.0[(hasher.finish() % 64) as usize].lock().await
    }
}

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

fn check(value: &SecretValue, options: &SecretOptions, limits: &Limits) -> Result<(), InputError> {
    if value.expose().is_empty() {
        return Err(InputError::new("secret value", Problem::Empty));
    }
    check_size("secret value", value.expose().len(), limits.secret_bytes, "bytes")?;
    if let Some(provider) = &options.provider {
        if provider.is_empty() {
            return Err(InputError::new("provider", Problem::Empty));
        }
        check_text("provider", provider, SHORT_TEXT_BYTES)?;
    }
    check_size("bindings", options.bindings.len(), BINDINGS, "items")?;
    options.bindings.iter().try_for_each(|binding| check_host(&binding.host))
}

/// The number after `newest`, from 1.
fn next_data_key(newest: Option<u32>) -> Result<u32, VaultError> {
    newest.unwrap_or(0).checked_add(1).ok_or_else(|| {
        let problem = Problem::OutOfRange { expected: "fewer than 2^32 data keys of a user" };
        error::invalid("put", InputError::new("data key", problem))
    })
}

/// The secret as a put leaves it.
fn after(put: &PutSecret, before: Option<Secret>, receipt: &Receipt) -> Secret {
    let (created_at, last_used_at, usage_count, version) = match before {
        Some(secret) => (secret.created_at, secret.last_used_at, secret.usage_count, secret.version),
        None => (receipt.at, None, 0, 0),
    };
    Secret::new(put.name.clone(), created_at)
        .provider(put.provider.clone())
        .bindings(put.bindings.clone())
        .expires_at(put.expires_at)
        .current_version(put.number)
        .updated_at(receipt.at)
        .last_used_at(last_used_at)
        .usage_count(usage_count)
        .version(version + 1)
}

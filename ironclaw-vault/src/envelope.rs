use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::id::{SecretName, TenantId, VaultId};
use ironclaw_core::model::secrets::{Place, Secret};
use ironclaw_core::vault::{KeySource, SecretOptions, Vault, VaultError, VaultErrorKind};
use ironclaw_core::{Maintenance, Page, PageRequest, Scope, SecretValue, Timestamp, VaultStore};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::options::VaultOptions;

mod audit;
mod error;
mod keys;
mod lifecycle;
mod put;
mod reveal;

use keys::Keys;
use put::Stripes;

/// A vault of envelope encryption over any [`VaultStore`].
///
/// A key source wraps the vault's root key, the root key wraps a data key for each user, and data keys seal secrets,
/// each value under a key of its own. A clone is the same vault.
///
/// In this version only the owner in person may put, reveal and delete secrets: with an agent or a tool in the
/// scope's chain the call is denied, and the denial is audited. Names and metadata are the owner's agents' to see.
///
/// A secret has at most 100 bindings, each to a host of at most 253 bytes with labels of at most 63 (RFC 1035), and a
/// provider of at most 4,096 bytes; more is refused as
/// [`InvalidInput`](ironclaw_core::vault::VaultErrorKind::InvalidInput).
#[derive(Clone)]
pub struct EnvelopeVault(Arc<Inner>);

struct Inner {
    store: Arc<dyn VaultStore>,
    id: VaultId,
    options: VaultOptions,
    /// Held for reading during every call, so that closing waits for those that have begun.
    keys: RwLock<Option<Keys>>,
    putting: Stripes,
}

impl EnvelopeVault {
    /// Whether the default tenant has a vault in this store: whether [`Self::init`] or [`Self::open`] is due.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// [`VaultErrorKind::Store`].
    pub async fn is_initialised(store: &dyn VaultStore) -> Result<bool, VaultError> {
        VaultOptions::new().is_initialised(store).await
    }

    /// Makes the default tenant's vault, with a new root key wrapped by `source`. A source that makes its own key
    /// (a key file, a keychain) makes it if it has none.
    ///
    /// Dropping the future leaves the store with the whole vault or with none; the source's key may have been made.
    ///
    /// # Errors
    /// [`VaultErrorKind::AlreadyInitialised`], [`VaultErrorKind::KeySource`], [`VaultErrorKind::Store`],
    /// [`VaultErrorKind::Randomness`].
    pub async fn init(
        store: &dyn VaultStore,
        maintenance: &dyn Maintenance,
        source: impl KeySource,
    ) -> Result<(), VaultError> {
        VaultOptions::new().init(store, maintenance, source).await
    }

    /// Opens the default tenant's vault with the key of `source`, which is not kept. It makes nothing: without a key,
    /// or with another one, it fails.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// [`VaultErrorKind::NotInitialised`], [`VaultErrorKind::KeySource`] (its source is the
    /// [`KeyError`](ironclaw_core::vault::KeyError)), [`VaultErrorKind::UnsupportedFormat`],
    /// [`VaultErrorKind::Store`].
    pub async fn open(store: impl VaultStore + 'static, source: impl KeySource) -> Result<Self, VaultError> {
        VaultOptions::new().open(store, source).await
    }

    /// The vault's id.
    pub fn id(&self) -> VaultId {
        self.0.id
    }

    /// The tenant whose vault it is.
    pub fn tenant(&self) -> &TenantId {
        &self.0.options.tenant
    }
}

#[async_trait]
impl Vault for EnvelopeVault {
    async fn put(
        &self,
        scope: &Scope,
        name: &SecretName,
        value: SecretValue,
        options: SecretOptions,
    ) -> Result<Secret, VaultError> {
        let keys = self.0.unlocked("put", scope).await?;
        self.0.put(&keys, scope, name, &value, options).await
    }

    async fn reveal(&self, scope: &Scope, name: &SecretName, version: Option<u32>) -> Result<SecretValue, VaultError> {
        let keys = self.0.unlocked("reveal", scope).await?;
        self.0.reveal(&keys, scope, name, version).await
    }

    async fn describe(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, VaultError> {
        let _keys = self.0.unlocked("describe", scope).await?;
        self.0.store.secrets().secret(scope, name).await.map_err(|e| error::from_store("describe", e))
    }

    async fn list(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, VaultError> {
        let _keys = self.0.unlocked("list", scope).await?;
        self.0.store.secrets().secrets(scope, page).await.map_err(|e| error::from_store("list", e))
    }

    async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<Vec<(u32, Timestamp)>, VaultError> {
        let _keys = self.0.unlocked("versions", scope).await?;
        let mut page = PageRequest::default();
        let mut versions = Vec::new();
        loop {
            let read = self.0.store.secrets().secret_versions(scope, name, &page).await;
            let read = read.map_err(|e| error::from_store("versions", e))?;
            versions.extend(read.items.iter().map(|version| (version.number, version.created_at)));
            match read.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(versions),
            }
        }
    }

    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, VaultError> {
        let _keys = self.0.unlocked("delete", scope).await?;
        self.0.delete(scope, name).await
    }

    /// Waits for the calls that have begun, then wipes the keys. Dropping the future before that leaves the vault
    /// open.
    async fn close(&self) {
        drop(self.0.keys.write().await.take());
    }
}

impl Inner {
    /// The keys, for one call of `operation` on a user's secrets.
    async fn unlocked(&self, operation: &'static str, scope: &Scope) -> Result<RwLockReadGuard<'_, Keys>, VaultError> {
        let keys = RwLockReadGuard::try_map(self.keys.read().await, Option::as_ref)
            .map_err(|_| VaultError::new(VaultErrorKind::Closed, operation, "open the vault again"))?;
        if scope.tenant() != &self.options.tenant {
            return Err(error::other_tenant(operation));
        }
        Ok(keys)
    }

    fn place(&self, scope: &Scope) -> Place {
        Place::new(self.id, scope.tenant().clone(), scope.owner().clone())
    }
}

impl fmt::Debug for EnvelopeVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeVault")
            .field("id", &self.0.id)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::id::{DataKeyId, SecretName, TenantId};
use crate::model::secrets::{DataKey, RootKeyWrap, Secret, SecretVersion, VaultHeader};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads sealed secrets and wrapped keys. Nothing here is plaintext.
///
/// Every method fails with a [`StoreError`] only when the store itself does; absence is `None` or an empty page.
/// Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
/// use ironclaw_vault::{EnvelopeVault, Passphrase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let key = Passphrase::new("correct horse battery staple")?;
/// EnvelopeVault::init(&store, &store.maintenance_by("setup")?, &key).await?;
/// let vault = EnvelopeVault::open(store.clone(), key).await?;
/// vault.put_secret(&ada, "openai", "sk-example").await?;
///
/// // The store has names, times and ciphertext.
/// let secrets = store.secrets().secrets(&ada, &PageRequest::default()).await?.items;
/// assert_eq!(secrets[0].name.as_str(), "openai");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The tenant's vault, or `None` if it was not made.
    async fn vault(&self, tenant: &TenantId) -> Result<Option<VaultHeader>, StoreError>;

    /// The wrappings of the tenant's root keys, oldest first.
    async fn root_key_wraps(&self, tenant: &TenantId) -> Result<Vec<RootKeyWrap>, StoreError>;

    /// One of the owner's data keys, or `None`.
    async fn data_key(&self, scope: &Scope, id: DataKeyId) -> Result<Option<DataKey>, StoreError>;

    /// The owner's newest data key, or `None` if there is none.
    async fn newest_data_key(&self, scope: &Scope) -> Result<Option<DataKey>, StoreError>;

    /// A secret's metadata, or `None`.
    async fn secret(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, StoreError>;

    /// The owner's secrets, ordered by the bytes of their names.
    async fn secrets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, StoreError>;

    /// The number that the secret's next version must have: one more than the highest that a secret of this name ever
    /// had, a deleted one included; 1 for a name that was never used.
    async fn next_secret_version(&self, scope: &Scope, name: &SecretName) -> Result<u32, StoreError>;

    /// A version of a secret, or `None`; the newest if no number is given.
    async fn secret_version(
        &self,
        scope: &Scope,
        name: &SecretName,
        number: Option<u32>,
    ) -> Result<Option<SecretVersion>, StoreError>;

    /// A secret's versions, oldest first.
    async fn secret_versions(
        &self,
        scope: &Scope,
        name: &SecretName,
        page: &PageRequest,
    ) -> Result<Page<SecretVersion>, StoreError>;
}

forward! {
    Secrets secrets:
    async fn vault(&self, tenant: &TenantId) -> Result<Option<VaultHeader>, StoreError>;
    async fn root_key_wraps(&self, tenant: &TenantId) -> Result<Vec<RootKeyWrap>, StoreError>;
    async fn data_key(&self, scope: &Scope, id: DataKeyId) -> Result<Option<DataKey>, StoreError>;
    async fn newest_data_key(&self, scope: &Scope) -> Result<Option<DataKey>, StoreError>;
    async fn secret(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, StoreError>;
    async fn secrets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, StoreError>;
    async fn next_secret_version(&self, scope: &Scope, name: &SecretName) -> Result<u32, StoreError>;
    async fn secret_version(&self, scope: &Scope, name: &SecretName, number: Option<u32>) -> Result<Option<SecretVersion>, StoreError>;
    async fn secret_versions(&self, scope: &Scope, name: &SecretName, page: &PageRequest) -> Result<Page<SecretVersion>, StoreError>;
}

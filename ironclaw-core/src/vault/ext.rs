use async_trait::async_trait;

use super::{SecretOptions, Vault, VaultError, VaultErrorKind};
use crate::id::SecretName;
use crate::input::{InputError, parsed};
use crate::model::secrets::Secret;
use crate::page::{PageRequest, PageStream, pages};
use crate::scope::Scope;
use crate::secret::SecretValue;

/// What is done daily with any vault. A name may be given as text, which is then parsed, or as a [`SecretName`].
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
/// use ironclaw_vault::{EnvelopeVault, Passphrase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let key = Passphrase::new("correct horse battery staple")?;
/// EnvelopeVault::init(&store, &store.maintenance_by("setup")?, &key).await?;
/// let vault = EnvelopeVault::open(store, key).await?;
///
/// let ada = Scope::user("ada")?;
/// vault.put_secret(&ada, "openai", "sk-example").await?;
/// assert_eq!(vault.reveal_secret(&ada, "openai").await?.expose_str(), Some("sk-example"));
/// assert!(vault.delete_secret(&ada, "openai").await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait VaultExt: Vault {
    /// Puts a value that is bound to nothing and never expires: as [`Vault::put`] with the default [`SecretOptions`].
    ///
    /// # Errors
    /// As [`Vault::put`]; [`VaultErrorKind::InvalidInput`] also for text that is no name.
    async fn put_secret<N, V>(&self, scope: &Scope, name: N, value: V) -> Result<Secret, VaultError>
    where
        N: TryInto<SecretName, Error: Into<InputError>> + Send,
        V: Into<SecretValue> + Send,
    {
        let (name, value) = (parsed(name).map_err(refused("put_secret"))?, value.into());
        self.put(scope, &name, value, SecretOptions::default()).await
    }

    /// Opens a secret's newest version: as [`Vault::reveal`].
    ///
    /// # Errors
    /// As [`Vault::reveal`]; [`VaultErrorKind::InvalidInput`] for text that is no name.
    async fn reveal_secret<N>(&self, scope: &Scope, name: N) -> Result<SecretValue, VaultError>
    where
        N: TryInto<SecretName, Error: Into<InputError>> + Send,
    {
        let name = parsed(name).map_err(refused("reveal_secret"))?;
        self.reveal(scope, &name, None).await
    }

    /// Deletes a secret with all its versions: as [`Vault::delete`]. Whether there was one.
    ///
    /// # Errors
    /// As [`Vault::delete`]; [`VaultErrorKind::InvalidInput`] for text that is no name.
    async fn delete_secret<N>(&self, scope: &Scope, name: N) -> Result<bool, VaultError>
    where
        N: TryInto<SecretName, Error: Into<InputError>> + Send,
    {
        let name = parsed(name).map_err(refused("delete_secret"))?;
        self.delete(scope, &name).await
    }

    /// Names and metadata one by one, ordered by name; never a value.
    fn secrets_stream(&self, scope: &Scope) -> PageStream<'_, Secret, VaultError> {
        let scope = scope.clone();
        pages(PageRequest::default(), move |page| {
            let scope = scope.clone();
            async move { self.list(&scope, &page).await }
        })
    }
}

impl<T: Vault + ?Sized> VaultExt for T {}

fn refused(operation: &'static str) -> impl Fn(InputError) -> VaultError {
    move |error| VaultError::new(VaultErrorKind::InvalidInput, operation, "").with_source(error)
}

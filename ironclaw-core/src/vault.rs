//! Where secrets are kept, and where the key that protects them comes from.

use async_trait::async_trait;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::error::error_type;
use crate::forward::forward;
use crate::id::SecretName;
use crate::model::secrets::{Binding, Secret, WrappedKey};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;
use crate::secret::SecretValue;
use crate::setters::setters;
use crate::store::StoreError;

mod ext;

pub use ext::VaultExt;

/// Keeps secrets that nobody but it can read.
///
/// Every reveal and every refusal is audited in the same commit as what it does; if the audit event can't be
/// written, nothing is revealed.
///
/// ```
/// use ironclaw_core::id::SecretName;
/// use ironclaw_core::prelude::*;
/// use ironclaw_core::vault::{SecretOptions, VaultErrorKind};
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
/// let vault = EnvelopeVault::open(store, key).await?;
///
/// let name = SecretName::parse("openai")?;
/// let put = vault.put(&ada, &name, "sk-example".into(), SecretOptions::default()).await?;
/// assert_eq!(put.current_version, 1);
/// assert_eq!(vault.reveal(&ada, &name, Some(1)).await?.expose_str(), Some("sk-example"));
///
/// // The owner in person alone, and on record.
/// let denied = vault.reveal(&ada.acting(Principal::agent("assistant")?), &name, None).await.unwrap_err();
/// assert_eq!(denied.kind(), &VaultErrorKind::Denied);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Vault: Send + Sync + std::fmt::Debug {
    /// Seals a value under a name: a new secret, or a new version of one. The value is bound to its owner, name
    /// and version.
    ///
    /// Dropping the future leaves either no trace or the whole new version.
    ///
    /// # Errors
    /// [`VaultErrorKind::InvalidInput`] for an empty or oversized value; [`VaultErrorKind::Denied`] unless the owner
    /// acts in person; [`VaultErrorKind::Store`].
    async fn put(
        &self,
        scope: &Scope,
        name: &SecretName,
        value: SecretValue,
        options: SecretOptions,
    ) -> Result<Secret, VaultError>;

    /// Opens a secret: its newest version, or the one with this number.
    ///
    /// # Errors
    /// [`VaultErrorKind::NotFound`], [`VaultErrorKind::Expired`], [`VaultErrorKind::Denied`] unless the owner acts in
    /// person, [`VaultErrorKind::Decryption`], [`VaultErrorKind::Store`].
    async fn reveal(&self, scope: &Scope, name: &SecretName, version: Option<u32>) -> Result<SecretValue, VaultError>;

    /// A secret's name and metadata, or `None`.
    ///
    /// # Errors
    /// [`VaultErrorKind::Store`].
    async fn describe(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, VaultError>;

    /// Names and metadata, ordered by name; never a value.
    ///
    /// # Errors
    /// [`VaultErrorKind::Store`].
    async fn list(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, VaultError>;

    /// The numbers of a secret's versions and when each was put, oldest first; empty if there is no such secret.
    ///
    /// # Errors
    /// [`VaultErrorKind::Store`].
    async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<Vec<(u32, Timestamp)>, VaultError>;

    /// Deletes a secret with all its versions. Whether there was one.
    ///
    /// # Errors
    /// [`VaultErrorKind::Denied`] unless the owner acts in person; [`VaultErrorKind::Store`].
    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, VaultError>;

    /// Wipes the keys from memory; every later call but this one fails with [`VaultErrorKind::Closed`].
    async fn close(&self);
}

forward! {
    Vault:
    async fn put(&self, scope: &Scope, name: &SecretName, value: SecretValue, options: SecretOptions) -> Result<Secret, VaultError>;
    async fn reveal(&self, scope: &Scope, name: &SecretName, version: Option<u32>) -> Result<SecretValue, VaultError>;
    async fn describe(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, VaultError>;
    async fn list(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, VaultError>;
    async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<Vec<(u32, Timestamp)>, VaultError>;
    async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<bool, VaultError>;
    async fn close(&self);
}

/// What is kept with a secret besides its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretOptions {
    /// The service it is for, if any.
    pub provider: Option<String>,
    /// Where it may go, by its owner's word; empty means nowhere.
    pub bindings: Vec<Binding>,
    /// When it stops being revealed; absent means never.
    pub expires_at: Option<Timestamp>,
}

setters! {
    SecretOptions:
    provider: into Option<String>,
    bindings: Vec<Binding>,
    expires_at: into Option<Timestamp>,
}

/// Which way a vault failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VaultErrorKind {
    /// An argument was refused.
    #[error("invalid input")]
    InvalidInput,
    /// There is no such secret or version.
    #[error("not found")]
    NotFound,
    /// The secret has expired.
    #[error("expired")]
    Expired,
    /// Whoever acts may not do that.
    #[error("denied")]
    Denied,
    /// Another writer put a version at the same time, again and again.
    #[error("conflict")]
    Conflict,
    /// A sealed value did not open.
    #[error("decryption failed")]
    Decryption,
    /// There is no vault in this store: `init` makes one.
    #[error("no vault")]
    NotInitialised,
    /// There is a vault in this store already: `open` opens it.
    #[error("vault exists")]
    AlreadyInitialised,
    /// The key source failed; its own error is the cause.
    #[error("key source failed")]
    KeySource,
    /// The vault was made by a newer version of this crate.
    #[error("unsupported format")]
    UnsupportedFormat,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness,
    /// The vault was closed.
    #[error("closed")]
    Closed,
    /// The store failed.
    #[error("store failed")]
    Store,
}

error_type! {
    /// Why a vault failed.
    VaultError, VaultErrorKind, retryable: [Conflict], causes: [StoreError, KeyError]
}

/// The 32 bytes of a root key: wiped from memory when dropped, never printed.
///
/// They stay in one place on the heap, so that moving the value leaves no copy behind.
#[derive(Clone)]
pub struct RootKeyBytes(Box<Zeroizing<[u8; 32]>>);

impl RootKeyBytes {
    /// A copy of these bytes; wiping the original is the caller's.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut copy = Box::new(Zeroizing::new([0; 32]));
        copy.copy_from_slice(bytes);
        Self(copy)
    }

    /// The key. Keep what is read from it for as short as can be.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for RootKeyBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKeyBytes([redacted])")
    }
}

/// Wraps and unwraps a vault's root key: a key-encryption key (KEK) held somewhere.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_core::vault::{KeyErrorKind, RootKeyBytes};
/// use ironclaw_vault::KeyFile;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let folder = tempfile::tempdir()?;
/// let key = KeyFile::at(folder.path().join("agent.key"));
/// key.create().await?;
/// let wrapped = key.wrap(&RootKeyBytes::new(&[7; 32]), b"vault 1").await?;
/// assert_eq!(key.unwrap(&wrapped, b"vault 1").await?.expose(), &[7; 32]);
/// assert_eq!(key.unwrap(&wrapped, b"vault 2").await.unwrap_err().kind(), &KeyErrorKind::WrongKey);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait KeySource: Send + Sync + std::fmt::Debug {
    /// The kind of source, as it is stored with what it wraps: `key-file`, `keychain`, `passphrase`, `environment`.
    fn kind(&self) -> &'static str;

    /// Makes the key if this source makes its own and has none yet. Called by `init` only.
    ///
    /// # Errors
    /// A [`KeyError`]; [`KeyErrorKind::Missing`] if there is no key and this source can't make one.
    async fn create(&self) -> Result<(), KeyError>;

    /// Seals a root key, bound to `associated_data`.
    ///
    /// # Errors
    /// A [`KeyError`]; [`KeyErrorKind::Missing`] if there is no key: none is made.
    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError>;

    /// Opens a wrapped root key.
    ///
    /// # Errors
    /// A [`KeyError`]; [`KeyErrorKind::WrongKey`] if the key or the associated data is another.
    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError>;
}

forward! {
    KeySource:
    fn kind(&self) -> &'static str;
    async fn create(&self) -> Result<(), KeyError>;
    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError>;
    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError>;
}

/// Which way a key source failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyErrorKind {
    /// There is no key.
    #[error("no key")]
    Missing,
    /// The key is another than the one that wrapped.
    #[error("wrong key")]
    WrongKey,
    /// The key is not of the expected form.
    #[error("malformed key")]
    Malformed,
    /// Others can read or write the key.
    #[error("insecure permissions")]
    InsecurePermissions,
    /// What holds the key is not there: no keychain, no device.
    #[error("unavailable")]
    Unavailable,
    /// What holds the key is locked, or its user refused.
    #[error("locked")]
    Locked,
    /// What holds the key did not answer in time.
    #[error("timed out")]
    TimedOut,
    /// The wrapped key is of a format that is not known here.
    #[error("unsupported format")]
    UnsupportedFormat,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness,
    /// Reading or writing the key failed.
    #[error("input or output failed")]
    Io,
}

error_type! {
    /// Why a key source failed.
    KeyError, KeyErrorKind, retryable: [Unavailable, TimedOut]
}

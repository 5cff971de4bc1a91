//! Secrets as the store keeps them: sealed values and wrapped keys, never plaintext.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{DataKeyId, RootKeyWrapId, SecretName, TenantId, VaultId};
use crate::scope::Owner;
use crate::setters::setters;

/// A secret's name and metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// The service it is for, if any: `openai`.
    pub provider: Option<String>,
    /// Where it may go; empty means nowhere but to its owner.
    pub bindings: Vec<Binding>,
    /// When it stops being revealed; absent means never.
    pub expires_at: Option<Timestamp>,
    /// The newest version's number.
    pub current_version: u32,
    /// When it was first put.
    pub created_at: Timestamp,
    /// When it was last put.
    pub updated_at: Timestamp,
    /// When it was last revealed or used.
    pub last_used_at: Option<Timestamp>,
    /// How often it was revealed or used.
    pub usage_count: u64,
    /// Its row version, from 1; every put, use and change counts it up.
    pub version: u64,
}

impl Secret {
    /// A secret as it is when its first version was put: bound to nothing, and never used.
    pub fn new(name: SecretName, created_at: Timestamp) -> Self {
        Self {
            name,
            provider: None,
            bindings: Vec::new(),
            expires_at: None,
            current_version: 1,
            created_at,
            updated_at: created_at,
            last_used_at: None,
            usage_count: 0,
            version: 1,
        }
    }
}

setters! {
    Secret:
    provider: into Option<String>,
    bindings: Vec<Binding>,
    expires_at: into Option<Timestamp>,
    current_version: u32,
    updated_at: Timestamp,
    last_used_at: into Option<Timestamp>,
    usage_count: u64,
    version: u64,
}

/// A host that a secret may be sent to, by its owner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Binding {
    /// The exact host name, or `*.` and a domain for its subdomains.
    pub host: String,
}

impl Binding {
    /// A binding to this host. What is no host is refused when the secret is put.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into() }
    }
}

/// What is put: metadata and one sealed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PutSecret {
    /// The secret's name.
    pub name: SecretName,
    /// The service it is for, if any.
    pub provider: Option<String>,
    /// Where it may go.
    pub bindings: Vec<Binding>,
    /// When it stops being revealed.
    pub expires_at: Option<Timestamp>,
    /// The number of this version: one more than the highest that a secret of this name ever had, or 1. The store
    /// refuses any other with a conflict: the number is bound into the sealed value, so a number that comes back would
    /// let what was deleted pass for what replaced it.
    pub number: u32,
    /// The sealed value.
    pub sealed: Sealed,
}

impl PutSecret {
    /// A version of this number, bound to nothing, that never expires.
    pub fn new(name: SecretName, number: u32, sealed: Sealed) -> Self {
        Self { name, provider: None, bindings: Vec::new(), expires_at: None, number, sealed }
    }
}

setters! {
    PutSecret:
    provider: into Option<String>,
    bindings: Vec<Binding>,
    expires_at: into Option<Timestamp>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretVersion {
    /// The secret's name.
    pub name: SecretName,
    /// Its number, from 1.
    pub number: u32,
    /// The sealed value.
    pub sealed: Sealed,
    /// When it was put.
    pub created_at: Timestamp,
}

impl SecretVersion {
    /// A version as it was put then.
    pub fn new(name: SecretName, number: u32, sealed: Sealed, created_at: Timestamp) -> Self {
        Self { name, number, sealed, created_at }
    }
}

/// An authenticated ciphertext and what is needed to open it, all but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sealed {
    /// The number of the format: what the associated data and the derivation look like.
    pub format: u16,
    /// The cipher.
    pub algorithm: Algorithm,
    /// The data key.
    pub data_key: DataKeyId,
    /// The salt of the key derivation; empty where none is used.
    pub salt: Vec<u8>,
    /// The nonce.
    pub nonce: Vec<u8>,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// A value sealed with this data key, without a salt.
    pub fn new(format: u16, algorithm: Algorithm, data_key: DataKeyId, nonce: Vec<u8>, ciphertext: Vec<u8>) -> Self {
        Self { format, algorithm, data_key, salt: Vec::new(), nonce, ciphertext }
    }
}

setters! {
    Sealed:
    salt: Vec<u8>,
}

/// An authenticated cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// AES-256-GCM (NIST SP 800-38D), 96-bit nonce.
    Aes256Gcm,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), 192-bit nonce.
    XChaCha20Poly1305,
}

/// A user's data key, wrapped by the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataKey {
    /// Its id.
    pub id: DataKeyId,
    /// Its number for this user, from 1; the highest is used for new secrets.
    pub number: u32,
    /// The number of the root key that wraps it.
    pub root_key: u32,
    /// The wrapped key.
    pub wrapped: WrappedKey,
    /// How many values were sealed with it.
    pub seals: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl DataKey {
    /// A data key with which nothing was sealed yet.
    pub fn new(id: DataKeyId, number: u32, root_key: u32, wrapped: WrappedKey, created_at: Timestamp) -> Self {
        Self { id, number, root_key, wrapped, seals: 0, created_at }
    }
}

setters! {
    DataKey:
    seals: u64,
}

/// A key sealed by another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WrappedKey {
    /// The number of the format.
    pub format: u16,
    /// The cipher.
    pub algorithm: Algorithm,
    /// What the key source needs besides its key: a salt and cost numbers for a passphrase, a handle for an HSM.
    pub parameters: Vec<u8>,
    /// The nonce; empty if the source keeps it within the ciphertext.
    pub nonce: Vec<u8>,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl WrappedKey {
    /// A wrapped key whose source needs no parameters.
    pub fn new(format: u16, algorithm: Algorithm, nonce: Vec<u8>, ciphertext: Vec<u8>) -> Self {
        Self { format, algorithm, parameters: Vec::new(), nonce, ciphertext }
    }
}

setters! {
    WrappedKey:
    parameters: Vec<u8>,
}

/// A vault: there is at most one for each tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VaultHeader {
    /// Its id, bound into everything it seals.
    pub id: VaultId,
    /// The number of its format.
    pub format: u16,
    /// The number of the root key in use, from 1.
    pub root_key: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

impl VaultHeader {
    /// The most wrappings of root keys that a vault has.
    pub const WRAPS: usize = 32;

    /// A vault of this format and root key.
    pub fn new(id: VaultId, format: u16, root_key: u32, created_at: Timestamp) -> Self {
        Self { id, format, root_key, created_at }
    }
}

/// The root key as one key source wraps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootKeyWrap {
    /// Its id.
    pub id: RootKeyWrapId,
    /// The number of the root key.
    pub root_key: u32,
    /// The kind of key source: `key-file`, `keychain`, `passphrase`, `environment`.
    pub source: String,
    /// The wrapped root key.
    pub wrapped: WrappedKey,
    /// When it was made.
    pub created_at: Timestamp,
}

impl RootKeyWrap {
    /// The root key of this number as this kind of source wraps it.
    pub fn new(
        id: RootKeyWrapId,
        root_key: u32,
        source: impl Into<String>,
        wrapped: WrappedKey,
        created_at: Timestamp,
    ) -> Self {
        Self { id, root_key, source: source.into(), wrapped, created_at }
    }
}

/// What a sealed value or a wrapped key is bound to, besides its own name, number and key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The vault.
    pub vault: VaultId,
    /// The tenant.
    pub tenant: TenantId,
    /// Whose it is: a user or a space.
    pub owner: Owner,
}

impl Place {
    /// The place of what this user or space has in this vault.
    pub fn new(vault: VaultId, tenant: TenantId, owner: impl Into<Owner>) -> Self {
        Self { vault, tenant, owner: owner.into() }
    }
}

//! Secrets as the store keeps them: sealed values and wrapped keys, never plaintext.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{DataKeyId, RootKeyWrapId, SecretName, TenantId, UserId, VaultId};

/// A secret's name and metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A host that a secret may be sent to, by its owner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The exact host name, or `*.` and a domain for its subdomains.
    pub host: String,
}

/// What is put: metadata and one sealed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// An authenticated ciphertext and what is needed to open it, all but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A key sealed by another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A vault: there is at most one for each tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The root key as one key source wraps it.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What a sealed value or a wrapped key is bound to, besides its own name, number and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The vault.
    pub vault: VaultId,
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub owner: UserId,
}

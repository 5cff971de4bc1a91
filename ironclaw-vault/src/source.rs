//! Where the key comes from that wraps the root key.

use ironclaw_core::model::secrets::{Algorithm, WrappedKey};
use ironclaw_core::vault::{KeyError, KeyErrorKind, RootKeyBytes};

use crate::associated::{self, FORMAT};
use crate::error::SealError;
use crate::key::Key;
use crate::seal::{self, Parts, Purpose, SALT_BYTES};

mod environment;
mod key_file;
mod key_text;
#[cfg(feature = "keychain")]
mod keychain;
mod passphrase;

pub use environment::EnvironmentKey;
pub use key_file::KeyFile;
#[cfg(feature = "keychain")]
pub use keychain::Keychain;
pub use passphrase::{Passphrase, PassphraseCost};

/// Refuses a key from elsewhere that nobody made at random.
fn check_made(operation: &'static str, key: Key) -> Result<Key, KeyError> {
    if key.is_one_byte() {
        let context = "every byte of the key is the same, which is no key: make one at random";
        return Err(KeyError::new(KeyErrorKind::Malformed, operation, context));
    }
    Ok(key)
}

/// Wraps a root key under a source's key. `derivation` is what the key itself was derived from, and kept with it.
fn wrap_under(
    key: &Key,
    derivation: &[u8],
    root: &RootKeyBytes,
    associated_data: &[u8],
) -> Result<WrappedKey, KeyError> {
    let algorithm = Algorithm::Aes256Gcm;
    let sealed = associated::wrap(associated_data, derivation, algorithm)
        .and_then(|bound| seal::seal(key, Purpose::RootKey, algorithm, &bound, root.expose()))
        .map_err(|error| seal_error("wrap", error))?;
    let parameters = [derivation, &sealed.salt].concat();
    Ok(WrappedKey::new(FORMAT, algorithm, sealed.nonce, sealed.ciphertext).parameters(parameters))
}

/// Opens what [`wrap_under`] wrapped. `derivation` is as [`derivation`] read it.
fn unwrap_under(
    key: &Key,
    derivation: &[u8],
    wrapped: &WrappedKey,
    associated_data: &[u8],
) -> Result<RootKeyBytes, KeyError> {
    let parts = Parts {
        salt: wrapped.parameters[derivation.len()..].to_vec(),
        nonce: wrapped.nonce.clone(),
        ciphertext: wrapped.ciphertext.clone(),
    };
    let opened = associated::wrap(associated_data, derivation, wrapped.algorithm)
        .and_then(|bound| seal::open(key, Purpose::RootKey, wrapped.algorithm, &bound, &parts))
        .map_err(|error| seal_error("unwrap", error))?;
    let key = Key::from_slice(&opened).ok_or_else(|| seal_error("unwrap", SealError::Failed))?;
    Ok(RootKeyBytes::from(&key))
}

/// The part of a wrapped key's parameters that says how the source's key is derived: the first `length` bytes.
fn derivation(wrapped: &WrappedKey, length: usize) -> Result<&[u8], KeyError> {
    let unsupported = |what| KeyError::new(KeyErrorKind::UnsupportedFormat, "unwrap", what);
    if wrapped.format != FORMAT {
        return Err(unsupported("the root key was wrapped by a newer version of this crate: open it with that one"));
    }
    if wrapped.parameters.len() != length + SALT_BYTES {
        return Err(unsupported("the parameters of the wrapped root key have another length than format 1 has"));
    }
    Ok(&wrapped.parameters[..length])
}

fn seal_error(operation: &'static str, error: SealError) -> KeyError {
    match error {
        SealError::Failed => KeyError::new(
            KeyErrorKind::WrongKey,
            operation,
            "this key did not wrap the vault's root key, or what it wrapped was changed: use the key that the vault was \
             made with",
        ),
        SealError::UnknownAlgorithm => KeyError::new(
            KeyErrorKind::UnsupportedFormat,
            operation,
            "the root key was wrapped with a cipher that this version does not know",
        ),
        SealError::Randomness => KeyError::new(KeyErrorKind::Randomness, operation, ""),
    }
}

/// Runs what blocks (files, Argon2, a keychain) on a thread for that.
async fn run_blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The runtime is shutting down, or the work panicked.
        Err(error) => {
            Err(KeyError::new(KeyErrorKind::Unavailable, operation, "the work was cut off").with_source(error))
        }
    }
}

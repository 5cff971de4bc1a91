//! The one way in which anything is sealed here: HKDF-SHA256 derives a key of its own for each value from a fresh
//! salt, and an authenticated cipher seals the value under it.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit, Nonce};
use chacha20poly1305::XChaCha20Poly1305;
use hkdf::Hkdf;
use ironclaw_core::model::secrets::Algorithm;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::error::SealError;
use crate::key::{Key, make_random_bytes};

/// The length of the salt from which each value's key is derived.
pub(crate) const SALT_BYTES: usize = 32;

/// What a key seals. Keys for different purposes are never the same, even from the same key and salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A secret's value, under a data key.
    Secret,
    /// A data key, under the root key.
    DataKey,
    /// The root key, under a key source's key.
    RootKey,
}

impl Purpose {
    /// The name in the key derivation and at the start of associated data. Stored values depend on it.
    pub(crate) fn label(self) -> &'static [u8] {
        match self {
            Self::Secret => b"ironclaw-vault/1/secret",
            Self::DataKey => b"ironclaw-vault/1/data-key",
            Self::RootKey => b"ironclaw-vault/1/root-key",
        }
    }
}

/// A sealed value and what is needed to open it, all but the key and the associated data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) salt: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    /// Ciphertext and tag.
    pub(crate) ciphertext: Vec<u8>,
}

/// Seals `plaintext` under a key derived with a fresh salt, with a fresh nonce.
pub(crate) fn seal(
    key: &Key,
    purpose: Purpose,
    algorithm: Algorithm,
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Parts, SealError> {
    let mut salt = vec![0; SALT_BYTES];
    let mut nonce = vec![0; nonce_bytes(algorithm)?];
    make_random_bytes(&mut salt)?;
    make_random_bytes(&mut nonce)?;
    let ciphertext = seal_with(key, purpose, algorithm, &salt, &nonce, associated_data, plaintext)?;
    Ok(Parts { salt, nonce, ciphertext })
}

/// Opens what [`seal`] sealed with the same key, purpose, algorithm and associated data.
pub(crate) fn open(
    key: &Key,
    purpose: Purpose,
    algorithm: Algorithm,
    associated_data: &[u8],
    parts: &Parts,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if parts.salt.len() != SALT_BYTES {
        return Err(SealError::Failed);
    }
    let derived = derive_key(key, purpose, algorithm, &parts.salt)?;
    match algorithm {
        Algorithm::Aes256Gcm => decrypt::<Aes256Gcm>(&derived, parts, associated_data),
        Algorithm::XChaCha20Poly1305 => decrypt::<XChaCha20Poly1305>(&derived, parts, associated_data),
        _ => Err(SealError::UnknownAlgorithm),
    }
}

/// The deterministic part of [`seal`]: the salt and the nonce are the caller's.
fn seal_with(
    key: &Key,
    purpose: Purpose,
    algorithm: Algorithm,
    salt: &[u8],
    nonce: &[u8],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let derived = derive_key(key, purpose, algorithm, salt)?;
    match algorithm {
        Algorithm::Aes256Gcm => encrypt::<Aes256Gcm>(&derived, nonce, associated_data, plaintext),
        Algorithm::XChaCha20Poly1305 => encrypt::<XChaCha20Poly1305>(&derived, nonce, associated_data, plaintext),
        _ => Err(SealError::UnknownAlgorithm),
    }
}

/// HKDF-SHA256 (RFC 5869): extracts with the salt, expands with the purpose and the cipher.
fn derive_key(key: &Key, purpose: Purpose, algorithm: Algorithm, salt: &[u8]) -> Result<Key, SealError> {
    let (mut pseudorandom, hkdf) = Hkdf::<Sha256>::extract(Some(salt), key.expose());
    pseudorandom.as_mut_slice().zeroize();
    let mut derived = Key::zeroed();
    hkdf.expand_multi_info(&[purpose.label(), &[0, algorithm_code(algorithm)?]], derived.as_mut())
        .map_err(|_| SealError::Failed)?;
    Ok(derived)
}

/// The number of a cipher in derivations and associated data.
pub(crate) fn algorithm_code(algorithm: Algorithm) -> Result<u8, SealError> {
    match algorithm {
        Algorithm::Aes256Gcm => Ok(1),
        Algorithm::XChaCha20Poly1305 => Ok(2),
        _ => Err(SealError::UnknownAlgorithm),
    }
}

fn nonce_bytes(algorithm: Algorithm) -> Result<usize, SealError> {
    match algorithm {
        Algorithm::Aes256Gcm => Ok(12),
        Algorithm::XChaCha20Poly1305 => Ok(24),
        _ => Err(SealError::UnknownAlgorithm),
    }
}

fn encrypt<C: AeadInOut + KeyInit>(
    key: &Key,
    nonce: &[u8],
    associated_data: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let (cipher, nonce) = cipher::<C>(key, nonce)?;
    // Room for the tag, so that the buffer never grows and leaves a copy of the plaintext behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plaintext.len() + 16));
    buffer.extend_from_slice(plaintext);
    cipher.encrypt_in_place(&nonce, associated_data, &mut *buffer).map_err(|_| SealError::Failed)?;
    Ok(std::mem::take(&mut *buffer))
}

fn decrypt<C: AeadInOut + KeyInit>(
    key: &Key,
    parts: &Parts,
    associated_data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (cipher, nonce) = cipher::<C>(key, &parts.nonce)?;
    let mut buffer = Zeroizing::new(parts.ciphertext.clone());
    cipher.decrypt_in_place(&nonce, associated_data, &mut *buffer).map_err(|_| SealError::Failed)?;
    Ok(buffer)
}

fn cipher<C: AeadCore + KeyInit>(key: &Key, nonce: &[u8]) -> Result<(C, Nonce<C>), SealError> {
    let cipher = C::new_from_slice(key.expose()).map_err(|_| SealError::Failed)?;
    Ok((cipher, Nonce::<C>::try_from(nonce).map_err(|_| SealError::Failed)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use proptest::prelude::*;

    const BOTH: [Algorithm; 2] = [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305];

    fn key() -> Key {
        Key::from_slice(&std::array::from_fn::<u8, 32, _>(|i| i as u8)).unwrap()
    }

    /// What was sealed once opens for ever. Computed by an independent implementation (Python's `cryptography`).
    #[test]
    fn frozen_vectors() {
        let salt: [u8; 32] = std::array::from_fn(|i| 0x20 + i as u8);
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
        for (algorithm, purpose, expected) in [
            (Algorithm::Aes256Gcm, Purpose::Secret, "00ef8ee81e7efe80824a244c54f005ce3c464ff7056275487d47ca7155"),
            (Algorithm::Aes256Gcm, Purpose::DataKey, "dcc46eb1325aec406ea3835b26ce55dc537a9acf37403b8731073e1dc4"),
            (Algorithm::Aes256Gcm, Purpose::RootKey, "5c8e577f7ee2b5640656a0f9396a048d17383e8a0b7708e1a594b24160"),
            (
                Algorithm::XChaCha20Poly1305,
                Purpose::Secret,
                "fcb9b84a2fc386ceebd888f5a7a236966adc688c2d00538be6a009de6e",
            ),
            (
                Algorithm::XChaCha20Poly1305,
                Purpose::DataKey,
                "c50a4c4e4d920d0b09155390914514676a7371dc783f09e38774ee97e4",
            ),
            (
                Algorithm::XChaCha20Poly1305,
                Purpose::RootKey,
                "e8ea397ea29078e13cb4446a53d6d17ef9af516e9ec4422e47f3cbfbde",
            ),
        ] {
            let nonce = &nonce[..nonce_bytes(algorithm).unwrap()];
            let sealed = seal_with(&key(), purpose, algorithm, &salt, nonce, b"place", b"correct horse").unwrap();
            assert_eq!(hex::encode(&sealed), expected, "{algorithm:?} {purpose:?}");
            let parts = Parts { salt: salt.to_vec(), nonce: nonce.to_vec(), ciphertext: sealed };
            assert_eq!(*open(&key(), purpose, algorithm, b"place", &parts).unwrap(), b"correct horse");
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        for algorithm in BOTH {
            let seal = || seal(&key(), Purpose::Secret, algorithm, b"place", b"value").unwrap();
            let (one, two) = (seal(), seal());
            assert_ne!(one.salt, two.salt);
            assert_ne!(one.nonce, two.nonce);
            assert_ne!(one.ciphertext, two.ciphertext);
        }
    }

    #[test]
    fn another_key_place_purpose_or_cipher_does_not_open() {
        for (algorithm, other) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
            let parts = seal(&key(), Purpose::Secret, algorithm, b"place", b"value").unwrap();
            let open = |key: &Key, purpose, algorithm, place: &[u8]| open(key, purpose, algorithm, place, &parts);
            assert_eq!(*open(&key(), Purpose::Secret, algorithm, b"place").unwrap(), b"value");
            let another = Key::make_random().unwrap();
            assert_eq!(open(&another, Purpose::Secret, algorithm, b"place"), Err(SealError::Failed));
            assert_eq!(open(&key(), Purpose::DataKey, algorithm, b"place"), Err(SealError::Failed));
            assert_eq!(open(&key(), Purpose::Secret, other, b"place"), Err(SealError::Failed));
            assert_eq!(open(&key(), Purpose::Secret, algorithm, b"plate"), Err(SealError::Failed));
        }
    }

    proptest! {
        #[test]
        fn any_value_round_trips(value in prop::collection::vec(any::<u8>(), 0..2_000), cipher in 0..2_usize) {
            let parts = seal(&key(), Purpose::Secret, BOTH[cipher], b"place", &value).unwrap();
            let opened = open(&key(), Purpose::Secret, BOTH[cipher], b"place", &parts).unwrap();
            prop_assert_eq!(&*opened, &value);
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8, cipher in 0..2_usize) {
            let mut parts = seal(&key(), Purpose::Secret, BOTH[cipher], b"place", b"correct horse battery").unwrap();
            let lengths = [parts.salt.len(), parts.nonce.len(), parts.ciphertext.len()];
            let at = at.index(lengths.iter().sum());
            let byte = parts.salt.iter_mut().chain(&mut parts.nonce).chain(&mut parts.ciphertext).nth(at).unwrap();
            *byte ^= 1 << bit;
            prop_assert_eq!(open(&key(), Purpose::Secret, BOTH[cipher], b"place", &parts), Err(SealError::Failed));
        }

        #[test]
        fn parts_of_any_length_never_panic(
            salt in prop::collection::vec(any::<u8>(), 0..40),
            nonce in prop::collection::vec(any::<u8>(), 0..40),
            ciphertext in prop::collection::vec(any::<u8>(), 0..40),
            cipher in 0..2_usize,
        ) {
            let parts = Parts { salt, nonce, ciphertext };
            prop_assert_eq!(open(&key(), Purpose::Secret, BOTH[cipher], b"place", &parts), Err(SealError::Failed));
        }
    }
}

use std::fmt;

use ironclaw_core::vault::RootKeyBytes;
use zeroize::Zeroizing;

use crate::error::SealError;

/// A 256-bit key: wiped from memory when dropped, never printed.
///
/// The bytes stay in one place on the heap, so that moving the key leaves no copy behind.
#[derive(Clone)]
pub(crate) struct Key(Box<Zeroizing<[u8; Key::BYTES]>>);

impl Key {
    pub(crate) const BYTES: usize = 32;

    /// A new random key, from the operating system's generator.
    pub(crate) fn make_random() -> Result<Self, SealError> {
        let mut key = Self::zeroed();
        make_random_bytes(key.as_mut())?;
        Ok(key)
    }

    /// A copy of these bytes, unless they are not 32.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::zeroed();
        (bytes.len() == Self::BYTES).then(|| {
            key.as_mut().copy_from_slice(bytes);
            key
        })
    }

    /// To be filled: the one way to write a key without a copy elsewhere.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; Self::BYTES])))
    }

    /// Whether every byte is the same: a key that nobody made at random.
    pub(crate) fn is_one_byte(&self) -> bool {
        self.0.iter().fold(0, |others, byte| others | (byte ^ self.0[0])) == 0
    }

    pub(crate) fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8; Self::BYTES] {
        &mut self.0
    }
}

impl From<&RootKeyBytes> for Key {
    fn from(root: &RootKeyBytes) -> Self {
        let mut key = Self::zeroed();
        key.as_mut().copy_from_slice(root.expose());
        key
    }
}

impl From<&Key> for RootKeyBytes {
    fn from(key: &Key) -> Self {
        Self::new(key.expose())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn make_random_bytes(bytes: &mut [u8]) -> Result<(), SealError> {
    getrandom::fill(bytes).map_err(|_| SealError::Randomness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_and_prints_nothing() {
        assert!(Key::from_slice(&[7; 31]).is_none());
        assert!(Key::from_slice(&[7; 33]).is_none());
        let key = Key::from_slice(&[77; 32]).unwrap();
        assert_eq!(format!("{key:?} {:?}", RootKeyBytes::from(&key)), "Key([redacted]) RootKeyBytes([redacted])");
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(Key::make_random().unwrap().expose(), Key::make_random().unwrap().expose());
    }
}

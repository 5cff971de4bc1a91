//! Plaintext secrets in memory.

use zeroize::Zeroizing;

/// A secret's plaintext: wiped from memory when dropped, never printed.
///
/// A `String` or `Vec` that is given is moved into it, so that no copy stays behind; borrowed text is copied, and wiping
/// the original is the caller's. Two can't be compared with `==`, whose time tells how much of them is alike.
///
/// ```
/// use ironclaw_core::SecretValue;
///
/// let secret = SecretValue::from("hunter2");
/// assert_eq!(format!("{secret:?}"), "SecretValue([redacted])");
/// assert_eq!(secret.expose_str(), Some("hunter2"));
/// ```
#[derive(Clone)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// The secret with these bytes. The bytes are moved, not copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The plaintext. Keep what is read from it for as short as can be.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The plaintext as text, if it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for SecretValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue([redacted])")
    }
}

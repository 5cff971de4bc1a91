//! A key as text, as a key file and a keychain hold it: `ironclaw-key-1:` and 64 hexadecimal digits.

use ironclaw_core::vault::{KeyError, KeyErrorKind};
use zeroize::Zeroizing;

use super::check_made;
use crate::hex;
use crate::key::Key;

/// Says what it is and its format, so that neither another file nor a later format is taken for it.
const PREFIX: &str = "ironclaw-key-1:";
const ANY_FORMAT: &[u8] = b"ironclaw-key-";

/// The longest text that is read: more can't be a key.
pub(super) const MAX_BYTES: usize = 256;

pub(super) fn encode(key: &Key) -> Zeroizing<String> {
    let digits = hex::encode_key(key);
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + digits.len() + 1));
    text.push_str(PREFIX);
    text.push_str(&digits);
    text.push('\n');
    text
}

/// Reads a key's text; white space at its end is of no meaning.
pub(super) fn decode(operation: &'static str, text: &[u8]) -> Result<Key, KeyError> {
    let text = text.trim_ascii_end();
    if let Some(key) = text.strip_prefix(PREFIX.as_bytes()).and_then(hex::decode_key) {
        return check_made(operation, key);
    }
    if text.starts_with(ANY_FORMAT) && !text.starts_with(PREFIX.as_bytes()) {
        let context = "the key was written by a newer version of this crate";
        return Err(KeyError::new(KeyErrorKind::UnsupportedFormat, operation, context));
    }
    let context = "expected `ironclaw-key-1:` and 64 hexadecimal digits: this is no key, or not a whole one";
    Err(KeyError::new(KeyErrorKind::Malformed, operation, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_vector() {
        let key = Key::from_slice(&[0xa5, 0x5a].repeat(16)).unwrap();
        let text = format!("ironclaw-key-1:{}\n", "a55a".repeat(16));
        assert_eq!(*encode(&key), text);
        assert_eq!(decode("unwrap", text.as_bytes()).unwrap().expose(), key.expose());
        assert_eq!(decode("unwrap", text.replace('\n', "\r\n").as_bytes()).unwrap().expose(), key.expose());
    }

    #[test]
    fn anything_else_is_malformed_or_newer() {
        let kind = |text: &str| decode("unwrap", text.as_bytes()).unwrap_err().kind().clone();
        assert_eq!(kind(""), KeyErrorKind::Malformed);
        assert_eq!(kind(&"a5".repeat(32)), KeyErrorKind::Malformed);
        assert_eq!(kind(&format!("ironclaw-key-1:{}", "a5".repeat(31))), KeyErrorKind::Malformed);
        assert_eq!(kind(&format!("ironclaw-key-1:{}0", "a5".repeat(32))), KeyErrorKind::Malformed);
        assert_eq!(kind(&format!("ironclaw-key-1:{}", "a5".repeat(32))), KeyErrorKind::Malformed);
        assert_eq!(kind("-----BEGIN PRIVATE KEY-----"), KeyErrorKind::Malformed);
        assert_eq!(kind("ironclaw-key-2:abc"), KeyErrorKind::UnsupportedFormat);
    }
}

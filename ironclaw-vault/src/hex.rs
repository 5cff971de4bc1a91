//! Keys as text: 64 hexadecimal digits.

use subtle::{Choice, ConditionallySelectable, ConstantTimeLess};
use zeroize::Zeroizing;

use crate::key::Key;

/// Reads exactly 64 hexadecimal digits, upper or lower case.
///
/// No branch and no table look-up depends on a digit that is right.
pub(crate) fn decode_key(text: &[u8]) -> Option<Key> {
    if text.len() != 2 * Key::BYTES {
        return None;
    }
    let mut key = Key::zeroed();
    let mut valid = Choice::from(1);
    for (byte, pair) in key.as_mut().iter_mut().zip(text.chunks_exact(2)) {
        let ((high, high_valid), (low, low_valid)) = (digit(pair[0]), digit(pair[1]));
        *byte = high << 4 | low;
        valid &= high_valid & low_valid;
    }
    bool::from(valid).then_some(key)
}

/// A key as 64 lower-case digits.
pub(crate) fn encode_key(key: &Key) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * Key::BYTES));
    for byte in key.expose() {
        for nibble in [byte >> 4, byte & 0xf] {
            let letter = nibble.wrapping_add(b'a' - 10);
            text.push(u8::conditional_select(&letter, &(nibble + b'0'), nibble.ct_lt(&10)).into());
        }
    }
    text
}

fn digit(byte: u8) -> (u8, Choice) {
    let decimal = byte.wrapping_sub(b'0');
    let letter = (byte | 0x20).wrapping_sub(b'a');
    let is_decimal = decimal.ct_lt(&10);
    let is_letter = letter.ct_lt(&6);
    (u8::conditional_select(&letter.wrapping_add(10), &decimal, is_decimal) & 0xf, is_decimal | is_letter)
}

/// Any bytes, for tests.
#[cfg(test)]
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_64_digits_are_a_key() {
        let digits = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
        assert_eq!(*encode_key(&decode_key(digits.as_bytes()).unwrap()), digits.to_lowercase());
        for wrong in ["", &digits[1..], &format!("{digits}0"), &format!("{}\n", &digits[..63])] {
            assert!(decode_key(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        for byte in 0..=u8::MAX {
            let mut text = [b'0'; 64];
            text[40] = byte;
            assert_eq!(decode_key(&text).is_some(), byte.is_ascii_hexdigit(), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn keys_round_trip(bytes in any::<[u8; 32]>()) {
            let key = Key::from_slice(&bytes).unwrap();
            let text = encode_key(&key);
            prop_assert_eq!(text.as_str(), encode(&bytes));
            let decoded = decode_key(text.as_bytes()).unwrap();
            prop_assert_eq!(decoded.expose(), &bytes);
        }
    }
}

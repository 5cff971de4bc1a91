use std::env::VarError;
use std::ffi::OsString;

use async_trait::async_trait;
use ironclaw_core::model::secrets::WrappedKey;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes};
use zeroize::{Zeroize, Zeroizing};

use super::{check_made, derivation, unwrap_under, wrap_under};
use crate::hex;
use crate::key::Key;

/// A key given in an environment variable: exactly 64 hexadecimal digits, not all bytes the same.
///
/// For containers and CI, where something else keeps the key. The variable stays readable for the process's own user
/// (on Linux in `/proc/<pid>/environ`) as long as the process runs, and child processes inherit it.
#[derive(Debug, Clone)]
pub struct EnvironmentKey(Key);

impl EnvironmentKey {
    /// The variable that [`Self::from_env`] reads.
    pub const VARIABLE: &'static str = "SECRETS_MASTER_KEY";

    /// Reads the key from the variable `SECRETS_MASTER_KEY`.
    ///
    /// # Errors
    /// [`KeyErrorKind::Missing`] if it is not set, [`KeyErrorKind::Malformed`] unless it is exactly 64 hexadecimal
    /// digits.
    pub fn from_env() -> Result<Self, KeyError> {
        Self::from_variable(Self::VARIABLE)
    }

    /// Reads the key from a variable of another name.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn from_variable(name: &str) -> Result<Self, KeyError> {
        match std::env::var(name) {
            Ok(digits) => Self::from_hex(&Zeroizing::new(digits)),
            Err(VarError::NotPresent) => Err(KeyError::new(
                KeyErrorKind::Missing,
                "create",
                format!("the environment variable {name} is not set: set it to 64 hexadecimal digits"),
            )),
            Err(VarError::NotUnicode(value)) => {
                wipe(value);
                Err(malformed())
            }
        }
    }

    /// The key with these 64 hexadecimal digits, wherever they came from.
    ///
    /// # Errors
    /// [`KeyErrorKind::Malformed`] unless there are exactly 64 hexadecimal digits, or if all bytes are the same.
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let key = hex::decode_key(digits.as_bytes()).ok_or_else(malformed)?;
        check_made("create", key).map(Self)
    }
}

#[async_trait]
impl KeySource for EnvironmentKey {
    fn kind(&self) -> &'static str {
        "environment"
    }

    async fn create(&self) -> Result<(), KeyError> {
        Ok(())
    }

    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError> {
        wrap_under(&self.0, &[], root, associated_data)
    }

    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError> {
        unwrap_under(&self.0, derivation(wrapped, 0)?, wrapped, associated_data)
    }
}

fn malformed() -> KeyError {
    KeyError::new(KeyErrorKind::Malformed, "create", "expected exactly 64 hexadecimal digits, and nothing else")
}

fn wipe(value: OsString) {
    value.into_encoded_bytes().zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_64_digits_are_accepted() {
        let digits = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD";
        assert!(EnvironmentKey::from_hex(digits).is_ok());
        for wrong in [
            &"0".repeat(64),
            &"a5".repeat(32),
            "",
            &digits[1..],
            &format!("{digits}0"),
            &format!(" {}", &digits[1..]),
            &digits.replace('A', "g"),
        ] {
            let error = EnvironmentKey::from_hex(wrong).unwrap_err();
            assert_eq!(error.kind(), &KeyErrorKind::Malformed);
            assert!(wrong.is_empty() || !error.to_string().contains(wrong));
        }
    }

    #[test]
    fn variables_that_are_not_set_or_no_key_are_told_apart() {
        let kind = |name| EnvironmentKey::from_variable(name).unwrap_err().kind().clone();
        assert_eq!(kind("IRONCLAW_NO_SUCH_VARIABLE"), KeyErrorKind::Missing);
        assert_eq!(kind("PATH"), KeyErrorKind::Malformed);
        assert_eq!(kind(""), KeyErrorKind::Missing);
        assert_eq!(kind("A=B\0"), KeyErrorKind::Missing);
    }
}

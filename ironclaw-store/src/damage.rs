//! What both stores say of damage, and how what was read is told from it.

use ironclaw_core::Timestamp;
use ironclaw_core::id::VersionId;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};

use crate::cursor::hex;

/// What to do about damage.
pub(crate) const ADVICE: &str = "check the store's integrity and restore a backup";

/// Says that a column of a row can't be decoded; `column` with its table.
pub(crate) fn undecodable(column: &str, id: Option<&str>) -> String {
    let of_row = id.map(|id| format!(" of row {id}")).unwrap_or_default();
    format!("{column}{of_row} can't be decoded; {ADVICE}")
}

/// Says what is damaged, in an error.
pub(crate) fn corrupt(operation: &'static str, what: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation, format!("{what}; {ADVICE}"))
}

/// Text that a store keeps: UTF-8 without zeros.
#[cfg(feature = "libsql")]
pub(crate) fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// A time that a store keeps, from microseconds since 1970: of the years 0 to 9999.
pub(crate) fn time(micros: i64) -> Option<Timestamp> {
    Some(Timestamp::from_micros(micros)).filter(|time| time.as_micros() == micros)
}

/// The number after one that was read, of those that a store can keep.
#[cfg(feature = "libsql")]
pub(crate) fn next(number: u64) -> Option<u64> {
    number.checked_add(1).filter(|&next| i64::try_from(next).is_ok())
}

/// Says that the parts of a version of a file are not what its row says.
pub(crate) fn not_its_parts(version: &VersionId) -> String {
    format!("entry_versions.size of row {version} is not that of its entry_parts")
}

/// An id as errors and checks tell it.
pub(crate) fn id(bytes: &[u8]) -> String {
    // Ids have 16 bytes and hashes 32: whatever is longer is none of them.
    hex(&bytes[..bytes.len().min(32)])
}

/// A name as errors and checks tell it: the beginning of its SHA-256, since names are users' own.
pub(crate) fn name(bytes: &[u8]) -> String {
    hashed(&hex(&Sha256::digest(bytes)))
}

/// The same, of a name whose SHA-256 is known, in hex.
pub(crate) fn hashed(digest: &str) -> String {
    format!("sha256:{}", digest.get(..16).unwrap_or(digest))
}

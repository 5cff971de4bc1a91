//! Rows as typed values.

use std::borrow::Cow;

use ironclaw_core::store::StoreError;
use ironclaw_core::{Owner, Timestamp};

use crate::json;

/// A row of a result. Its first column should be what the row is known by: errors tell it, a name as its hash.
///
/// Each method fails with [`Corrupt`](ironclaw_core::store::StoreErrorKind::Corrupt) if the column has something else.
pub(crate) trait Row {
    /// The error that says that a column can't be decoded: of which table and row.
    fn corrupt(&self, column: usize) -> StoreError;

    /// Whether the value is absent.
    fn is_null(&self, column: usize) -> bool;

    /// A whole number of whatever width.
    fn i64(&self, column: usize) -> Result<i64, StoreError>;

    /// A truth value.
    fn bool(&self, column: usize) -> Result<bool, StoreError>;

    /// Text.
    fn text(&self, column: usize) -> Result<String, StoreError>;

    /// Bytes.
    fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError>;

    /// The 16 bytes of an id.
    fn id(&self, column: usize) -> Result<[u8; 16], StoreError>;

    /// A time.
    fn time(&self, column: usize) -> Result<Timestamp, StoreError>;

    /// The text of a JSON value.
    fn json_text(&self, column: usize) -> Result<Cow<'_, str>, StoreError>;
}

impl<'r> dyn Row + 'r {
    /// A whole number that is kept in the 64 bits of a signed one: any number at all.
    pub(crate) fn u64(&self, column: usize) -> Result<u64, StoreError> {
        self.i64(column).map(i64::cast_unsigned)
    }

    /// A whole number that something was counted or numbered with: never negative, so that one more is a number too.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        self.code(column, |number| u64::try_from(number).ok())
    }

    /// A whole number of 32 bits.
    pub(crate) fn u32(&self, column: usize) -> Result<u32, StoreError> {
        self.code(column, |number| u32::try_from(number).ok())
    }

    /// Exactly `N` bytes: a hash, a pseudonym.
    pub(crate) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], StoreError> {
        self.blob(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    /// A value that may be absent, read by one of the other methods: `row.optional(3, Row::text)`.
    pub(crate) fn optional<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(column) { Ok(None) } else { read(self, column).map(Some) }
    }

    /// A validated name or any other type that is parsed from text.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }

    /// A user or a space, as their keys tell them apart.
    pub(crate) fn owner(&self, column: usize) -> Result<Owner, StoreError> {
        Owner::from_key(&self.text(column)?).map_err(|_| self.corrupt(column))
    }

    /// A value kept as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        json::read(&self.json_text(column)?).ok_or_else(|| self.corrupt(column))
    }

    /// A value kept as a code, by its decoder.
    pub(crate) fn code<T>(&self, column: usize, decode: impl FnOnce(i64) -> Option<T>) -> Result<T, StoreError> {
        decode(self.i64(column)?).ok_or_else(|| self.corrupt(column))
    }
}

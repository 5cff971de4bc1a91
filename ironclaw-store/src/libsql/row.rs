//! Rows as typed values, and typed values as parameters.

use ironclaw_core::Timestamp;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::Value;

use crate::cursor::hex;
use crate::json;

/// A row of a result. Its first column should be what the row is known by: errors tell it if it is an id or a number.
pub(super) struct Row<'a> {
    row: &'a libsql::Row,
    statement: &'a libsql::Statement,
    operation: &'static str,
}

impl<'a> Row<'a> {
    pub(super) fn new(row: &'a libsql::Row, statement: &'a libsql::Statement, operation: &'static str) -> Self {
        Self { row, statement, operation }
    }

    /// The error that says that a column can't be decoded: of which table and row.
    pub(super) fn corrupt(&self, column: i32) -> StoreError {
        let columns = self.statement.columns();
        let column = usize::try_from(column).ok().and_then(|column| columns.get(column));
        let (table, name) = column.map_or(("?", "?"), |c| (c.table_name().unwrap_or("?"), c.name()));
        let id = match self.row.get_value(0) {
            Ok(Value::Integer(number)) => format!(" of row {number}"),
            Ok(Value::Blob(bytes)) => format!(" of row {}", hex(&bytes)),
            _ => String::new(),
        };
        StoreError::new(
            StoreErrorKind::Corrupt,
            self.operation,
            format!("{table}.{name}{id} can't be decoded; restore a backup"),
        )
    }

    /// A value of whatever type.
    pub(super) fn value(&self, column: i32) -> Result<Value, StoreError> {
        self.row.get_value(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn i64(&self, column: i32) -> Result<i64, StoreError> {
        match self.row.get_value(column) {
            Ok(Value::Integer(number)) => Ok(number),
            _ => Err(self.corrupt(column)),
        }
    }

    /// A whole number that is kept in the 64 bits of a signed one.
    pub(super) fn u64(&self, column: i32) -> Result<u64, StoreError> {
        self.i64(column).map(i64::cast_unsigned)
    }

    pub(super) fn u32(&self, column: i32) -> Result<u32, StoreError> {
        u32::try_from(self.i64(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn bool(&self, column: i32) -> Result<bool, StoreError> {
        Ok(self.i64(column)? != 0)
    }

    pub(super) fn text(&self, column: i32) -> Result<String, StoreError> {
        match self.row.get_value(column) {
            Ok(Value::Text(text)) => Ok(text),
            _ => Err(self.corrupt(column)),
        }
    }

    pub(super) fn blob(&self, column: i32) -> Result<Vec<u8>, StoreError> {
        match self.row.get_value(column) {
            Ok(Value::Blob(bytes)) => Ok(bytes),
            _ => Err(self.corrupt(column)),
        }
    }

    /// Exactly `N` bytes: an id, a hash.
    pub(super) fn bytes<const N: usize>(&self, column: i32) -> Result<[u8; N], StoreError> {
        self.blob(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn time(&self, column: i32) -> Result<Timestamp, StoreError> {
        self.i64(column).map(Timestamp::from_micros)
    }

    /// A value that may be absent, read by one of the other methods: `row.optional(3, Row::text)`.
    pub(super) fn optional<T>(
        &self,
        column: i32,
        read: impl FnOnce(&Self, i32) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.row.get_value(column) {
            Ok(Value::Null) => Ok(None),
            _ => read(self, column).map(Some),
        }
    }

    /// A validated name or any other type that is parsed from text.
    pub(super) fn parsed<T: std::str::FromStr>(&self, column: i32) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }

    /// A value kept as JSON text.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: i32) -> Result<T, StoreError> {
        json::read(&self.text(column)?).ok_or_else(|| self.corrupt(column))
    }

    /// A value kept as a code, by its decoder.
    pub(super) fn code<T>(&self, column: i32, decode: impl FnOnce(i64) -> Option<T>) -> Result<T, StoreError> {
        decode(self.i64(column)?).ok_or_else(|| self.corrupt(column))
    }
}

/// What can be a parameter of a statement.
pub(super) trait Param {
    fn value(self) -> Value;
}

impl Param for i64 {
    fn value(self) -> Value {
        Value::Integer(self)
    }
}

impl Param for u64 {
    fn value(self) -> Value {
        Value::Integer(self.cast_signed())
    }
}

impl Param for u32 {
    fn value(self) -> Value {
        Value::Integer(self.into())
    }
}

impl Param for bool {
    fn value(self) -> Value {
        Value::Integer(self.into())
    }
}

impl Param for Timestamp {
    fn value(self) -> Value {
        Value::Integer(self.as_micros())
    }
}

impl Param for &str {
    fn value(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Param for String {
    fn value(self) -> Value {
        Value::Text(self)
    }
}

impl Param for &[u8] {
    fn value(self) -> Value {
        Value::Blob(self.to_vec())
    }
}

impl Param for Vec<u8> {
    fn value(self) -> Value {
        Value::Blob(self)
    }
}

impl<const N: usize> Param for &[u8; N] {
    fn value(self) -> Value {
        Value::Blob(self.to_vec())
    }
}

impl<T: Param> Param for Option<T> {
    fn value(self) -> Value {
        self.map_or(Value::Null, Param::value)
    }
}

/// The parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::libsql::row::Param::value($value)),*]
    };
}

pub(super) use params;

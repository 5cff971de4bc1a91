//! Rows as typed values, and typed values as parameters.

use std::borrow::Cow;

use ironclaw_core::Timestamp;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::{Value, ValueType};

use super::statement::{Column, Reading};
use crate::{damage, json, sql};

/// A row of a result. Its first column should be what the row is known by: errors tell it, a name as its hash.
pub(super) struct Row<'a> {
    row: &'a libsql::Row,
    columns: &'a [Column],
    operation: &'static str,
}

impl<'a> Row<'a> {
    pub(super) fn new(row: &'a libsql::Row, columns: &'a [Column], operation: &'static str) -> Self {
        Self { row, columns, operation }
    }

    /// The error that says that a column can't be decoded: of which table and row.
    pub(super) fn corrupt(&self, column: i32) -> StoreError {
        let name = self.column(column).map_or("?", |column| column.name.as_str());
        let id = self.read(0).and_then(|value| identity(&value));
        StoreError::new(StoreErrorKind::Corrupt, self.operation, damage::undecodable(name, id.as_deref()))
    }

    /// A value of whatever type.
    pub(super) fn value(&self, column: i32) -> Result<Value, StoreError> {
        self.read(column).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn i64(&self, column: i32) -> Result<i64, StoreError> {
        match self.read(column) {
            Some(Value::Integer(number)) => Ok(number),
            _ => Err(self.corrupt(column)),
        }
    }

    /// A whole number that is kept in the 64 bits of a signed one: any number at all.
    pub(super) fn u64(&self, column: i32) -> Result<u64, StoreError> {
        self.i64(column).map(i64::cast_unsigned)
    }

    /// A whole number that something was counted or numbered with: never negative, so that one more is a number too.
    pub(super) fn count(&self, column: i32) -> Result<u64, StoreError> {
        u64::try_from(self.i64(column)?).map_err(|_| self.corrupt(column))
    }

    /// A number of bytes or items that are to be in memory.
    pub(super) fn size(&self, column: i32) -> Result<usize, StoreError> {
        usize::try_from(self.i64(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn u32(&self, column: i32) -> Result<u32, StoreError> {
        u32::try_from(self.i64(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn bool(&self, column: i32) -> Result<bool, StoreError> {
        self.code(column, |number| match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    pub(super) fn text(&self, column: i32) -> Result<String, StoreError> {
        let bytes = match (self.column(column)?.reading, self.read(column)) {
            (Reading::Trusted | Reading::Text, Some(Value::Text(text))) => return Ok(text),
            (Reading::Expression, Some(Value::Blob(bytes))) => bytes,
            _ => return Err(self.corrupt(column)),
        };
        damage::text(bytes).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn blob(&self, column: i32) -> Result<Vec<u8>, StoreError> {
        match self.read(column) {
            Some(Value::Blob(bytes)) => Ok(bytes),
            _ => Err(self.corrupt(column)),
        }
    }

    /// Exactly `N` bytes: an id, a hash.
    pub(super) fn bytes<const N: usize>(&self, column: i32) -> Result<[u8; N], StoreError> {
        self.blob(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn time(&self, column: i32) -> Result<Timestamp, StoreError> {
        self.code(column, damage::time)
    }

    /// A value that may be absent, read by one of the other methods: `row.optional(3, Row::text)`.
    pub(super) fn optional<T>(
        &self,
        column: i32,
        read: impl FnOnce(&Self, i32) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.row.column_type(column) {
            Ok(ValueType::Null) => Ok(None),
            _ => read(self, column).map(Some),
        }
    }

    /// A value kept as JSON text.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: i32) -> Result<T, StoreError> {
        json::read(&self.text(column)?).ok_or_else(|| self.corrupt(column))
    }

    /// A value kept as a code, by its decoder.
    pub(super) fn code<T>(&self, column: i32, decode: impl FnOnce(i64) -> Option<T>) -> Result<T, StoreError> {
        decode(self.i64(column)?).ok_or_else(|| self.corrupt(column))
    }

    fn column(&self, column: i32) -> Result<&'a Column, StoreError> {
        let found = usize::try_from(column).ok().and_then(|column| self.columns.get(column));
        found.ok_or_else(|| StoreError::new(StoreErrorKind::Internal, self.operation, "a row has no such column"))
    }

    /// The value, if it is of a type that the column can have. The crate is never asked for text that a file holds.
    fn read(&self, column: i32) -> Option<Value> {
        let reading = self.column(column).ok()?.reading;
        if reading != Reading::Trusted && matches!(self.row.column_type(column), Ok(ValueType::Text) | Err(_)) {
            return None;
        }
        match (reading, self.row.get_value(column).ok()?) {
            (Reading::Text, Value::Blob(bytes)) => damage::text(bytes).map(Value::Text),
            (Reading::Text, Value::Null) => Some(Value::Null),
            (Reading::Text, _) => None,
            (_, value) => Some(value),
        }
    }
}

/// Columns are counted by whole numbers here, as the crate does.
macro_rules! at {
    ($read:ident -> $type:ty) => {
        fn $read(&self, column: usize) -> Result<$type, StoreError> {
            Row::$read(self, number(column))
        }
    };
}

impl sql::Row for Row<'_> {
    at!(i64 -> i64);
    at!(bool -> bool);
    at!(text -> String);
    at!(blob -> Vec<u8>);
    at!(time -> Timestamp);

    fn corrupt(&self, column: usize) -> StoreError {
        Row::corrupt(self, number(column))
    }

    fn is_null(&self, column: usize) -> bool {
        matches!(self.row.column_type(number(column)), Ok(ValueType::Null))
    }

    fn id(&self, column: usize) -> Result<[u8; 16], StoreError> {
        self.bytes(number(column))
    }

    fn json_text(&self, column: usize) -> Result<Cow<'_, str>, StoreError> {
        Row::text(self, number(column)).map(Cow::Owned)
    }
}

fn number(column: usize) -> i32 {
    i32::try_from(column).unwrap_or(i32::MAX)
}

/// The parameters of a statement that both engines have, as SQLite keeps them.
pub(super) fn values(params: sql::Params) -> Vec<Value> {
    let value = |param| match param {
        sql::Param::Bool(value) => value.value(),
        sql::Param::Number(value) => value.value(),
        sql::Param::Text(value) | sql::Param::Json(value) => value.value(),
        sql::Param::Blob(value) => value.value(),
        sql::Param::Id(value) => value.as_ref().value(),
        sql::Param::Time(value) => value.value(),
    };
    params.into_iter().map(value).collect()
}

/// What a row is known by, as errors and checks tell it: never the name itself.
pub(super) fn identity(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Blob(bytes) => Some(damage::id(bytes)),
        Value::Text(text) => Some(damage::name(text.as_bytes())),
        Value::Null | Value::Real(_) => None,
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

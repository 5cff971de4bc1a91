//! Rows as typed values, and typed values as parameters.

use std::borrow::Cow;

use ironclaw_core::Timestamp;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::postgres::{PgArguments, PgRow, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Arguments, Column, Decode, Encode, Row as _, Type, ValueRef as _};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{damage, sql};

/// A row of a result. Its first column should be what the row is known by: errors tell it if it is an id or a number.
pub(super) struct Row<'a> {
    row: &'a PgRow,
    operation: &'static str,
    sql: &'a str,
}

impl<'a> Row<'a> {
    pub(super) fn new(row: &'a PgRow, operation: &'static str, sql: &'a str) -> Self {
        Self { row, operation, sql }
    }

    /// The error that says that a column can't be decoded: of which table and row.
    pub(super) fn corrupt(&self, column: usize) -> StoreError {
        let name = self.row.columns().get(column).map_or("?", |column| column.name());
        let name = match tables(self.sql) {
            tables if tables.is_empty() => name.to_owned(),
            tables => format!("{tables}.{name}"),
        };
        let id = match (self.row.try_get::<Uuid, _>(0), self.row.try_get::<i64, _>(0), self.row.try_get::<&str, _>(0)) {
            (Ok(id), ..) => Some(damage::id(id.as_bytes())),
            (_, Ok(number), _) => Some(number.to_string()),
            (_, _, Ok(text)) => Some(damage::name(text.as_bytes())),
            _ => None,
        };
        StoreError::new(StoreErrorKind::Corrupt, self.operation, damage::undecodable(&name, id.as_deref()))
    }

    fn decoded<T: Decode<'a, Postgres> + Type<Postgres>>(&self, column: usize) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn i64(&self, column: usize) -> Result<i64, StoreError> {
        self.decoded(column)
    }

    /// A whole number that something was counted or numbered with: never negative, so that one more is a number too.
    pub(super) fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.i64(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn bool(&self, column: usize) -> Result<bool, StoreError> {
        self.decoded(column)
    }

    pub(super) fn f64(&self, column: usize) -> Result<f64, StoreError> {
        self.decoded(column)
    }

    pub(super) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.decoded(column)
    }

    pub(super) fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        self.decoded(column)
    }

    /// Exactly `N` bytes of a `bytea`: a hash, a pseudonym.
    pub(super) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], StoreError> {
        self.decoded::<&[u8]>(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    /// The bytes of a `uuid`.
    pub(super) fn id(&self, column: usize) -> Result<[u8; 16], StoreError> {
        Ok(self.decoded::<Uuid>(column)?.into_bytes())
    }

    pub(super) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.row.try_get_raw(column).ok().and_then(stored_time).ok_or_else(|| self.corrupt(column))
    }

    /// An error of this kind in the operation that is under way.
    pub(super) fn error(&self, kind: StoreErrorKind, context: &str) -> StoreError {
        StoreError::new(kind, self.operation, context)
    }

    /// The error that says that the schema has a migration that this version does not know.
    pub(super) fn newer_schema(&self, migration: &str) -> StoreError {
        let context = format!("the schema has the migration {migration}, which this version does not know: update it");
        StoreError::new(StoreErrorKind::NewerSchema, self.operation, context)
    }

    /// A value that may be absent, read by one of the other methods: `row.optional(3, Row::text)`.
    pub(super) fn optional<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.row.try_get_raw(column) {
            Ok(value) if value.is_null() => Ok(None),
            _ => read(self, column).map(Some),
        }
    }

    /// A value kept as a code in a `smallint` or `integer`, by its decoder.
    pub(super) fn code<T>(&self, column: usize, decode: impl FnOnce(i64) -> Option<T>) -> Result<T, StoreError> {
        let number = self.row.try_get::<i64, _>(column);
        let number = number.or_else(|_| self.row.try_get::<i16, _>(column).map(i64::from));
        let number = number.or_else(|_| self.row.try_get::<i32, _>(column).map(i64::from));
        number.ok().and_then(decode).ok_or_else(|| self.corrupt(column))
    }

    /// An array of `bigint` or `real`.
    pub(super) fn array<T>(&self, column: usize) -> Result<Vec<T>, StoreError>
    where
        Vec<T>: Decode<'a, Postgres> + Type<Postgres>,
    {
        self.decoded(column)
    }
}

impl sql::Row for Row<'_> {
    fn corrupt(&self, column: usize) -> StoreError {
        Row::corrupt(self, column)
    }

    fn is_null(&self, column: usize) -> bool {
        self.row.try_get_raw(column).is_ok_and(|value| value.is_null())
    }

    fn i64(&self, column: usize) -> Result<i64, StoreError> {
        Row::code(self, column, Some)
    }

    fn bool(&self, column: usize) -> Result<bool, StoreError> {
        Row::bool(self, column)
    }

    fn text(&self, column: usize) -> Result<String, StoreError> {
        Row::text(self, column)
    }

    fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        Row::blob(self, column)
    }

    fn id(&self, column: usize) -> Result<[u8; 16], StoreError> {
        Row::id(self, column)
    }

    fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        Row::time(self, column)
    }

    fn json_text(&self, column: usize) -> Result<Cow<'_, str>, StoreError> {
        let text = self.row.try_get_raw(column).ok().and_then(|value| value.as_str().ok());
        text.map(Cow::Borrowed).ok_or_else(|| Row::corrupt(self, column))
    }
}

/// The tables that a statement names, as errors tell them.
pub(super) fn tables(sql: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (at, schema) in sql.match_indices("ironclaw.") {
        let rest = &sql[at + schema.len()..];
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // What is called and not read is a function, and what is quoted as a text is a setting.
        let is_table = !after.starts_with('(') && !sql[..at].ends_with('\'');
        if is_table && !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// From 1970, where the store's times begin, to 2000, where the server's do, in microseconds.
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// The time that a column has. Not by the driver's own type, which panics on what a `timestamptz` can say and it can't.
pub(super) fn stored_time(value: PgValueRef<'_>) -> Option<Timestamp> {
    let bytes =
        Some(value).filter(|value| value.format() == PgValueFormat::Binary)?.as_bytes().ok()?.try_into().ok()?;
    i64::from_be_bytes(bytes).checked_add(MICROS_TO_2000).and_then(damage::time)
}

/// A time as a `timestamptz`.
pub(super) fn to_time(time: Timestamp) -> OffsetDateTime {
    // Both types span the years 0 to 9999.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.as_micros()) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The parameters of a statement, in order.
#[derive(Default)]
pub(super) struct Params {
    arguments: PgArguments,
    failed: Option<BoxDynError>,
}

impl Params {
    /// Adds a value of a type that the driver knows.
    pub(super) fn add<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error);
        }
    }

    pub(super) fn into_result(self) -> Result<PgArguments, BoxDynError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.arguments),
        }
    }
}

/// The parameters of a statement that both engines have, as the server takes them.
pub(super) fn arguments(params: sql::Params) -> Params {
    let mut arguments = Params::default();
    for param in params {
        match param {
            sql::Param::Bool(value) => arguments.add(value),
            sql::Param::Number(value) => arguments.add(value),
            sql::Param::Text(value) => arguments.add(value),
            sql::Param::Blob(value) => arguments.add(value),
            sql::Param::Id(value) => arguments.add(value.map(Uuid::from_bytes)),
            sql::Param::Time(value) => arguments.add(value.map(to_time)),
            sql::Param::Json(value) => arguments.add(value.map(JsonText)),
        }
    }
    arguments
}

/// The text of a value of the type `json`, which the server keeps as it is.
struct JsonText(String);

impl Type<Postgres> for JsonText {
    fn type_info() -> PgTypeInfo {
        // The type's number is the same on every server (pg_type.dat).
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl Encode<'_, Postgres> for JsonText {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// What can be a parameter of a statement.
pub(super) trait Param {
    fn add_to(self, params: &mut Params);
}

macro_rules! own_type {
    ($($type:ty),*) => {$(
        impl Param for $type {
            fn add_to(self, params: &mut Params) {
                params.add(self);
            }
        }

        impl Param for Option<$type> {
            fn add_to(self, params: &mut Params) {
                params.add(self);
            }
        }
    )*};
}

own_type!(
    bool,
    i16,
    i32,
    i64,
    f64,
    &str,
    String,
    &[u8],
    Vec<u8>,
    Uuid,
    OffsetDateTime,
    Vec<i16>,
    Vec<i32>,
    Vec<i64>,
    Vec<f32>,
    Vec<String>,
    Vec<Vec<u8>>,
    Vec<Uuid>,
    Vec<OffsetDateTime>,
    Vec<bool>,
    Vec<Option<i64>>,
    Vec<Option<String>>,
    Vec<Option<Uuid>>,
    Vec<Option<OffsetDateTime>>,
    Vec<Option<Vec<u8>>>
);

macro_rules! converted {
    ($($type:ty, $convert:expr;)*) => {$(
        impl Param for $type {
            fn add_to(self, params: &mut Params) {
                #[allow(clippy::redundant_closure_call, reason = "the conversion is a macro's argument")]
                params.add($convert(self));
            }
        }

        impl Param for Option<$type> {
            fn add_to(self, params: &mut Params) {
                params.add(self.map($convert));
            }
        }
    )*};
}

converted!(
    u16, i32::from;
    u32, i64::from;
    u64, u64::cast_signed;
    Timestamp, to_time;
);

impl<const N: usize> Param for &[u8; N] {
    fn add_to(self, params: &mut Params) {
        params.add(self.as_slice());
    }
}

/// An id's bytes as a `uuid`.
pub(super) fn uuid(id: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*id)
}

/// The parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "a statement may have no parameters")]
        let mut params = $crate::postgres::row::Params::default();
        $($crate::postgres::row::Param::add_to($value, &mut params);)*
        params
    }};
}

pub(super) use params;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_that_a_statement_names_are_told_once_each() {
        for (sql, named) in [
            ("SELECT 1 FROM ironclaw.messages m, ironclaw.users JOIN ironclaw.messages", "messages or users"),
            ("SELECT (SELECT 1 FROM ironclaw.users u) FROM ironclaw.\"jobs\" t", "users or jobs"),
            ("SELECT ironclaw.scope_no() FROM ironclaw.holds", "holds"),
            ("SELECT current_setting('ironclaw.tenant'), format('ironclaw.%I', $1)", ""),
        ] {
            assert_eq!(tables(sql), named, "{sql}");
        }
    }
}

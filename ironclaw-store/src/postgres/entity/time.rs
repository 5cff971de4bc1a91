//! A time of a row, read by its bytes: the driver's own type panics on what a `timestamptz` can say and it can't.

use ironclaw_core::Timestamp;
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbErr, QueryResult, TryGetError, TryGetable, Value};
use sqlx::{Row, ValueRef};
use time::OffsetDateTime;

use crate::postgres::row::{from_time, stored_time, to_time};

/// A `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl TryGetable for Time {
    fn try_get_by<I: ColIdx>(result: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let column = format!("{index:?}");
        let row = result.try_as_pg_row();
        let value = row.and_then(|row| row.try_get_raw(index.as_sqlx_postgres_index()).ok());
        match value {
            Some(value) if value.is_null() => Err(TryGetError::Null(column)),
            value => value.and_then(stored_time).map(Self).ok_or(TryGetError::DbErr(DbErr::Type(column))),
        }
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        to_time(time.0).into()
    }
}

impl ValueType for Time {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <OffsetDateTime as ValueType>::try_from(value).map(|time| Self(from_time(time)))
    }

    fn type_name() -> String {
        OffsetDateTime::type_name()
    }

    fn array_type() -> ArrayType {
        OffsetDateTime::array_type()
    }

    fn column_type() -> ColumnType {
        OffsetDateTime::column_type()
    }
}

impl Nullable for Time {
    fn null() -> Value {
        OffsetDateTime::null()
    }
}

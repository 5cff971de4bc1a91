//! The statements that read and write a table as it is moved.

use std::sync::LazyLock;

use ironclaw_core::Timestamp;
use ironclaw_core::store::StoreError;
use uuid::Uuid;

use crate::copy::end::Unit;
use crate::copy::table::{Column, Kind, OF_USER, Row, SHARED, Table, Value, unexpected};
use crate::postgres::row::{Params, Row as DbRow, to_time};

/// The statements of one table.
pub(super) struct Sql {
    /// How many rows there are.
    pub(super) count: String,
    /// Gives some rows of the cursor that [`declare`](Self::declare) opens.
    pub(super) fetch: String,
    /// Closes the cursor.
    pub(super) close: String,
    /// Writes rows that come as an array for each column.
    pub(super) insert: String,
    declare: String,
}

impl Sql {
    /// Opens a cursor over all rows. A statement of this kind takes no parameters.
    pub(super) fn declare(&self, unit: Unit) -> String {
        match unit {
            Unit::Owner(owner_no) => self.declare.replace("$1", &owner_no.to_string()),
            Unit::Shared => self.declare.clone(),
        }
    }
}

static OF_USER_SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| OF_USER.iter().map(|table| sql(table, true)).collect());
static SHARED_SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| SHARED.iter().map(|table| sql(table, false)).collect());

/// The statements of a unit's tables.
pub(super) fn statements(unit: Unit) -> &'static [Sql] {
    match unit {
        Unit::Owner(_) => &OF_USER_SQL,
        Unit::Shared => &SHARED_SQL,
    }
}

fn sql(table: &Table, owned: bool) -> Sql {
    let first = if owned { 2 } else { 1 };
    let mut names: Vec<String> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let mut values: Vec<String> = table.columns.iter().enumerate().map(write).collect();
    for (column, _, value) in table.also {
        if let Some(value) = value {
            names.push((*column).to_owned());
            values.push((*value).to_owned());
        }
    }
    let mut conditions = Vec::new();
    if owned {
        names.insert(0, "owner_no".to_owned());
        values.insert(0, "$1".to_owned());
        conditions.push("t.owner_no = $1".to_owned());
    }
    if !table.filter.is_empty() {
        conditions.push(filled(table.filter, ""));
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let (source, cursor) = (table.source, format!("copied_{}", table.name));
    let list = |items: Vec<String>| items.join(", ");
    let columns = list(table.columns.iter().map(read).collect());
    let arrays = table.columns.iter().enumerate().map(|(nr, column)| format!("${}::{}[]", nr + first, sent(column)));
    let aliases = (0..table.columns.len()).map(|nr| format!("c{nr}")).collect();
    Sql {
        count: format!("SELECT count(*) FROM ironclaw.{source} t{conditions}"),
        declare: format!(
            "DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {columns} FROM ironclaw.{source} t{conditions} ORDER BY {}",
            table.order
        ),
        fetch: format!("FETCH {} FROM {cursor}", table.at_once),
        close: format!("CLOSE {cursor}"),
        insert: format!(
            "INSERT INTO ironclaw.{source} ({}) SELECT {} FROM unnest({}) WITH ORDINALITY u ({}, nr) ORDER BY u.nr",
            list(names),
            list(values),
            list(arrays.collect()),
            list(aliases)
        ),
    }
}

fn filled(text: &str, value: &str) -> String {
    text.replace("{schema}", "ironclaw.").replace("{owner}", "$1").replace("{value}", value)
}

/// How a column is read.
fn read(column: &Column) -> String {
    let name = format!("t.\"{}\"", column.name);
    match (column.instead, column.kind) {
        (Some((read, _)), _) => filled(read, ""),
        (None, Kind::Bool) => format!("{name}::integer::bigint"),
        (None, Kind::Smallint | Kind::Integer) => format!("{name}::bigint"),
        (None, Kind::Json) => format!("{name}::text"),
        (None, Kind::Numbers) => format!("array_to_json({name})::text"),
        (None, Kind::Bigint | Kind::Time | Kind::Uuid | Kind::Bytea | Kind::Text) => name,
    }
}

/// How what was sent for a column is written.
fn write((nr, column): (usize, &Column)) -> String {
    let value = format!("u.c{nr}");
    match (column.instead, column.kind) {
        (Some((_, write)), _) => filled(write, &value),
        (None, Kind::Bool) => format!("{value}::integer::boolean"),
        (None, Kind::Smallint) => format!("{value}::smallint"),
        (None, Kind::Integer) => format!("{value}::integer"),
        (None, Kind::Json) => format!("{value}::json"),
        (None, Kind::Numbers) => format!("ARRAY(SELECT json_array_elements_text({value}::json)::bigint)"),
        (None, Kind::Bigint | Kind::Time | Kind::Uuid | Kind::Bytea | Kind::Text) => value,
    }
}

/// The type that a column is sent as.
fn sent(column: &Column) -> &'static str {
    match column.kind {
        Kind::Bool | Kind::Smallint | Kind::Integer | Kind::Bigint => "bigint",
        Kind::Time => "timestamptz",
        Kind::Uuid => "uuid",
        Kind::Bytea => "bytea",
        Kind::Text | Kind::Json | Kind::Numbers => "text",
    }
}

/// A column's value in a row that [`read`] gave.
pub(super) fn value(row: &DbRow<'_>, (nr, column): (usize, &Column)) -> Result<Value, StoreError> {
    let value = match column.kind {
        Kind::Bool | Kind::Smallint | Kind::Integer | Kind::Bigint => row.optional(nr, DbRow::i64)?.map(Value::Number),
        Kind::Time => row.optional(nr, DbRow::time)?.map(|time| Value::Number(time.as_micros())),
        Kind::Uuid => row.optional(nr, DbRow::id)?.map(|id| Value::Bytes(id.to_vec())),
        Kind::Bytea => row.optional(nr, DbRow::blob)?.map(Value::Bytes),
        Kind::Text | Kind::Json | Kind::Numbers => row.optional(nr, DbRow::text)?.map(Value::Text),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// Adds an array for each column.
pub(super) fn arrays(params: &mut Params, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    for (nr, column) in table.columns.iter().enumerate() {
        match column.kind {
            Kind::Bool | Kind::Smallint | Kind::Integer | Kind::Bigint => {
                params.add(array(rows, nr, Value::number)?);
            }
            Kind::Time => params.add(array(rows, nr, |value| Ok(to_time(Timestamp::from_micros(value.number()?))))?),
            Kind::Uuid => params.add(array(rows, nr, |value| Ok(Uuid::from_bytes(value.id()?)))?),
            Kind::Bytea => params.add(array(rows, nr, Value::bytes)?),
            Kind::Text | Kind::Json | Kind::Numbers => params.add(array(rows, nr, Value::text)?),
        }
    }
    Ok(())
}

fn array<T>(
    rows: &[Row],
    column: usize,
    convert: impl Fn(Value) -> Result<T, StoreError>,
) -> Result<Vec<Option<T>>, StoreError> {
    let value = |row: &Row| match row.get(column) {
        None => Err(unexpected()),
        Some(Value::Null) => Ok(None),
        Some(value) => convert(value.clone()).map(Some),
    };
    rows.iter().map(value).collect()
}

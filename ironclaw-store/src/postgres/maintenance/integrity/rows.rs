//! Every row of a table: what its columns hold, and the rules for it.

use ironclaw_core::store::StoreError;

use crate::copy::table::Value;
use crate::damage;
use crate::integrity::{columns, rules};
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;

/// How many rows are in memory at the same time.
const AT_ONCE: i64 = 500;

/// A column as the server describes it.
struct Column {
    name: String,
    kind: String,
    is_needed: bool,
    /// Its place in the primary key.
    key: Option<i64>,
}

/// The tables that the store has.
pub(super) async fn tables(tx: &Tx) -> Result<Vec<String>, StoreError> {
    tx.query(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace AND c.relkind = 'r' \
         ORDER BY 1",
        params![],
        |row| row.text(0),
    )
    .await
}

/// What is wrong with the rows of a table: what is said of all alike, and which row it is.
pub(super) async fn check(tx: &Tx, table: String) -> Result<Vec<(String, String)>, StoreError> {
    let columns = described(tx, &table).await?;
    let mut key: Vec<&Column> = columns.iter().filter(|column| column.key.is_some()).collect();
    key.sort_by_key(|column| column.key);
    let owned = columns.iter().any(|column| column.name == "owner_no");
    let rules = rules::of(&table, owned);
    let name = |column: &&Column| format!("t.\"{}\"", column.name);
    let mut read: Vec<String> = key.iter().map(|column| format!("{}::text", name(column))).collect();
    read.extend(columns.iter().map(expression));
    read.extend(
        rules.iter().map(|rule| format!("({})::integer::bigint", rule.broken("ironclaw.", "ironclaw.", "t.owner_no"))),
    );
    let (read, order) = (read.join(", "), key.iter().map(name).collect::<Vec<_>>().join(", "));
    let after: Vec<String> =
        key.iter().enumerate().map(|(nr, column)| format!("${}::text::{}", nr + 2, column.kind)).collect();
    let mut wrong = Vec::new();
    let mut last: Option<Vec<String>> = None;
    loop {
        let mut parameters = params![AT_ONCE];
        let condition = match &last {
            Some(last) => {
                last.iter().for_each(|value| parameters.add(value.clone()));
                format!("WHERE ({order}) > ({})", after.join(", "))
            }
            None => String::new(),
        };
        let order = if key.is_empty() { String::new() } else { format!("ORDER BY {order}") };
        let sql = format!("SELECT {read} FROM ironclaw.\"{table}\" t {condition} {order} LIMIT $1");
        let keys = tx
            .query(sql, parameters, |row| {
                let of_row = (0..key.len()).map(|at| row.text(at)).collect::<Result<Vec<_>, _>>()?;
                look(&table, &columns, &rules, row, key.len(), &id(&key, &of_row), &mut wrong);
                Ok(of_row)
            })
            .await?;
        match keys.last() {
            Some(next) if keys.len() as i64 == AT_ONCE && !key.is_empty() => last = Some(next.clone()),
            _ => return Ok(wrong),
        }
    }
}

fn look(
    table: &str,
    columns: &[Column],
    rules: &[&rules::Rule],
    row: &Row<'_>,
    first: usize,
    id: &str,
    wrong: &mut Vec<(String, String)>,
) {
    for (column, at) in columns.iter().zip(first..) {
        let name = &column.name;
        let mut note = |what: &str| wrong.push((format!("{table}.{name} {what}"), id.to_owned()));
        match value(column, row, at) {
            Err(_) => note("can't be decoded"),
            Ok(Value::Null) if column.is_needed => note("is missing"),
            Ok(Value::Null) => {}
            Ok(value) => {
                if columns::test(table, name).is_some_and(|test| !test(&value)) {
                    note("makes no sense");
                }
            }
        }
    }
    for (rule, at) in rules.iter().zip(first + columns.len()..) {
        if row.optional(at, Row::i64).is_ok_and(|broken| broken.is_some_and(|broken| broken != 0)) {
            wrong.push((format!("{table}: {}", rule.says), id.to_owned()));
        }
    }
}

async fn described(tx: &Tx, table: &str) -> Result<Vec<Column>, StoreError> {
    tx.query(
        "SELECT a.attname::text, format_type(a.atttypid, NULL), a.attnotnull, \
         array_position(i.indkey::smallint[], a.attnum)::bigint FROM pg_attribute a \
         LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
         WHERE a.attrelid = to_regclass(format('ironclaw.%I', $1::text)) AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY a.attnum",
        params![table],
        |row| {
            let key = row.optional(3, Row::i64)?;
            Ok(Column { name: row.text(0)?, kind: row.text(1)?, is_needed: row.bool(2)?, key })
        },
    )
    .await
}

/// How a column is read: as a number, a text or bytes.
fn expression(column: &Column) -> String {
    let name = format!("t.\"{}\"", column.name);
    match column.kind.as_str() {
        "boolean" => format!("{name}::integer::bigint"),
        "smallint" | "integer" => format!("{name}::bigint"),
        // What is no time at all is later than every time, as is what is too late to be counted in microseconds: one such
        // row must not keep the others from being looked at.
        "timestamp with time zone" => format!(
            "CASE WHEN isfinite({name}) AND {name} < timestamptz '10000-01-01 00:00:00+00' \
             THEN (extract(epoch FROM {name}) * 1000000)::bigint \
             WHEN {name} IS NOT NULL THEN 9223372036854775807 END"
        ),
        "uuid" => format!("uuid_send({name})"),
        "json" => format!("{name}::text"),
        "bigint[]" => format!("array_to_json({name})::text"),
        "bigint" | "bytea" | "text" => name,
        // The server's extension refuses vectors that are none.
        _ => format!("CASE WHEN {name} IS NOT NULL THEN 0::bigint END"),
    }
}

fn value(column: &Column, row: &Row<'_>, at: usize) -> Result<Value, StoreError> {
    let value = match column.kind.as_str() {
        "uuid" | "bytea" => row.optional(at, Row::blob)?.map(Value::Bytes),
        "json" | "text" | "bigint[]" => row.optional(at, Row::text)?.map(Value::Text),
        _ => row.optional(at, Row::i64)?.map(Value::Number),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// What is told of a row's key: numbers and ids as they are, names as hashes.
fn id(key: &[&Column], values: &[String]) -> String {
    let parts = key.iter().zip(values).map(|(column, value)| match column.kind.as_str() {
        "text" => damage::name(value.as_bytes()),
        // The hash of a name: the same is told of it as of the name.
        "bytea" => damage::hashed(value.trim_start_matches("\\x")),
        _ => value.clone(),
    });
    parts.collect::<Vec<_>>().join("/")
}

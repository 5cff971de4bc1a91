//! Damage by SQL: nonsense in every column of every table that the schema has.

use std::collections::BTreeSet;

use ironclaw_core::change::{ConversationOp, SettingOp};
use ironclaw_core::id::{ConversationId, SettingKey};
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Maintenance, Store, SystemClock};
use ironclaw_store::LibsqlStore;
use libsql::Connection;
use serde_json::json;

use crate::furnish::{furnish, user};
use crate::{ask, is_typed, maintenance, panics};

/// What is put into a column, whatever it is declared as.
const NONSENSE: [&str; 10] = [
    "-1",
    "9223372036854775807",
    "1099511627776",
    "0.5",
    "NULL",
    "'nonsense'",
    "''",
    "x'00'",
    "CAST(x'ff' AS TEXT)",
    "CAST(x'6100' AS TEXT)",
];

/// What can't be told from what was there: another text where every text is one, and the like. A number in a column of
/// text becomes text.
fn is_sense(declared: &str, value: &str) -> bool {
    let is_binary = value.starts_with("x'") || value.starts_with("CAST");
    match declared {
        "TEXT" => !is_binary && value != "NULL",
        "BLOB" => value == "x'00'",
        _ => value == "-1" || value.len() > 12 && !is_binary,
    }
}

async fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut rows = connection.query(sql, ()).await.unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        all.push((0..row.column_count()).map(|at| row.get(at).unwrap()).collect());
    }
    all
}

/// One part of the columns; several tests share them.
async fn nonsense_is_told(part: usize, parts: usize) {
    let before = panics();
    let is_whole = std::env::var("IRONCLAW_NONSENSE").is_ok_and(|which| which == "all");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let samples = furnish(&path).await;
    let store = LibsqlStore::open(&path).await.unwrap();
    let sound = ask(&store, &samples).await;
    assert!(sound.values().all(Result::is_ok), "{sound:?}");
    let behind = libsql::Builder::new_local(&path).build().await.unwrap().connect().unwrap();
    behind.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF;").await.unwrap();
    let columns = rows(
        &behind,
        "SELECT t.name, c.name, c.type, CAST(EXISTS (SELECT 1 FROM pragma_table_info(t.name) o \
         WHERE o.name = 'owner_no') AS TEXT) FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid",
    )
    .await;
    let tables: BTreeSet<&String> = columns.iter().map(|column| &column[0]).collect();
    for table in &tables {
        let sql = format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM main.{table}");
        behind.execute_batch(&sql).await.unwrap();
        let kept = rows(&behind, &format!("SELECT CAST(count(*) AS TEXT) FROM kept_{table}")).await;
        // A removal is there for moments only.
        assert!(kept[0][0] != "0" || **table == "removals", "{table} has no rows: nothing of it would be tested");
    }
    let mut wrong = Vec::new();
    macro_rules! expect {
        ($holds:expr, $($what:tt)*) => {
            if !$holds {
                wrong.push(format!($($what)*));
            }
        };
    }
    for (nr, column) in columns.iter().enumerate().filter(|(nr, _)| nr % parts == part) {
        let [table, name, declared, owned] = column.as_slice() else { unreachable!() };
        // All of it takes minutes; each column gets some, and each value many columns.
        for (_, value) in NONSENSE.into_iter().enumerate().filter(|(at, _)| is_whole || (at + nr) % 3 == 0) {
            // Keys refuse some of it, and types make something else of some.
            let whose = if owned == "1" { " WHERE owner_no = 1" } else { "" };
            let sql = format!("UPDATE {table} SET \"{name}\" = {value}{whose}");
            let Ok(changed) = behind.execute(&sql, ()).await else { continue };
            let case = format!("{nr}: {table}.{name} = {value}");
            let now = ask(&store, &samples).await;
            let found = maintenance(&store).check_integrity().await;
            let found = found.unwrap_or_else(|error| panic!("{case}: {error}"));
            for (method, said) in &now {
                if let Err(error) = said {
                    expect!(changed > 0 && !found.is_empty(), "{case}: {method}: {error}, and the check finds nothing");
                    let is_named = error.contains(&**table) || !error.starts_with("Corrupt");
                    let is_general = error.contains("audit trail") || error.contains(" of row ");
                    expect!(is_named || is_general, "{case}: {method}: {error}");
                }
                let is_of_bob = method.starts_with("bob") && owned == "1" && name != "owner_no";
                if is_of_bob && table != "audit_streams" && !is_shared(table) {
                    expect!(Some(said) == sound.get(method), "{case}: {method} of another user");
                }
            }
            if changed > 0 && !is_sense(declared, value) && !is_free(table, name, value) {
                expect!(!found.is_empty(), "{case}: the check finds nothing");
            }
            for line in &found {
                expect!(
                    !line.split(|c: char| !c.is_alphanumeric()).any(|word| ["lighthouse", "ada"].contains(&word)),
                    "{case}: {line} tells content"
                );
            }
            // Whoever else writes is not kept from it.
            let write = |key: &str| {
                let key = SettingKey::parse(key).unwrap();
                Change::new()
                    .with(SettingOp::Put { key, value: json!(1) })
                    .with(ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "x".into() })
            };
            if let Err(error) = store.apply(&user("ada"), write("q")).await {
                expect!(is_typed(&error), "{case}: {error}");
            }
            let others = store.apply(&user("bob"), write("q")).await;
            if owned == "1" && name != "owner_no" {
                expect!(others.is_ok(), "{case}: bob can't write: {others:?}");
            }
            let restore: String = tables
                .iter()
                .map(|table| format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM kept_{table};"))
                .collect();
            behind.execute_batch(&format!("BEGIN IMMEDIATE; {restore} COMMIT")).await.unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(maintenance(&store).check_integrity().await.unwrap(), Vec::<String>::new());
    assert_eq!(panics(), before, "a call panicked");
    store.close().await.unwrap();
}

/// Of whose rows others see something.
fn is_shared(table: &str) -> bool {
    table == "users"
}

/// Columns that may hold any such number, as callers give it.
fn is_free(table: &str, column: &str, value: &str) -> bool {
    let of_callers =
        ["allowed", "used", "input_tokens", "output_tokens", "cost_micro_usd", "latency_us", "policy_epoch"];
    let is_number = !value.contains(['\'', '.']) && value != "NULL";
    let is_optional = value == "NULL";
    is_number && (of_callers.contains(&column) || table == "store_meta" || value.len() > 10) || is_optional
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_a_column_is_told_1() {
    nonsense_is_told(0, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_a_column_is_told_2() {
    nonsense_is_told(1, 2).await;
}

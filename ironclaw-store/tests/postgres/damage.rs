//! What nonsense in the server's tables may do: fail calls with typed errors, and be told by the check.

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{Clock, Maintenance, Scope, Store, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::database::{Database, app_url, operator_url};

ironclaw_testing::tests![nonsense_in_a_column_is_told];

/// What is put into a column of a type.
fn nonsense(kind: &str) -> &'static [&'static str] {
    match kind {
        "bigint" => &["-1", "9223372036854775807"],
        "integer" | "smallint" => &["-1", "32767"],
        "text" => &["'nonsense'"],
        "json" => &["'\"nonsense\"'", "'[{}]'"],
        "bytea" => &["'\\x00'"],
        "timestamp with time zone" => &["'infinity'", "'290000-01-01'", "'294270-01-01'"],
        "bigint[]" => &["'{-1}'"],
        _ => &[],
    }
}

/// Columns that may hold any such value: whatever callers say, and texts and times of their own.
fn is_sense(table: &str, column: &str, kind: &str, value: &str) -> bool {
    let of_callers = ["allowed", "used", "input_tokens", "output_tokens", "cost_micro_usd", "latency_us"];
    let free_json = ["metadata", "input", "request", "response", "parameters", "conditions", "details", "value"];
    match kind {
        "text" => true,
        "json" => free_json.contains(&column),
        "bytea" => ["parameters", "nonce", "ciphertext", "salt", "bytes"].contains(&column),
        "bigint[]" => true,
        "timestamp with time zone" => false,
        _ => {
            of_callers.contains(&column)
                || value != "-1"
                || (table, column) == ("tokens", "policy_epoch")
                || column == "exponent"
        }
    }
}

async fn nonsense_in_a_column_is_told() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let maintenance =
        PostgresMaintenance::connect(&operator_url(database.name()), OperatorName::parse("root").unwrap())
            .await
            .unwrap();
    let mut samples = Vec::new();
    for name in ["ada", "bob"] {
        let scope = Scope::user(name).unwrap();
        samples.push((scope.clone(), Sample::write(&store, &scope, SystemClock.now()).await.unwrap()));
    }
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    let mut behind = database.superuser().await;
    behind.execute("SET session_replication_role = replica").await.unwrap();
    let columns = behind
        .fetch_all(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
             WHERE c.relnamespace = 'ironclaw'::regnamespace AND c.relkind = 'r' AND a.attname <> 'owner_no' \
             AND a.attidentity = '' AND EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = c.oid \
             AND o.attname = 'owner_no') ORDER BY 1, a.attnum",
        )
        .await
        .unwrap();
    let mut wrong = Vec::new();
    for column in columns {
        let [table, name, kind]: [String; 3] = [0, 1, 2].map(|at| column.get(at));
        let names = "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attnum > 0 \
                     AND attrelid = ('ironclaw.' || $1)::regclass AND NOT attisdropped AND attgenerated = ''";
        let names: String = sqlx::query_scalar(names).bind(&table).fetch_one(&mut behind).await.unwrap();
        for value in nonsense(&kind) {
            let case = format!("{table}.{name} = {value}");
            let mut kept = Vec::new();
            for sql in [
                format!("CREATE TEMP TABLE kept AS SELECT * FROM ironclaw.{table}"),
                format!(
                    "UPDATE ironclaw.{table} SET \"{name}\" = {value} WHERE owner_no = (SELECT min(owner_no) FROM ironclaw.users)"
                ),
            ] {
                kept.push(behind.execute(AssertSqlSafe(sql)).await);
            }
            // What the server does not let in is no damage.
            if let Ok(changed) = kept.pop().unwrap()
                && changed.rows_affected() > 0
            {
                let found = maintenance.check_integrity().await.unwrap_or_else(|error| panic!("{case}: {error}"));
                for (scope, sample) in &samples {
                    for (method, said) in sample.ask(&store, scope).await.unwrap() {
                        let Err(error) = said else { continue };
                        let is_typed = *error.kind() == StoreErrorKind::Corrupt && error.context().contains("backup")
                            || error.context().contains("audit trail")
                            // A query's vector does not fit a model that is said to have other dimensions.
                            || name == "dimensions" && matches!(error.kind(), StoreErrorKind::InvalidInput(_));
                        if !is_typed || found.is_empty() || scope.person().as_str() == "bob" {
                            wrong.push(format!("{case}: {} {method}: {error}; found {found:?}", scope.person()));
                        }
                    }
                }
                let named = format!("{table}.{name} makes no sense: row ");
                if kind.starts_with("timestamp") && !found.iter().any(|line| line.starts_with(&named)) {
                    wrong.push(format!("{case}: the check does not name the row; found {found:?}"));
                }
                if found.is_empty() && !is_sense(&table, &name, &kind, value) {
                    wrong.push(format!("{case}: the check finds nothing"));
                }
            }
            for sql in [
                format!("DELETE FROM ironclaw.{table}"),
                format!("INSERT INTO ironclaw.{table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM kept"),
                "DROP TABLE kept".to_owned(),
            ] {
                behind.execute(AssertSqlSafe(sql)).await.unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

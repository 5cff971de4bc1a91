//! Makes the files of a schema that is about to land. `CONTRIBUTING.md` says when.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ironclaw_core::id::OperatorName;
use ironclaw_core::store::Store;
use ironclaw_core::{Clock, Maintenance, ManualClock};
use ironclaw_store::{LibsqlStore, PostgresStore};

use crate::database::{Database, app_url, cluster, operator_url};
use crate::known;

/// How deep JSON is in the files.
const DEPTH: usize = 64;

/// Where the files are to be put: `schema.db` and `schema.sql`.
fn folder() -> PathBuf {
    std::env::var_os("IRONCLAW_SCHEMA_FILES").expect("IRONCLAW_SCHEMA_FILES names a folder").into()
}

fn depth() -> usize {
    std::env::var("IRONCLAW_SCHEMA_DEPTH").map_or(DEPTH, |depth| depth.parse().unwrap())
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(known::now()))
}

fn operator() -> OperatorName {
    OperatorName::parse("operator").unwrap()
}

#[tokio::test]
#[ignore = "makes a file for a schema that is about to land"]
async fn make_a_libsql_file() {
    let store = LibsqlStore::builder().clock(clock()).open(folder().join("schema.db")).await.unwrap();
    let maintenance = store.maintenance(operator());
    known::write(&store, &maintenance, depth()).await;
    known::write_space(&store).await;
    assert_eq!(maintenance.scrub().await.unwrap().pending, Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test]
#[ignore = "makes a file for a schema that is about to land"]
async fn make_a_postgres_dump() {
    let database = Database::fresh().await;
    let builder = PostgresStore::builder().clock(clock());
    let store = builder.clone().connect(&app_url(database.name())).await.unwrap();
    let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator()).await.unwrap();
    known::write(&store, &maintenance, depth()).await;
    known::write_space(&store).await;
    let dumped = Command::new(cluster().bin_dir().join("pg_dump"))
        .args(["--schema=ironclaw", "--inserts", "--no-comments", "--dbname"])
        .arg(cluster().superuser_url(database.name()))
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    // Without what only psql or the newest servers understand.
    let text = String::from_utf8(dumped.stdout).unwrap();
    let kept = text.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("SET transaction_timeout"));
    std::fs::write(folder().join("schema.sql"), kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

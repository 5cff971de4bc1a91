//! The files of each schema, in `tests/fixtures`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::Store;
use ironclaw_core::{Clock, ManualClock};
use ironclaw_store::{LibsqlStore, PostgresStore};
use sqlx::{AssertSqlSafe, Executor};

use crate::check::{check, check_space};
use crate::database::{Database, app_url, cluster, operator_url};
use crate::known;

/// The schemas, and how deep JSON is in their files. The first took values that its own version could not read.
const SCHEMAS: [(&str, usize); 5] = [("0001", 126), ("0002", 64), ("0003", 64), ("0004", 64), ("0005", 64)];

const FIRST_WITH_SPACES: &str = "0005";

fn unpacked(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A day later: what is known by a key is known still.
fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(known::now().after(Duration::from_secs(86_400))))
}

fn operator() -> OperatorName {
    OperatorName::parse("operator").unwrap()
}

#[tokio::test]
async fn libsql_files_open() {
    for (schema, depth) in SCHEMAS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::write(&path, unpacked(&format!("libsql-{schema}.db.gz"))).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let store = LibsqlStore::builder().clock(clock()).open(&path).await.unwrap();
        check(&store, &store.maintenance(operator()), depth).await;
        if schema >= FIRST_WITH_SPACES {
            check_space(&store, &store.maintenance(operator())).await;
        }
        store.close().await.unwrap();
    }
}

/// A database with the dump of a schema.
async fn restored(schema: &str) -> Database {
    // The roles belong to the server, and come with the first database that has the schema.
    drop(Database::fresh().await);
    let database = Database::empty().await;
    let mut superuser = database.superuser().await;
    superuser.execute("CREATE EXTENSION vector SCHEMA public").await.unwrap();
    let dump = String::from_utf8(unpacked(&format!("postgres-{schema}.sql.gz"))).unwrap();
    superuser.execute(AssertSqlSafe(dump)).await.unwrap();
    database
}

#[tokio::test]
async fn postgres_dumps_are_restored() {
    for (schema, depth) in SCHEMAS {
        let database = restored(schema).await;
        PostgresStore::migrate(&cluster().superuser_url(database.name())).await.unwrap();
        let builder = PostgresStore::builder().clock(clock());
        let store = builder.clone().connect(&app_url(database.name())).await.unwrap();
        let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator()).await.unwrap();
        check(&store, &maintenance, depth).await;
        if schema >= FIRST_WITH_SPACES {
            check_space(&store, &maintenance).await;
        }
        maintenance.close().await;
        store.close().await.unwrap();
    }
}

/// A transaction that has looked at the schema goes on under it to its end.
#[tokio::test]
async fn a_migration_waits_for_open_transactions() {
    let database = restored(SCHEMAS[0].0).await;
    let (mut open, mut superuser) = (database.superuser().await, database.superuser().await);
    open.execute("BEGIN; SELECT FROM ironclaw.migrations").await.unwrap();
    let url = cluster().superuser_url(database.name());
    let migrating = tokio::spawn(async move { PostgresStore::migrate(&url).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'ironclaw.migrations'::regclass AND NOT granted)";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser).await.unwrap() {
        assert!(!migrating.is_finished(), "the migration did not wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'ironclaw' AND indexname = 'receipts_by_age'";
    assert_eq!(sqlx::query_scalar::<_, i64>(indexes).fetch_one(&mut superuser).await.unwrap(), 0);
    open.execute("COMMIT").await.unwrap();
    migrating.await.unwrap().unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(indexes).fetch_one(&mut superuser).await.unwrap(), 1);
}

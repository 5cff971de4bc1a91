//! Databases of tests: each its own, made from a template that has the schema, on the server that all tests share.

use std::sync::atomic::{AtomicU64, Ordering};

use ironclaw_store::PostgresStore;
use ironclaw_testing::{Certificates, Cluster, PgBouncer, missing, need};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The password of the roles that tests log in with.
pub(crate) const PASSWORD: &str = "only for tests";

/// What processes lock while they make what all share.
const LOCK: i64 = 0x7465_7374_7321;

/// A database with the store's schema. Dropped with it.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// A new one.
    pub(crate) async fn fresh() -> Self {
        let template = template().await;
        let database = Self { name: unique_name() };
        let sql = format!("CREATE DATABASE {} TEMPLATE {template}", database.name);
        superuser("postgres").await.execute(AssertSqlSafe(sql)).await.unwrap();
        database
    }

    /// From now on whoever connects has defaults that none of ours reckons with.
    pub(crate) async fn make_hostile(&self) {
        self.set(&HOSTILE).await;
    }

    /// From now on whoever connects has these defaults.
    pub(crate) async fn set(&self, defaults: &[(&str, &str)]) {
        let set = |(name, value): &(&str, &str)| format!("ALTER DATABASE {} SET {name} = {value};", self.name);
        let sql: String = defaults.iter().map(set).collect();
        superuser("postgres").await.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// A new one without the store's schema.
    pub(crate) async fn empty() -> Self {
        let database = Self { name: unique_name() };
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", database.name);
        superuser("postgres").await.execute(AssertSqlSafe(sql)).await.unwrap();
        database
    }

    /// A new one without the store's schema that keeps text in another encoding.
    pub(crate) async fn encoded(encoding: &str) -> Self {
        let database = Self { name: unique_name() };
        let sql = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'", database.name);
        superuser("postgres").await.execute(AssertSqlSafe(sql)).await.unwrap();
        database
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection as a superuser: behind the store's back.
    pub(crate) async fn superuser(&self) -> PgConnection {
        superuser(&self.name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server of the run's own is thrown away whole.
        if let Ok(cluster) = Cluster::shared()
            && !cluster.is_private()
        {
            let _ = cluster.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// What a database's defaults may be, each of them something else than usual: how transactions are isolated, what is
/// durable, what literals mean, whether policies hold, how values are shown.
const HOSTILE: [(&str, &str); 22] = [
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("synchronous_commit", "off"),
    ("row_security", "off"),
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "on"),
    ("escape_string_warning", "off"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("quote_all_identifiers", "on"),
    ("exit_on_error", "on"),
    ("check_function_bodies", "off"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "'Asia/Kathmandu'"),
    ("client_encoding", "LATIN1"),
    ("search_path", "pg_temp"),
    ("xmlbinary", "hex"),
    ("gin_fuzzy_search_limit", "1"),
    ("statement_timeout", "'1h'"),
];

/// The server that all tests share.
pub(crate) fn cluster() -> Cluster {
    need(Cluster::shared())
}

/// What to install on this machine, if a suite is to be ignored for want of the server, or of a pooler if it needs one.
pub(crate) fn unavailable(with_pooler: bool) -> Option<String> {
    missing(&Cluster::shared()).or_else(|| missing(&PgBouncer::find()).filter(|_| with_pooler))
}

/// The URL of a database for the application.
pub(crate) fn app_url(database: &str) -> String {
    cluster().url("ironclaw_test_app", PASSWORD, database)
}

/// The URL of a database for an operator.
pub(crate) fn operator_url(database: &str) -> String {
    cluster().url("ironclaw_test_operator", PASSWORD, database)
}

/// The URL of a database for an auditor.
pub(crate) fn auditor_url(database: &str) -> String {
    cluster().url("ironclaw_test_auditor", PASSWORD, database)
}

/// A pooler in transaction mode in front of the server: as many of its connections as `size` for each database and role.
pub(crate) fn pooler(size: u32, options: &[(&str, &str)], tls: Option<&Certificates>) -> PgBouncer {
    let size = size.to_string();
    // Many tests share the server's connections: one that is not used is soon given up.
    let own = [("default_pool_size", size.as_str()), ("max_client_conn", "1000"), ("server_idle_timeout", "3")];
    let users = [("ironclaw_test_app", PASSWORD), ("ironclaw_test_operator", PASSWORD)];
    let options = [own.as_slice(), options].concat();
    need(PgBouncer::start(&cluster().superuser_url("postgres"), &users, &options, tls))
}

/// The URL of a database for the application through a pooler.
pub(crate) fn pooled_app_url(pooler: &PgBouncer, database: &str) -> String {
    pooler.url("ironclaw_test_app", PASSWORD, database)
}

/// The URL of a database for an operator through a pooler.
pub(crate) fn pooled_operator_url(pooler: &PgBouncer, database: &str) -> String {
    pooler.url("ironclaw_test_operator", PASSWORD, database)
}

/// A connection as a superuser.
pub(crate) async fn superuser(database: &str) -> PgConnection {
    PgConnection::connect(&cluster().superuser_url(database)).await.unwrap()
}

fn unique_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("ironclaw_test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// The name of the database that others are made from: one for each build of this test.
async fn template() -> String {
    let program = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
    let built = program.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let name = format!("ironclaw_template_{}_{built}", program.len());
    let mut connection = superuser("postgres").await;
    let lock = |verb| AssertSqlSafe(format!("SELECT pg_advisory_{verb}({LOCK})"));
    connection.execute(lock("lock")).await.unwrap();
    let made: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !made {
        // One that a killed process left is not marked as a template yet.
        for sql in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE template0"),
        ] {
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        PostgresStore::migrate(&cluster().superuser_url(&name)).await.unwrap();
        for (role, member_of) in [("app", "app"), ("operator", "owner"), ("auditor", "auditor")] {
            let sql = format!(
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ironclaw_test_{role}') THEN \
                 CREATE ROLE ironclaw_test_{role} LOGIN PASSWORD '{PASSWORD}' IN ROLE ironclaw_{member_of}; \
                 END IF; END $$"
            );
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        let sql = format!("ALTER DATABASE {name} WITH IS_TEMPLATE true");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    connection.execute(lock("unlock")).await.unwrap();
    name
}

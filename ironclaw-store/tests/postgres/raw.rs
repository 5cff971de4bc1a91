//! Statements as somebody else than the store might send them.

use ironclaw_testing::Cluster;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::database::{Database, app_url, cluster, superuser};

/// What PostgreSQL says of a missing right, and of a row that row-level security keeps out.
pub(crate) const DENIED: &str = "42501";

/// The password of the roles that are made here.
const PASSWORD: &str = "only for these tests";

/// A role of a test's own. Dropped with it.
pub(crate) struct Role(pub(crate) String);

impl Role {
    /// A new one.
    pub(crate) async fn new(name: &str, options: &str) -> Self {
        let role = Self(format!("ironclaw_test_{name}_{}", std::process::id()));
        let Self(name) = &role;
        must(
            &mut superuser("postgres").await,
            &format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} PASSWORD '{PASSWORD}' {options}"),
        )
        .await;
        role
    }

    /// The URL of a database for it.
    pub(crate) fn url(&self, database: &Database) -> String {
        cluster().url(&self.0, PASSWORD, database.name())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Without a server there is none, and the test is on its way out.
        if let Ok(cluster) = Cluster::shared() {
            let _ = cluster.psql("postgres", &format!("DROP ROLE IF EXISTS {}", self.0));
        }
    }
}

/// The chain of a user in person, as `ironclaw.enter` takes it.
pub(crate) fn in_person(owner: &str) -> String {
    format!(r#"[[1,"{owner}"]]"#)
}

/// A connection as the application.
pub(crate) async fn application(database: &str) -> PgConnection {
    PgConnection::connect(&app_url(database)).await.unwrap()
}

/// Gives the transaction the scope of a user, in person. Whether the store knows the user.
pub(crate) async fn enter(connection: &mut PgConnection, tenant: &str, owner: &str) -> bool {
    let entered = sqlx::query("SELECT * FROM ironclaw.enter($1, $2, $3)")
        .bind(tenant)
        .bind(owner)
        .bind(in_person(owner))
        .fetch_optional(connection);
    entered.await.unwrap().is_some()
}

/// Runs statements: how many rows the last one was about, or the code of the error.
pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, String> {
    match connection.execute(AssertSqlSafe(sql.to_owned())).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
            Err(code.unwrap_or_else(|| error.to_string()))
        }
    }
}

/// Runs statements that may be run: how many rows the last one was about.
pub(crate) async fn must(connection: &mut PgConnection, sql: &str) -> u64 {
    run(connection, sql).await.unwrap_or_else(|code| panic!("{code}: {sql}"))
}

//! Statements as somebody else than the store might send them.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::database::app_url;

/// What PostgreSQL says of a missing right, and of a row that row-level security keeps out.
pub(crate) const DENIED: &str = "42501";

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

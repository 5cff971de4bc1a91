//! A server of a test's own, which it may kill, with the store's schema.

use ironclaw_store::PostgresStore;
use ironclaw_testing::{Server, need};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The password of the roles, which nobody else's server has.
fn password() -> String {
    format!("only for {}", std::process::id())
}

/// The database with the schema.
const DATABASE: &str = "agents";

/// A new server with the schema, and roles for an application and an operator.
pub(crate) async fn start(options: &[(&str, &str)]) -> Server {
    let server = need(Server::start(options));
    server.psql("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    PostgresStore::migrate(&server.superuser_url(DATABASE)).await.unwrap();
    for (role, member_of) in [("app", "ironclaw_app"), ("operator", "ironclaw_owner")] {
        let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{}' IN ROLE {member_of}", password());
        server.psql("postgres", &create).unwrap();
    }
    server
}

/// The server's URL for the application.
pub(crate) fn app_url(server: &Server) -> String {
    server.url("app", &password(), DATABASE)
}

/// The server's URL for an operator.
pub(crate) fn operator_url(server: &Server) -> String {
    server.url("operator", &password(), DATABASE)
}

/// A connection to the server as a superuser: behind the store's back.
pub(crate) async fn superuser(server: &Server) -> PgConnection {
    PgConnection::connect(&server.superuser_url(DATABASE)).await.unwrap()
}

/// Runs statements as a superuser.
pub(crate) async fn run(server: &Server, sql: &str) {
    superuser(server).await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

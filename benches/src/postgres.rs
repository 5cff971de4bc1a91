use ironclaw_core::id::OperatorName;
use ironclaw_store::{PostgresMaintenance, PostgresStore, PostgresStoreBuilder};
use ironclaw_testing::Server;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const PASSWORD: &str = "only for benchmarks";
const DATABASE: &str = "postgres";

/// The role that the application logs in with.
pub const APPLICATION: &str = "bench_app";

/// What is not as it is by default. Commits are synchronous and durable.
const OPTIONS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("maintenance_work_mem", "256MB"), ("max_wal_size", "8GB"), ("max_connections", "100")];

/// A server of the benchmark's own with the store's schema.
pub struct Postgres {
    server: Server,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// If no server can be had: the message says how to get one.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with options of its own beside those that all have.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_with(options: &[(&str, &str)]) -> Self {
        let options = [&OPTIONS, options].concat();
        let postgres = Self { server: Server::start(&options).unwrap_or_else(|error| panic!("{error}")) };
        PostgresStore::migrate(&postgres.superuser_url()).await.expect("a schema");
        postgres
            .execute(&format!(
                "CREATE ROLE {APPLICATION} LOGIN PASSWORD '{PASSWORD}' IN ROLE ironclaw_app; \
                 CREATE ROLE bench_operator LOGIN PASSWORD '{PASSWORD}' IN ROLE ironclaw_owner"
            ))
            .await;
        postgres
    }

    /// The URL for the application.
    pub fn url(&self) -> String {
        self.server.url(APPLICATION, PASSWORD, DATABASE)
    }

    /// The URL for a superuser.
    pub fn superuser_url(&self) -> String {
        self.server.superuser_url(DATABASE)
    }

    /// The application's store.
    ///
    /// # Panics
    /// If it can't be connected.
    pub async fn store(&self, builder: PostgresStoreBuilder) -> PostgresStore {
        builder.connect(&self.url()).await.expect("a store")
    }

    /// The operator's side.
    ///
    /// # Panics
    /// If it can't be connected.
    pub async fn maintenance(&self) -> PostgresMaintenance {
        self.maintenance_by(PostgresStore::builder()).await
    }

    /// The operator's side, with settings of its own.
    ///
    /// # Panics
    /// If it can't be connected.
    pub async fn maintenance_by(&self, builder: PostgresStoreBuilder) -> PostgresMaintenance {
        let url = self.server.url("bench_operator", PASSWORD, DATABASE);
        let operator = OperatorName::parse("bench").expect("a name");
        builder.connect_maintenance(&url, operator).await.expect("an operator")
    }

    /// Runs SQL as a superuser.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.superuser_url()).await.expect("a server");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("done");
    }
}

//! Bringing a database's schema up to date.

use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sea_orm::{ConnectionTrait, DbBackend, IsolationLevel, SqlxPostgresConnector, Statement, TransactionTrait};
use sea_orm_migration::MigratorTrait;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::engine::busy;
use super::error::{from_orm, from_sqlx};
use super::migration::Migrator;
use super::pooler;
use super::role::Role;
use super::session::DEFINE;
use super::session::closed_path;
use super::{passfile, pool, server};

const OPERATION: &str = "migrate";

/// What all processes that migrate a database lock: the letters `ironclaw` as a number.
const LOCK: i64 = 0x6972_6f6e_636c_6177;

/// What others see of who migrates.
const SINCE: &str = "SELECT set_config('application_name', 'migrate since ' || \
     to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), true)";

/// The roles, which belong to no database but to the whole server.
const ROLES: [&str; 3] = ["ironclaw_owner", "ironclaw_app", "ironclaw_auditor"];

/// Runs what has not run yet, in one transaction. One process at a time: the others wait for `patience`.
pub(super) async fn migrate(url: &str, patience: Duration, unverified: bool) -> Result<(), StoreError> {
    let options = server::options(OPERATION, url, unverified)?;
    let checked = tokio::time::timeout(patience.max(pool::REACH), check(&options)).await;
    checked.unwrap_or_else(|_| Err(pool::no_answer(OPERATION))).map_err(|error| passfile::explain(url, error))?;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(patience.max(Duration::from_secs(5)));
    let pool = pool.connect_lazy_with(options);
    // Dropping the caller's future must not stop a migration half-way: it is one transaction, and ends by itself.
    let migrated = tokio::spawn(async move {
        let result = run(&pool, patience).await;
        pool.close().await;
        result
    });
    migrated.await.map_err(|error| {
        StoreError::new(StoreErrorKind::Internal, OPERATION, "the migration broke off").with_source(error)
    })?
}

/// Checks that there is a server to migrate, and that no pooler is before it.
async fn check(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = pool::connect(OPERATION, options).await?;
    server::check_server(OPERATION, &mut connection).await?;
    pooler::check(OPERATION, &mut connection, pool::connect(OPERATION, options).await, Role::Operator).await
}

async fn run(pool: &PgPool, patience: Duration) -> Result<(), StoreError> {
    let failed = |error| from_orm(OPERATION, error);
    let database = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    // By the server's default it might not see what another process has just migrated, for which it waited.
    let level = Some(IsolationLevel::ReadCommitted);
    let transaction = database.begin_with_config(level, None).await.map_err(failed)?;
    // If the process is killed, the server notices and lets the next one in. Millisecond figures, not a user's text.
    let patience = patience.as_millis().clamp(1, i32::MAX as u128);
    let settings = format!(
        "{}; {DEFINE}; SET LOCAL lock_timeout = {patience}; \
         SET LOCAL statement_timeout = 0; SET LOCAL client_connection_check_interval = 1000; \
         SET LOCAL idle_in_transaction_session_timeout = 60000; SET LOCAL client_min_messages = warning;",
        closed_path!()
    );
    transaction.execute_unprepared(&settings).await.map_err(failed)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    if let Err(error) = transaction.execute_unprepared(&lock).await.map_err(failed) {
        if *error.kind() != StoreErrorKind::Busy {
            return Err(error);
        }
        transaction.rollback().await.map_err(failed)?;
        let mut connection = pool.acquire().await.map_err(|error| from_sqlx(OPERATION, error))?;
        return Err(busy(OPERATION, &mut connection, LOCK).await.with_source(error));
    }
    transaction.execute_unprepared(SINCE).await.map_err(failed)?;
    for statement in roles() {
        transaction.execute_unprepared(&statement).await.map_err(failed).map_err(explain)?;
    }
    // Before anything is made in them, or looked up.
    let strings = async |sql: &str| -> Result<Vec<String>, StoreError> {
        let rows = transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.map_err(failed)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(failed)).collect()
    };
    let open = strings(server::OPEN_SCHEMAS).await?;
    let version = "SELECT extversion FROM pg_extension WHERE extname = 'vector'";
    if strings(version).await?.is_empty() {
        // Nobody's rights in the schema that it goes into matter to a role that may not make it.
        let superuser = "SELECT rolname::text FROM pg_roles WHERE rolname = current_user AND rolsuper";
        if !open.is_empty() && strings(superuser).await?.is_empty() {
            return Err(server::missing_extension(OPERATION));
        }
        server::check_schemas(OPERATION, &open)?;
        transaction.execute_unprepared(EXTENSION).await.map_err(failed).map_err(of_the_extension)?;
    }
    server::check_schemas(OPERATION, &open)?;
    if let Some(version) = strings(version).await?.first() {
        server::check_vector_version(OPERATION, version)?;
    }
    transaction.execute_unprepared(SCHEMA).await.map_err(failed).map_err(explain)?;
    // Somebody else may have made it meanwhile, and put into it what would run with our rights.
    server::check_schemas(OPERATION, &strings(server::OPEN_SCHEMAS).await?)?;
    for statement in BOOTSTRAP {
        transaction.execute_unprepared(statement).await.map_err(failed).map_err(explain)?;
    }
    let unknown = |error| match error {
        sea_orm::DbErr::Custom(text) => StoreError::new(
            StoreErrorKind::NewerSchema,
            OPERATION,
            "the schema has a migration that this version does not know: update it",
        )
        .with_source(text),
        error => failed(error),
    };
    if !Migrator::get_pending_migrations(&transaction).await.map_err(unknown)?.is_empty() {
        // Every transaction of a store reads this table first: those that are open end before anything changes, and
        // those that come later are told that the schema is newer.
        let lock = "LOCK TABLE ironclaw.migrations IN ACCESS EXCLUSIVE MODE";
        transaction.execute_unprepared(lock).await.map_err(failed)?;
    }
    Migrator::up(&transaction, None).await.map_err(unknown)?;
    transaction.commit().await.map_err(failed)
}

/// Makes the roles, unless an administrator made them beforehand, and whoever migrates a member of the owner's.
fn roles() -> Vec<String> {
    // Roles belong to the server: another database's migration may make them at the same moment.
    let make = |role| {
        format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN \
             BEGIN CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS; \
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END; END IF; END $$"
        )
    };
    let join = "DO $$ BEGIN IF NOT pg_has_role(current_user, 'ironclaw_owner', 'SET') THEN \
                EXECUTE format('GRANT ironclaw_owner TO %I', current_user); END IF; END $$";
    ROLES.into_iter().map(make).chain([join.to_owned()]).collect()
}

/// Makes the extension, unless an administrator made it beforehand.
const EXTENSION: &str = "CREATE EXTENSION vector SCHEMA public";

/// Makes the schema. Whose it is that was there, or came just now, is looked at afterwards.
const SCHEMA: &str = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'ironclaw') THEN \
                      CREATE SCHEMA ironclaw AUTHORIZATION ironclaw_owner; END IF; \
                      EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$";

/// How the migrator finds it, and as whom it works.
const BOOTSTRAP: [&str; 2] = [
    // The migrator names its table alone, and makes it in the first schema that is named.
    "SET LOCAL search_path = ironclaw, pg_temp",
    "SET LOCAL ROLE ironclaw_owner",
];

/// Says what to do about what an administrator has to do.
fn explain(error: StoreError) -> StoreError {
    if *error.kind() != StoreErrorKind::Privileges {
        return error;
    }
    let context = "connect as a member of ironclaw_owner; for the first migration, which makes roles, a schema and the \
                   extension vector, as a superuser, or let one run CREATE EXTENSION vector and connect as such a member \
                   that owns the database";
    StoreError::new(StoreErrorKind::Privileges, OPERATION, context).with_source(source(&error))
}

/// Says why the extension could not be made, and what to do about it.
fn of_the_extension(error: StoreError) -> StoreError {
    let source = source(&error);
    match error.kind() {
        StoreErrorKind::Privileges => server::missing_extension(OPERATION).with_source(source),
        // `feature_not_supported` or `undefined_file`: the server's installation has no such extension.
        _ if source.contains("0A000") || source.contains("58P01") => {
            let context =
                "the server's installation has no pgvector: install it, for example the package postgresql-18-pgvector";
            StoreError::new(StoreErrorKind::MissingExtension, OPERATION, context).with_source(source)
        }
        _ => error,
    }
}

/// What the server said.
fn source(error: &StoreError) -> String {
    error.cause().map(ToString::to_string).unwrap_or_default()
}

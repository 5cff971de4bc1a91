//! A server: what its URL says, and what is checked of it before it is used.

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sea_orm_migration::MigratorTrait;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};

use super::error::from_sqlx;
use super::migration::Migrator;

/// The oldest server that is supported.
const SERVER_VERSION: i32 = 16;

/// The oldest pgvector that is supported: the first with iterative index scans.
const VECTOR_VERSION: (u32, u32) = (0, 8);

/// The options of a connection URL.
///
/// # Errors
/// An invalid input on the field `url`, which never repeats it.
pub(super) fn options(operation: &'static str, url: &str, unverified: bool) -> Result<PgConnectOptions, StoreError> {
    let malformed =
        |expected| StoreError::invalid_input(operation, InputError::new("url", Problem::Malformed { expected }));
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(malformed("postgres://USER:PASSWORD@HOST:PORT/DATABASE"));
    }
    let options: PgConnectOptions =
        url.parse().map_err(|_| malformed("postgres://USER:PASSWORD@HOST:PORT/DATABASE"))?;
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if !is_verified && !unverified && !is_this_host(&options) {
        return Err(malformed("sslmode=verify-full for any host but this one"));
    }
    // A pooler takes no parameters that it does not know.
    Ok(options.application_name("ironclaw").extra_float_digits(None).disable_statement_logging())
}

fn is_this_host(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the store needs to know of a database that it may use.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// Where names are looked up: the store's schema, then that of pgvector.
    pub(super) search_path: String,
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The application: bound by row-level security.
    Application,
    /// Whatever the server lets connect: for development.
    Any,
    /// An operator: a member of the owner's role.
    Operator,
}

/// Checks that the server, its schema and the role are such that the store may be used.
pub(super) async fn check(
    operation: &'static str,
    connection: &mut PgConnection,
    role: Role,
) -> Result<Database, StoreError> {
    check_server_version(operation, connection).await?;
    // An empty database lacks everything: that it was not migrated says best what to do.
    check_migrations(operation, connection).await?;
    let schema = check_extension(operation, connection).await?;
    check_role(operation, connection, role).await?;
    Ok(Database { search_path: format!("ironclaw, {schema}, pg_temp") })
}

/// Checks the version of the extension. Its schema, quoted.
async fn check_extension(operation: &'static str, connection: &mut PgConnection) -> Result<String, StoreError> {
    let extension = sqlx::query(
        "SELECT e.extversion, quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE e.extname = 'vector'",
    )
    .persistent(false)
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| from_sqlx(operation, error))?;
    let Some(extension) = extension else {
        let context = "the database has no extension vector: install pgvector and run PostgresStore::migrate";
        return Err(StoreError::new(StoreErrorKind::MissingExtension, operation, context));
    };
    let read = |column: usize| extension.try_get::<String, _>(column).map_err(|error| from_sqlx(operation, error));
    let version = read(0)?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < VECTOR_VERSION {
        let context = format!("pgvector is {version}; 0.8 or newer is needed: ALTER EXTENSION vector UPDATE");
        return Err(StoreError::new(StoreErrorKind::UnsupportedVersion, operation, context));
    }
    read(1)
}

/// Checks the server's own version.
pub(super) async fn check_server_version(
    operation: &'static str,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| from_sqlx(operation, error))?;
    if version / 10_000 < SERVER_VERSION {
        let context = format!("the server is PostgreSQL {}; {SERVER_VERSION} or newer is needed", version / 10_000);
        return Err(StoreError::new(StoreErrorKind::UnsupportedVersion, operation, context));
    }
    Ok(())
}

async fn check_migrations(operation: &'static str, connection: &mut PgConnection) -> Result<(), StoreError> {
    let not_migrated = |context: &str| StoreError::new(StoreErrorKind::NotMigrated, operation, context.to_owned());
    let (is_there, is_allowed): (bool, bool) = sqlx::query_as(
        "SELECT count(*) = 1, coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'ironclaw' AND c.relname = 'migrations'",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| from_sqlx(operation, error))?;
    if !is_there {
        return Err(not_migrated("the database has no schema of this store: run PostgresStore::migrate as the owner"));
    }
    if !is_allowed {
        let context = "the role is no member of ironclaw_app: GRANT ironclaw_app TO it";
        return Err(StoreError::new(StoreErrorKind::Privileges, operation, context));
    }
    let applied: Vec<String> = sqlx::query_scalar("SELECT version FROM ironclaw.migrations ORDER BY version")
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| from_sqlx(operation, error))?;
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
        let context = format!("the schema has the migration {newer}, which this version does not know: update it");
        return Err(StoreError::new(StoreErrorKind::NewerSchema, operation, context));
    }
    match known.iter().find(|version| !applied.contains(version)) {
        Some(missing) => {
            Err(not_migrated(&format!("the migration {missing} has not run: run PostgresStore::migrate as the owner")))
        }
        None => Ok(()),
    }
}

async fn check_role(operation: &'static str, connection: &mut PgConnection, role: Role) -> Result<(), StoreError> {
    let (bypasses, is_owner, is_app): (bool, bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT FROM pg_roles above WHERE (above.rolsuper OR above.rolbypassrls) \
         AND pg_has_role(r.oid, above.oid, 'MEMBER')), pg_has_role(r.oid, 'ironclaw_owner', 'MEMBER'), \
         pg_has_role(r.oid, 'ironclaw_app', 'USAGE') FROM pg_roles r WHERE r.rolname = current_user",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| from_sqlx(operation, error))?;
    let refused = |context: &str| Err(StoreError::new(StoreErrorKind::Privileges, operation, context.to_owned()));
    match role {
        Role::Application if bypasses => refused(
            "a superuser or BYPASSRLS role, or a member of one, is not bound by row-level security: connect as a \
             member of ironclaw_app only",
        ),
        Role::Application if is_owner => {
            refused("the owner's role may change the schema: connect as a member of ironclaw_app only")
        }
        Role::Application if !is_app => refused("the role is no member of ironclaw_app: GRANT ironclaw_app TO it"),
        Role::Operator if !is_owner => {
            refused("an operator's role must be a member of ironclaw_owner: GRANT ironclaw_owner TO it")
        }
        _ => Ok(()),
    }
}

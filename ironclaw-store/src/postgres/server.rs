//! A server: what its URL says, and what is checked of it before it is used.

use std::sync::Arc;

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sea_orm_migration::MigratorTrait;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, Row};

use super::error::from_sqlx;
use super::migration::Migrator;
use super::parameters;
use super::role::{self, Role};
use super::session::{LOOK, unlimited};

/// The oldest server that is supported.
const SERVER_VERSION: i32 = 16;

/// The oldest pgvector that is supported: the first with iterative index scans.
const VECTOR_VERSION: (u32, u32) = (0, 8);

/// The parameters of a URL that mean something. sqlx ignores all others, however they are meant, and logs their values.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The options of a connection URL.
///
/// # Errors
/// An invalid input on the field `url`, which never repeats it.
pub(super) fn options(operation: &'static str, url: &str, unverified: bool) -> Result<PgConnectOptions, StoreError> {
    let refused = |problem| StoreError::invalid_input(operation, InputError::new("url", problem));
    let malformed = |expected| refused(Problem::Malformed { expected });
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(malformed(FORM));
    }
    // It would end what is sent to the server.
    if let Some(at) = url.find("%00").or_else(|| url.find('\0')) {
        return Err(refused(Problem::Nul { at }));
    }
    // It would end the URL.
    if url.contains('#') {
        return Err(malformed("%23 for a # in the password"));
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let mut names = parameters.split('&').map(|parameter| parameter.split('=').next().unwrap_or_default());
    let has_no_meaning = |name: &&str| !(name.is_empty() || PARAMETERS.contains(name) || name.starts_with("options["));
    if let Some(name) = names.find(has_no_meaning) {
        return Err(malformed(parameters::expected(name)));
    }
    let mut options: PgConnectOptions = url.parse().map_err(|_| malformed(FORM))?;
    // An address of IPv6, which only a URL has in brackets.
    if let Some(address) = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = address.to_owned();
        options = options.host(&address);
    }
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if !is_verified && !unverified && !is_this_host(&options) {
        return Err(malformed("sslmode=verify-full for any host but this one"));
    }
    let name = options.get_application_name().unwrap_or("ironclaw").to_owned();
    // A pooler takes no parameters that it does not know.
    Ok(options.application_name(&name).extra_float_digits(None).disable_statement_logging())
}

const FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

fn is_this_host(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    is_socket(options)
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn is_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

/// What the store needs to know of a database that it may use.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// The schema of pgvector, quoted.
    pub(super) pgvector: Arc<str>,
}

/// Checks that the server, its schema and the role are such that the store may be used.
pub(super) async fn check(
    operation: &'static str,
    connection: &mut PgConnection,
    role: Role,
) -> Result<Database, StoreError> {
    let failed = |error| from_sqlx(operation, error);
    sqlx::raw_sql(LOOK).execute(&mut *connection).await.map_err(failed)?;
    check_server(operation, connection).await?;
    // An empty database lacks everything: that it was not migrated says best what to do.
    check_migrations(operation, connection).await?;
    let pgvector = check_extension(operation, connection).await?.into();
    role::check(operation, connection, role).await?;
    sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map_err(failed)?;
    Ok(Database { pgvector })
}

/// The schemas that others than the store's owner may fill or rename, and who may make itself the owner, each with what to do
/// about it.
///
/// Nobody else may make anything in the store's own. In that of pgvector others may make what they like, as its types
/// and operators are called by their full names; but who may rename it can put another in its place. While the extension
/// is still to come into `public`, its script must find nothing there that somebody else made.
pub(super) const OPEN_SCHEMAS: &str = include_str!("catalogue/open_schemas.sql");

/// Refuses what [`OPEN_SCHEMAS`] gave.
pub(super) fn check_schemas(operation: &'static str, open: &[String]) -> Result<(), StoreError> {
    match open.first() {
        Some(context) => Err(StoreError::new(StoreErrorKind::Privileges, operation, context.clone())),
        None => Ok(()),
    }
}

/// Refuses schemas that are open.
async fn check_owners(operation: &'static str, connection: &mut PgConnection) -> Result<(), StoreError> {
    let open: Vec<String> = sqlx::query_scalar(OPEN_SCHEMAS)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| from_sqlx(operation, error))?;
    check_schemas(operation, &open)
}

/// Checks the version of the extension. Its schema, quoted.
async fn check_extension(operation: &'static str, connection: &mut PgConnection) -> Result<String, StoreError> {
    let extension = sqlx::query(
        "SELECT e.extversion, quote_ident(n.nspname::text) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE e.extname = 'vector'",
    )
    .persistent(false)
    .fetch_optional(&mut *connection)
    .await
    .map_err(|error| from_sqlx(operation, error))?;
    let Some(extension) = extension else {
        return Err(missing_extension(operation));
    };
    let read = |column: usize| extension.try_get::<String, _>(column).map_err(|error| from_sqlx(operation, error));
    check_vector_version(operation, &read(0)?)?;
    check_owners(operation, connection).await?;
    read(1)
}

/// Says that the database lacks pgvector. Who connected may not be who can make it.
pub(super) fn missing_extension(operation: &'static str) -> StoreError {
    let context = "the database has no extension vector: install pgvector on the server, and let a superuser run CREATE \
                   EXTENSION vector in this database";
    StoreError::new(StoreErrorKind::MissingExtension, operation, context)
}

/// Checks the version of the extension.
pub(super) fn check_vector_version(operation: &'static str, version: &str) -> Result<(), StoreError> {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < VECTOR_VERSION {
        let context =
            format!("pgvector is {version}; 0.8 or newer is needed: install it and run ALTER EXTENSION vector UPDATE");
        return Err(StoreError::new(StoreErrorKind::UnsupportedVersion, operation, context));
    }
    Ok(())
}

/// Checks the server's own version, and how the database keeps text. Called outside of any transaction too.
pub(super) async fn check_server(operation: &'static str, connection: &mut PgConnection) -> Result<(), StoreError> {
    let (version, encoding): (i32, String) = sqlx::query_as(concat!(
        "SELECT pg_catalog.current_setting('server_version_num')::integer, \
             pg_catalog.current_setting('server_encoding'), ",
        unlimited!("true")
    ))
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| from_sqlx(operation, error))?;
    if version / 10_000 < SERVER_VERSION {
        let context = format!("the server is PostgreSQL {}; {SERVER_VERSION} or newer is needed", version / 10_000);
        return Err(StoreError::new(StoreErrorKind::UnsupportedVersion, operation, context));
    }
    if encoding != "UTF8" {
        let context = format!(
            "the database keeps text as {encoding}: use one that was made by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE \
             template0"
        );
        return Err(StoreError::new(StoreErrorKind::UnsupportedEncoding, operation, context));
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
        // In a dump that was restored without its owners no role has the rights that it has elsewhere.
        check_owners(operation, connection).await?;
        let context = "the role may not use the schema: the application is to be a member of ironclaw_app, an operator of \
                       ironclaw_owner; an auditor reads the tables with a client of the server";
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

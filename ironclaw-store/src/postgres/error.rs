//! What the server and the driver say, as the store's errors.

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sea_orm::{DbErr, RuntimeErr};
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::damage;

/// An error of the server: its code and its message, without the detail, which may quote a row.
#[derive(Debug)]
struct ServerError {
    code: String,
    message: String,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl std::error::Error for ServerError {}

/// The store's error for one of the driver.
pub(super) fn from_sqlx(operation: &'static str, error: Error) -> StoreError {
    let (kind, context) = match &error {
        Error::Database(database) => match database.code().as_deref().unwrap_or_default() {
            POOLER => of_pooler(database.message()),
            UNSUPPORTED if is_plan_changed(database.as_ref()) => {
                (StoreErrorKind::Busy, "a table was changed by a migration or by hand; try again")
            }
            code => of_code(code),
        },
        Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
            (StoreErrorKind::TimedOut, "the server did not answer in time")
        }
        // What rustls makes of a certificate that it does not trust, or of what is no TLS.
        Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => (StoreErrorKind::UntrustedServer, UNTRUSTED),
        Error::Io(_) => (StoreErrorKind::Unavailable, "the connection to the server was lost or refused"),
        Error::Tls(_) => (StoreErrorKind::UntrustedServer, UNTRUSTED),
        Error::PoolTimedOut => {
            (StoreErrorKind::Busy, "no connection became free in time; allow more connections or wait longer")
        }
        Error::PoolClosed => (StoreErrorKind::Closed, "open the store again"),
        Error::Configuration(_) => (StoreErrorKind::Internal, "the connection's settings are contradictory"),
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) => {
            (StoreErrorKind::Corrupt, "a row can't be decoded; check that the schema was not changed by hand")
        }
        Error::Protocol(_) => (StoreErrorKind::Unavailable, "the server broke off or is not PostgreSQL"),
        Error::WorkerCrashed => (StoreErrorKind::Unavailable, "the connection's task ended"),
        _ => (StoreErrorKind::Internal, "the database refused a call"),
    };
    let error_of_kind = StoreError::new(kind, operation, context);
    match error {
        Error::Database(database) => error_of_kind.with_source(ServerError {
            code: database.code().unwrap_or_default().into_owned(),
            message: database.message().to_owned(),
        }),
        other => error_of_kind.with_source(other),
    }
}

const UNTRUSTED: &str = "TLS failed: check that the server has it switched on and that sslrootcert names the authority \
                         that signed the server's certificate for this host";

const FORBIDDEN: &str = "the role may not do this: GRANT ironclaw_app TO the application's, ironclaw_owner TO an operator's, \
                         and each GRANT CONNECT ON DATABASE; if that was done, check_integrity names what belongs to \
                         others or was revoked";

/// A feature that is not supported: also a prepared statement whose result has other types now.
const UNSUPPORTED: &str = "0A000";

/// Whether it is of a prepared statement that was planned for another table. The message may be in any language.
fn is_plan_changed(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

/// A violation of the protocol. It is the one code that PgBouncer has, also for what the server told it.
const POOLER: &str = "08P01";

/// What a pooler means, which only its message says.
fn of_pooler(message: &str) -> (StoreErrorKind, &'static str) {
    const MEANINGS: [(&str, &str); 10] = [
        // It waited for one of the server's connections for too long.
        ("query_wait_timeout", "53300"),
        ("too many", "53300"),
        ("no more connections allowed", "53300"),
        ("connection slots", "53300"),
        ("authentication failed", "28P01"),
        ("no such user", "28P01"),
        ("role \"", "28000"),
        ("no pg_hba.conf entry", "28000"),
        ("no such database", "3D000"),
        ("database \"", "3D000"),
    ];
    let meant = MEANINGS.iter().find(|(said, _)| message.contains(said));
    of_code(meant.map_or(POOLER, |(_, code)| code))
}

/// The store's error for one of the query builder.
pub(super) fn from_orm(operation: &'static str, error: DbErr) -> StoreError {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match std::sync::Arc::try_unwrap(error) {
            Ok(error) => from_sqlx(operation, error),
            Err(shared) => StoreError::new(StoreErrorKind::Internal, operation, "the database refused a call")
                .with_source(shared.to_string()),
        },
        DbErr::Type(column) => damage::corrupt(operation, format!("a row's column {column} can't be decoded")),
        error @ (DbErr::Json(_) | DbErr::TryIntoErr { .. }) => {
            damage::corrupt(operation, "a row can't be decoded").with_source(error)
        }
        error => StoreError::new(StoreErrorKind::Internal, operation, "the database refused a call").with_source(error),
    }
}

/// What a code of the server means: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_code(code: &str) -> (StoreErrorKind, &'static str) {
    match code {
        // What a statement is given is checked before: what it can't count with was stored.
        "22003" | "22011" => (StoreErrorKind::Corrupt, "a stored number makes no sense; restore a backup"),
        "23505" => (StoreErrorKind::AlreadyExists, "its id is taken"),
        "23503" => (StoreErrorKind::NotFound, "what it belongs to is not there"),
        "40001" | "40P01" => (StoreErrorKind::Busy, "another transaction was in the way; try again"),
        "55P03" => (StoreErrorKind::Busy, "another transaction holds a lock; try again"),
        "53300" => (StoreErrorKind::Busy, NO_CONNECTION_LEFT),
        "57014" => (StoreErrorKind::TimedOut, "the statement took longer than allowed"),
        "25P03" | "25P04" => (StoreErrorKind::TimedOut, "the transaction took longer than allowed"),
        "53100" => (StoreErrorKind::Full, "free space on the server's disk and try again"),
        "53000" | "53200" | "53400" => (StoreErrorKind::Busy, "the server is short of a resource; try again"),
        "54001" => (StoreErrorKind::Internal, "the server's stack is too small for a value; raise max_stack_depth"),
        "25006" => (StoreErrorKind::ReadOnly, "the server takes no writes: it is a standby or was set read-only"),
        "57P01" | "57P02" | "57P03" | "57P05" => {
            (StoreErrorKind::Unavailable, "the server is starting, stopping or was restarted; try again")
        }
        "28P01" | "28000" => (StoreErrorKind::Credentials, "check the role's name, its password and pg_hba.conf"),
        "3D000" => (StoreErrorKind::NotAStore, "the server has no database of this name; create it first"),
        "42501" => (StoreErrorKind::Privileges, FORBIDDEN),
        // An undefined schema, table, function, column, or type.
        "3F000" | "42P01" | "42883" | "42703" | "42704" => (
            StoreErrorKind::NotMigrated,
            "the database lacks something of the store's, or pgvector: open the store anew, which says what, or run \
             PostgresStore::migrate as the owner",
        ),
        "26000" | "42P05" => (
            StoreErrorKind::Internal,
            "named statements don't survive a pooler in transaction mode; build the store with transaction_pooling",
        ),
        "58030" => (StoreErrorKind::Io, "the server could not read or write its files"),
        "XX001" | "XX002" => (StoreErrorKind::Corrupt, "the server found its data damaged; restore a backup"),
        // A connection exception.
        code if code.starts_with("08") => (StoreErrorKind::Unavailable, "the connection to the server was lost"),
        _ => (StoreErrorKind::Internal, "the database refused a call"),
    }
}

const NO_CONNECTION_LEFT: &str = "the server, or the pooler before it, has no connection left; let stores open fewer, or raise \
                                  max_connections there, the role's CONNECTION LIMIT or default_pool_size";

/// Says that the server has no connection left.
pub(super) fn no_connection_left(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Busy, operation, NO_CONNECTION_LEFT)
}

/// Whether a lock was not to be had in the time that the server was told to wait for it.
pub(super) fn is_locked(error: &StoreError) -> bool {
    server_code(error) == Some("55P03")
}

/// What a change gets that the server refused for what is in it: it is the change's own failure, which is audited. What
/// the store itself checks before is told more precisely.
pub(super) fn of_the_change(error: StoreError) -> StoreError {
    let refused = |expected| {
        StoreError::invalid_input(error.operation(), InputError::new("change", Problem::Malformed { expected }))
    };
    let invalid = match server_code(&error) {
        Some(code) if *error.kind() == StoreErrorKind::Internal => match code.get(..2) {
            // A cardinality violation: a row that one statement changes twice.
            Some("21") => refused("each row once"),
            // A data exception.
            Some("22") => refused("values that the server's types can hold"),
            // A constraint violation; what is taken, and what is not there, have kinds of their own.
            Some("23") => refused("rows that the schema's constraints allow"),
            // A limit of the server's is exceeded.
            Some("54") => {
                refused("values within the server's limits: see max_stack_depth and the size of an index row")
            }
            _ => return error,
        },
        _ => return error,
    };
    invalid.with_source(error)
}

/// The code of the server's error that this one is for.
fn server_code(error: &StoreError) -> Option<&str> {
    let server = error.cause()?.downcast_ref::<ServerError>()?;
    Some(server.code.as_str())
}

/// Whether an attempt that failed this way, and left nothing behind, may go better at once.
pub(super) fn is_transient(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::ReadOnly => true,
        StoreErrorKind::Busy if matches!(server_code(error), Some("40001" | "40P01")) => true,
        _ => is_of_session(error),
    }
}

/// Whether it is of what the server keeps for the connection, and would not be on a new one: a statement that was planned
/// for another table, or whose name the server does not know (any more).
pub(super) fn is_of_session(error: &StoreError) -> bool {
    match server_code(error) {
        // What else is not supported is no better elsewhere.
        Some(UNSUPPORTED) => *error.kind() == StoreErrorKind::Busy,
        Some("26000") => true,
        _ => false,
    }
}

/// Whether the connection was lost, and with it the answer: what the server did last is not known.
pub(super) fn is_lost(error: &StoreError) -> bool {
    match error.kind() {
        StoreErrorKind::Unavailable => true,
        StoreErrorKind::TimedOut => server_code(error).is_none(),
        _ => false,
    }
}

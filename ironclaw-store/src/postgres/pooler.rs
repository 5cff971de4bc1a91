//! Poolers that give each transaction another connection.

use std::collections::BTreeSet;

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::{Error, PgConnection};

use super::error::from_sqlx;
use super::role::Role;
use super::session::LOOK;

/// Checks that no pooler gives what is prepared by name on one connection to another.
///
/// sqlx numbers the statements of each connection, so that two connections give the same name to different statements.
/// Where they share one of the server's, either would run the other's statements with its own parameters.
pub(super) async fn check(
    operation: &'static str,
    first: &mut PgConnection,
    second: Result<PgConnection, StoreError>,
    role: Role,
) -> Result<(), StoreError> {
    let mut second = match second {
        Ok(second) => second,
        // There is no second one to be had, so that nothing can be found out.
        Err(error) if *error.kind() == StoreErrorKind::Busy => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut backends = [BTreeSet::new(), BTreeSet::new()];
    // Others may keep the pooler busy: by chance, each may get the same connection as before a few times.
    for _ in 0..3 {
        let probes = [
            (&mut *first, "SELECT 0, pg_catalog.pg_backend_pid()"),
            (&mut second, "SELECT 1, pg_catalog.pg_backend_pid()"),
        ];
        for (number, (connection, probe)) in probes.into_iter().enumerate() {
            match ask(connection, probe).await {
                Ok((answered, backend)) if usize::try_from(answered) == Ok(number) => {
                    backends[number].insert(backend);
                }
                Err(error) if !is_of_names(&error) => return Err(from_sqlx(operation, error)),
                _ => return Err(refused(operation, role)),
            }
        }
    }
    // A pooler may know names. But what an operator sets for a session must not stay behind for others.
    let is_shared = backends.iter().any(|backends| backends.len() > 1) || backends[0] == backends[1];
    if is_shared && role == Role::Operator { Err(refused(operation, role)) } else { Ok(()) }
}

/// The number that a probe gives, and the process that answered.
async fn ask(connection: &mut PgConnection, probe: &'static str) -> Result<(i32, i32), Error> {
    sqlx::raw_sql(LOOK).execute(&mut *connection).await?;
    let answer = sqlx::query_as(probe).fetch_one(&mut *connection).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(answer)
}

/// Whether the error is such as a statement makes that is taken for another.
fn is_of_names(error: &Error) -> bool {
    match error {
        // It is there already, is not there, or takes other parameters.
        Error::Database(error) => matches!(error.code().as_deref(), Some("42P05" | "26000" | "08P01")),
        Error::ColumnDecode { .. } | Error::ColumnIndexOutOfBounds { .. } | Error::RowNotFound => true,
        _ => false,
    }
}

fn refused(operation: &'static str, role: Role) -> StoreError {
    let (field, expected) = match role {
        Role::Operator => ("url", "the server itself, not a pooler in transaction mode"),
        _ => (
            "transaction_pooling",
            "it to be set on the builder, as the URL leads to a pooler in transaction mode, or a URL of the server itself",
        ),
    };
    StoreError::invalid_input(operation, InputError::new(field, Problem::Malformed { expected }))
}

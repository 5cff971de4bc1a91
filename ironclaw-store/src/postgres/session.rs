//! How transactions begin: what ours mean is not left to the defaults of the server, the database or the role, which
//! anybody's `ALTER … SET` may change.
//!
//! Each transaction says so for itself, as a pooler gives it whatever connection is free. What only shapes text on its
//! way out (`bytea_output`, `DateStyle`) is not here: values come in the binary form.

/// Where names are looked up: in the system's catalogue, and last among temporary objects, where no function is found.
/// What others made is never called for the server's own, in whatever schema they may write.
macro_rules! closed_path {
    () => {
        "SET LOCAL search_path = pg_catalog, pg_temp"
    };
}
pub(super) use closed_path;

/// What the statements of the store and the bodies of its functions need to be what they say, by `SET` or `SET LOCAL`.
macro_rules! needed {
    ($set:literal) => {
        concat!(
            // Off, every statement on a table with policies fails.
            $set,
            " row_security = on; ",
            // Off, the backslashes of the functions' literals mean something else.
            $set,
            " standard_conforming_strings = on; ",
            // On, the server quotes names that it gives, which are compared with ours.
            $set,
            " quote_all_identifiers = off; ",
            // On, a refused statement ends the connection, and its answer counts as lost.
            $set,
            " exit_on_error = off; ",
            // Who writes says for how long to wait. Who reads waits for as long as a statement may take. Until then a
            // default ends nothing: the first statement waits for the user's row.
            $set,
            " lock_timeout = 0; ",
            $set,
            " statement_timeout = 0; ",
            $set,
            " idle_in_transaction_session_timeout = 0"
        )
    };
}

/// What makes a commit durable before it is acknowledged, for the transaction or (`false`) the session. A level that
/// waits for standbys stays as it is.
macro_rules! durable {
    ($local:literal) => {
        concat!(
            "set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') \
             THEN 'on' ELSE current_setting('synchronous_commit') END, ",
            $local,
            ")"
        )
    };
}

/// Takes away the limit on a whole transaction, which PostgreSQL 17 and newer know, for the transaction or (`false`) the
/// session: ours have limits on each statement and on doing nothing.
macro_rules! unlimited {
    ($local:literal) => {
        concat!(
            "CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL \
             THEN pg_catalog.set_config('transaction_timeout', '0', ",
            $local,
            ") END"
        )
    };
}

pub(super) use {durable, unlimited};

/// Begins to write. What waits for a lock sees afterwards what the one before committed.
pub(super) const WRITE: &str =
    concat!("BEGIN ISOLATION LEVEL READ COMMITTED; ", closed_path!(), "; ", needed!("SET LOCAL"));

/// Begins to read one snapshot.
pub(super) const READ: &str =
    concat!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ", closed_path!(), "; ", needed!("SET LOCAL"));

/// Begins to look at what needs no snapshot, on a standby too, where the level SERIALIZABLE is refused.
pub(super) const LOOK: &str =
    concat!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; ", closed_path!(), "; ", needed!("SET LOCAL"));

/// The same for a transaction that was begun otherwise, in which tables and functions are made.
pub(super) const DEFINE: &str = concat!(
    needed!("SET LOCAL"),
    "; SET LOCAL check_function_bodies = on; SELECT ",
    durable!("true"),
    ", ",
    unlimited!("true")
);

/// The same for statements outside of any transaction, until [`RESET`].
pub(super) const OUTSIDE: &str = concat!(
    needed!("SET"),
    "; SET search_path = pg_catalog, pg_temp; SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; SELECT ",
    durable!("false"),
    ", ",
    unlimited!("false")
);

/// Takes back all that was set for a session, which is as it was when it began.
pub(super) const RESET: &str = "RESET ROLE; RESET ALL";

//! Work of operators that takes long, and that nobody else does at the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Engine, SLACK, millis};
use crate::postgres::connection::bounded;
use crate::postgres::error::from_sqlx;
use crate::postgres::pool::nobody_waits;
use crate::postgres::session::{LOOK, WRITE, unlimited};

/// Keeps others from doing the same until it is dropped.
///
/// It is an advisory lock of a transaction on a connection beside the pool's: it ends with the process whatever happens,
/// and a pooler in between gives it to no other session.
#[derive(Debug)]
pub(in crate::postgres) struct Lock(PgConnection);

impl Engine {
    /// Does an operator's work in a task of its own, while nobody else does what has the same key.
    pub(in crate::postgres) async fn alone<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        operator: &OperatorName,
        key: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (engine, operator, key) = (Arc::clone(self), operator.clone(), key.to_owned());
        self.in_task(operation, |left| async move {
            let lock = left.run_until_cancelled(engine.lock(operation, &operator, &key)).await;
            let Lock(connection) = lock.ok_or_else(|| nobody_waits(operation))??;
            let done = work.await;
            let _ = connection.close().await;
            done
        })
        .await
    }

    /// Keeps others in this database from what has the same key. They wait for as long as a change waits for another, and
    /// are told then who works.
    pub(in crate::postgres) async fn lock(
        &self,
        operation: &'static str,
        operator: &OperatorName,
        key: &str,
    ) -> Result<Lock, StoreError> {
        let mut connection = self.servers.reach(operation).await?;
        let (key, wait) = (lock_key(key), self.timeouts.lock);
        let locked = lock(&mut connection, operation, operator, key, wait);
        match bounded(wait.saturating_add(SLACK), locked).await.map_err(|error| from_sqlx(operation, error)) {
            Ok(()) => Ok(Lock(connection)),
            Err(error) if *error.kind() == StoreErrorKind::Busy => {
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut connection).await;
                Err(busy(operation, &mut connection, key).await.with_source(error))
            }
            Err(error) => Err(error),
        }
    }
}

/// The number that stands for a piece of work among the database's advisory locks.
fn lock_key(key: &str) -> i64 {
    let digest: [u8; 32] = Sha256::new().chain_update("ironclaw ").chain_update(key).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Takes the lock in a transaction that stays open without a snapshot, which would keep others waiting. What everybody may
/// see of a session is its `application_name`: it says who works since when.
async fn lock(
    connection: &mut PgConnection,
    operation: &'static str,
    operator: &OperatorName,
    key: i64,
    wait: Duration,
) -> Result<(), sqlx::Error> {
    let begin = format!(
        "{WRITE}; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL lock_timeout = {}; \
         SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
         SELECT {}; SELECT pg_advisory_xact_lock({key})",
        millis(wait),
        unlimited!("true")
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
    let since = "SELECT set_config('application_name', $1 || ' since ' || to_char( \
                 clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' by ' || $2, true)";
    sqlx::query(since).persistent(false).bind(operation).bind(operator.as_str()).execute(connection).await?;
    Ok(())
}

/// Says who holds an advisory lock. The connection is in no transaction.
pub(in crate::postgres) async fn busy(operation: &'static str, connection: &mut PgConnection, key: i64) -> StoreError {
    let context = match holder(connection, key).await {
        Ok(Some((process, name))) => format!("process {process} of the server does it: {name}; wait until it is done"),
        // It ended just now, or can't be found out.
        _ => "somebody else did it until now: try again".to_owned(),
    };
    StoreError::new(StoreErrorKind::Busy, operation, context)
}

/// The process that holds an advisory lock, and what it calls itself.
async fn holder(connection: &mut PgConnection, key: i64) -> Result<Option<(i32, String)>, sqlx::Error> {
    sqlx::raw_sql(LOOK).execute(&mut *connection).await?;
    let holder = sqlx::query_as(
        "SELECT l.pid, coalesce(a.application_name, '') FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.classid::bigint = ($1 >> 32) & 4294967295 AND l.objid::bigint = $1 & 4294967295 \
         AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())",
    );
    let holder = holder.persistent(false).bind(key).fetch_optional(&mut *connection).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(holder)
}

//! Work of operators that takes long, and that nobody else does at the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ironclaw_core::id::OperatorName;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::{Engine, SLACK};
use crate::postgres::connection::{UNBOUNDED, bounded};
use crate::postgres::error::from_sqlx;
use crate::postgres::pool::nobody_waits;
use crate::postgres::session::{LOOK, OUTSIDE};

/// How long to wait before a lock that somebody holds is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps others from doing the same until it is dropped.
///
/// It is an advisory lock of a session beside the pool's, which ends with the process whatever happens. What two must
/// never do at the same time is done in this very session ([`run_each`](Self::run_each)): the server goes on with a
/// statement whose client is gone, and holds the lock for exactly as long.
#[derive(Debug)]
pub(in crate::postgres) struct Lock(Mutex<PgConnection>);

impl Lock {
    /// Runs an operator's statements, each outside of any transaction and as the owner's role, for as long as they need.
    /// One that fails keeps none of the others; the first is told of.
    pub(in crate::postgres) async fn run_each(
        &self,
        operation: &'static str,
        statements: Vec<String>,
    ) -> Result<(), StoreError> {
        let mut connection = self.0.lock().await;
        let run = async |connection: &mut PgConnection, statement: String| {
            let call = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
            bounded(UNBOUNDED, call).await.map_err(|error| from_sqlx(operation, error))
        };
        run(&mut connection, "SET ROLE ironclaw_owner".to_owned()).await?;
        let mut done = Ok(());
        for statement in statements {
            let failed = run(&mut connection, statement).await;
            let is_gone = failed.as_ref().is_err_and(|error| *error.kind() == StoreErrorKind::Unavailable);
            done = done.and(failed.map(drop));
            if is_gone {
                break;
            }
        }
        done
    }
}

impl Engine {
    /// Does an operator's work in a task of its own, while nobody else does what has the same key.
    pub(in crate::postgres) async fn alone<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        operator: &OperatorName,
        key: &str,
        work: impl FnOnce(Arc<Lock>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (engine, operator, key) = (Arc::clone(self), operator.clone(), key.to_owned());
        self.in_task(operation, |left| async move {
            let lock = left.run_until_cancelled(engine.lock(operation, &operator, &key)).await;
            let lock = Arc::new(lock.ok_or_else(|| nobody_waits(operation))??);
            let done = work(Arc::clone(&lock)).await;
            if let Some(Lock(connection)) = Arc::into_inner(lock) {
                let _ = connection.into_inner().close().await;
            }
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
        let key = lock_key(key);
        let failed = |error| from_sqlx(operation, error);
        let begin = format!("{OUTSIDE}; SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0");
        bounded(SLACK, sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection)).await.map_err(failed)?;
        let asked = Instant::now();
        while !bounded(SLACK, try_lock(&mut connection, key)).await.map_err(failed)? {
            if asked.elapsed() >= self.timeouts.lock {
                return Err(busy(operation, &mut connection, key).await);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bounded(SLACK, name(&mut connection, operation, operator)).await.map_err(failed)?;
        Ok(Lock(Mutex::new(connection)))
    }
}

/// The number that stands for a piece of work among the database's advisory locks.
fn lock_key(key: &str) -> i64 {
    let digest: [u8; 32] = Sha256::new().chain_update("ironclaw ").chain_update(key).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Takes the lock if nobody has it. Who waits for it at the server has a snapshot meanwhile, for which the work of the one
/// who has it may be waiting.
async fn try_lock(connection: &mut PgConnection, key: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").persistent(false).bind(key).fetch_one(connection).await
}

/// Says who works since when where everybody may see it of a session: in its `application_name`.
async fn name(
    connection: &mut PgConnection,
    operation: &'static str,
    operator: &OperatorName,
) -> Result<(), sqlx::Error> {
    let since = "SELECT set_config('application_name', $1 || ' since ' || to_char( \
                 clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' by ' || $2, false)";
    sqlx::query(since).persistent(false).bind(operation).bind(operator.as_str()).execute(connection).await?;
    Ok(())
}

/// Says who holds an advisory lock. The connection is in no transaction.
pub(in crate::postgres) async fn busy(operation: &'static str, connection: &mut PgConnection, key: i64) -> StoreError {
    let context = match holder(connection, key).await {
        Ok(Some(holder)) => holder.to_string(),
        // It ended just now, or can't be found out.
        _ => "somebody else did it until now: try again".to_owned(),
    };
    StoreError::new(StoreErrorKind::Busy, operation, context)
}

/// The session that holds an advisory lock. Whoever may connect to the database may take one: who it is tells the role,
/// and no more than what it says of itself the name.
struct Holder {
    process: i32,
    role: String,
    name: String,
    is_operator: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { process, role, name, .. } = self;
        if self.is_operator {
            return write!(f, "process {process} of the server does it, as {role}: {name}; wait until it is done");
        }
        write!(
            f,
            "process {process} of the server keeps everybody from it, as {role}, who is no operator, and calls itself \
             {name:?}: have a superuser end it with SELECT pg_terminate_backend({process}), and see that only your own \
             roles may connect to the database"
        )
    }
}

/// Of several that hold a lock together, which only strangers do, one.
async fn holder(connection: &mut PgConnection, key: i64) -> Result<Option<Holder>, sqlx::Error> {
    sqlx::raw_sql(LOOK).execute(&mut *connection).await?;
    // The first migration of a database makes the owner's role, as a superuser.
    let holder = sqlx::query_as::<_, (i32, String, String, bool)>(
        "SELECT l.pid, coalesce(a.usename::text, 'a role that was dropped'), coalesce(a.application_name, ''), \
         coalesce(r.rolsuper, false) OR coalesce(pg_has_role(a.usesysid, o.oid, 'MEMBER'), false) AS is_operator \
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_roles r ON r.oid = a.usesysid \
         LEFT JOIN pg_roles o ON o.rolname = 'ironclaw_owner' \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.classid::bigint = ($1 >> 32) & 4294967295 AND l.objid::bigint = $1 & 4294967295 \
         AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
         ORDER BY is_operator, l.pid",
    );
    let holder = holder.persistent(false).bind(key).fetch_optional(&mut *connection).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(holder.map(|(process, role, name, is_operator)| Holder { process, role, name, is_operator }))
}

//! Transactions: where they run, what they begin with, and what is done when one is lost.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::id::{TenantId, UserId};
use ironclaw_core::scope::Principal;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Clock, Limits, Scope, Timestamp};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::error::is_transient;
use super::row::{Row, params};
use super::server::{Database, Server};
use super::tx::{Absent, Entered, Tx};
use super::workspace;
use crate::error::closed;

/// How often a call is tried, and how long it waits after each attempt that was lost.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_millis(1_000),
    Duration::from_millis(2_000),
];

/// How many rows one transaction sweeps: the user's changes wait for one such transaction at most.
const SWEPT_AT_ONCE: u64 = 1_000;

/// Which user's scope a transaction has.
#[derive(Debug, Clone)]
pub(super) enum Reach {
    /// One user's.
    User(Scope),
    /// One tenant's, without any user's rows.
    Tenant(String),
    /// Everybody's: an operator's.
    All,
    /// Everybody's too, to write the rows of the user with this number, whom nobody else writes for meanwhile.
    Owner(i64),
}

/// What the transactions of a store have in common.
#[derive(Debug)]
pub(super) struct Engine {
    /// The server that takes writes and, if there is one, the other.
    servers: Vec<Server>,
    /// Which of the servers takes writes, as far as is known.
    primary: AtomicUsize,
    /// How far the log reached after the last write: a standby that is behind that is not asked.
    written: AtomicU64,
    limits: Arc<Limits>,
    clock: Option<Arc<dyn Clock>>,
    timeouts: Timeouts,
    named_statements: bool,
    search_path: String,
    runtime: Handle,
    tasks: TaskTracker,
    /// The users whose invisible rows are being removed.
    sweeping: Mutex<HashSet<(TenantId, UserId)>>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For one statement.
    pub(super) statement: Duration,
    /// For others that write for the same user.
    pub(super) lock: Duration,
    /// For a transaction that does nothing.
    pub(super) idle: Duration,
}

/// How the engine is set.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) timeouts: Timeouts,
    pub(super) named_statements: bool,
}

/// Whether a transaction may have been committed although it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    BeforeCommit,
    AtCommit,
}

impl Engine {
    /// Must be called within a runtime: all transactions run there.
    pub(super) fn new(servers: Vec<Server>, database: Database, settings: Settings) -> Self {
        Self {
            servers,
            primary: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            limits: Arc::new(settings.limits),
            clock: settings.clock,
            timeouts: settings.timeouts,
            named_statements: settings.named_statements,
            search_path: database.search_path,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            sweeping: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The host's time, where no row's time is at stake.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(|| ironclaw_core::SystemClock.now(), |clock| clock.now())
    }

    /// Fails if the store was closed.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.tasks.is_closed() { Err(closed(operation)) } else { Ok(()) }
    }

    /// Takes no more calls, finishes those that were taken, and closes the connections.
    pub(super) async fn close(self: &Arc<Self>) {
        self.tasks.close();
        let engine = Arc::clone(self);
        // Goes on if the caller's future is dropped.
        let closing = self.runtime.spawn(async move {
            engine.tasks.wait().await;
            for server in &engine.servers {
                server.close().await;
            }
        });
        let _ = closing.await;
    }

    /// Reads one snapshot; of a user whom the store does not know there is nothing. A call whose connection is lost is
    /// tried again.
    pub(super) async fn read<A, T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        reach: Reach,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let engine = Arc::clone(self);
        self.in_task(operation, async move {
            let mut pauses = PAUSES.iter();
            loop {
                let error = match engine.read_once(operation, &reach, arguments.clone(), &read).await {
                    Err(error) if is_transient(&error) => error,
                    done => return done,
                };
                let Some(pause) = pauses.next() else {
                    return Err(error);
                };
                engine.turn(&error);
                tokio::time::sleep(*pause).await;
            }
        })
        .await
    }

    async fn read_once<A, T, F>(
        &self,
        operation: &'static str,
        reach: &Reach,
        arguments: A,
        read: &F,
    ) -> Result<T, StoreError>
    where
        A: Send,
        T: Absent + Send,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Sync,
    {
        let (tx, is_known) = match self.begin_at_standby(operation, reach).await {
            Some(begun) => begun,
            None => {
                let primary = self.primary();
                let mut tx = self.begin(operation, primary, reach, READ).await?;
                let known = self.enter(&mut tx, reach).await?;
                (tx, known.is_some())
            }
        };
        let result = if is_known { read(&tx, arguments).await } else { Ok(T::absent()) };
        match result {
            // There is nothing to keep: whether the end goes well does not matter to what was read.
            Ok(read) => {
                tx.end().await;
                Ok(read)
            }
            Err(error) => {
                tx.roll_back().await;
                Err(error)
            }
        }
    }

    /// A snapshot of the standby that has all that this store wrote; `None` if there is none.
    async fn begin_at_standby(&self, operation: &'static str, reach: &Reach) -> Option<(Tx, bool)> {
        let standby = self.servers.get(1 - self.primary.load(Ordering::Relaxed))?;
        let mut tx = self.begin(operation, standby, reach, READ).await.ok()?;
        let replayed = tx.query_row(
            "SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint WHERE pg_is_in_recovery()",
            params![],
            |row| row.u64(0),
        );
        match replayed.await {
            Ok(Some(replayed)) if replayed >= self.written.load(Ordering::SeqCst) => {
                let known = self.enter(&mut tx, reach).await.ok()?;
                Some((tx, known.is_some()))
            }
            _ => {
                tx.roll_back().await;
                None
            }
        }
    }

    /// Writes in one transaction, in the scope of a user or an operator. A transaction that was lost before its commit
    /// is tried again, and if `again` is set, one that was lost at its commit too.
    pub(super) async fn write<A, T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        reach: Reach,
        again: bool,
        arguments: A,
        write: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let engine = Arc::clone(self);
        self.in_task(operation, async move {
            let mut pauses = PAUSES.iter();
            loop {
                let (error, stage) = match engine.write_once(operation, &reach, arguments.clone(), &write).await {
                    Ok(written) => return Ok(written),
                    Err(failed) => failed,
                };
                let may_repeat = is_transient(&error) && (stage == Stage::BeforeCommit || again);
                match pauses.next().filter(|_| may_repeat) {
                    Some(pause) => {
                        engine.turn(&error);
                        tokio::time::sleep(*pause).await;
                    }
                    None => return Err(error),
                }
            }
        })
        .await
    }

    async fn write_once<A, T, F>(
        &self,
        operation: &'static str,
        reach: &Reach,
        arguments: A,
        write: &F,
    ) -> Result<T, (StoreError, Stage)>
    where
        A: Send,
        T: Send,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Sync,
    {
        let before = |error| (error, Stage::BeforeCommit);
        let mut tx = self.begin(operation, self.primary(), reach, WRITE).await.map_err(before)?;
        if let Err(error) = self.enter_to_write(&mut tx, reach).await {
            tx.roll_back().await;
            return Err(before(error));
        }
        match write(&tx, arguments).await {
            Ok(written) => {
                let connection = tx.commit().await.map_err(|error| (unknown(error), Stage::AtCommit))?;
                self.note_written(connection).await;
                Ok(written)
            }
            Err(error) => {
                tx.roll_back().await;
                Err(before(error))
            }
        }
    }

    /// Removes in the background what changes of a user made invisible, unless that is being done already. What is left
    /// when it fails or the store is closed goes with the next change of this kind, or an operator's scrub.
    pub(super) fn sweep(self: &Arc<Self>, scope: &Scope) {
        let user = (scope.tenant().clone(), scope.owner().clone());
        if !self.sweeping.lock().unwrap_or_else(PoisonError::into_inner).insert(user.clone()) {
            return;
        }
        let (engine, reach) = (Arc::clone(self), Reach::User(scope.clone()));
        self.tasks.spawn_on(
            async move {
                let swept = loop {
                    let step = engine.write("sweep", reach.clone(), true, (), |tx, ()| {
                        async move {
                            match tx.is_held() {
                                true => Ok(0),
                                false => workspace::sweep_user(tx, tx.owner_no(), SWEPT_AT_ONCE).await,
                            }
                        }
                        .boxed()
                    });
                    match step.await {
                        Ok(0) => break Ok(()),
                        Ok(_) => {}
                        Err(error) => break Err(error),
                    }
                };
                engine.sweeping.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
                if let Err(error) = swept
                    && *error.kind() != StoreErrorKind::Closed
                {
                    tracing::warn!(%error, "what is invisible was not removed; the next sweep tries again");
                }
            },
            &self.runtime,
        );
    }

    /// Runs a call in a task of its own: a caller that goes away does not stop it half-way.
    async fn in_task<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open(operation)?;
        let done = self.tasks.spawn_on(call, &self.runtime).await;
        done.map_err(|error| {
            StoreError::new(StoreErrorKind::Internal, operation, "the call broke off").with_source(error)
        })?
    }

    /// Runs statements of an operator, each outside of any transaction and as the owner's role. How each went.
    pub(super) async fn run_each(
        self: &Arc<Self>,
        operation: &'static str,
        statements: Vec<String>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let engine = Arc::clone(self);
        self.in_task(operation, async move {
            let mut connection = engine.primary().acquire(operation, UNBOUNDED).await?;
            let settings = format!(
                "SET ROLE ironclaw_owner; SET lock_timeout = {}; SET search_path = {}",
                millis(engine.timeouts.lock),
                engine.search_path
            );
            connection.run_built(operation, settings).await?;
            let mut results = Vec::with_capacity(statements.len());
            for statement in statements {
                results.push(connection.run_built(operation, statement).await);
            }
            connection.run(operation, "RESET ROLE; RESET lock_timeout; RESET search_path").await?;
            connection.give_back();
            Ok(results)
        })
        .await
    }

    async fn begin(
        &self,
        operation: &'static str,
        server: &Server,
        reach: &Reach,
        begin: &'static str,
    ) -> Result<Tx, StoreError> {
        let patience = match reach {
            Reach::All | Reach::Owner(_) => UNBOUNDED,
            _ => self.timeouts.statement.saturating_add(SLACK),
        };
        let mut connection = server.acquire(operation, patience).await?;
        connection.run(operation, begin).await?;
        Ok(Tx::new(connection, operation, self.named_statements, Arc::clone(&self.limits)))
    }

    /// Enters a scope to read. Whether the store knows the user.
    async fn enter(&self, tx: &mut Tx, reach: &Reach) -> Result<Option<()>, StoreError> {
        let statement = millis(self.timeouts.statement);
        let idle = millis(self.timeouts.idle);
        let path = self.search_path.as_str();
        let entered = match reach {
            Reach::User(scope) => {
                tx.query_row(
                    "SELECT owner_no, set_config('search_path', $4, true), set_config('statement_timeout', $5, true), \
                     set_config('idle_in_transaction_session_timeout', $6, true) FROM ironclaw.enter($1, $2, $3)",
                    params![scope.tenant().as_str(), scope.owner().as_str(), chain(scope), path, statement, idle],
                    |row| row.i64(0),
                )
                .await?
            }
            Reach::Tenant(tenant) => {
                tx.query_row(
                    "SELECT 0::bigint, set_config('ironclaw.tenant', $1, true), set_config('search_path', $2, true), \
                     set_config('statement_timeout', $3, true), \
                     set_config('idle_in_transaction_session_timeout', $4, true)",
                    params![tenant.as_str(), path, statement, idle],
                    |row| row.i64(0),
                )
                .await?
            }
            Reach::All | Reach::Owner(_) => Some(self.enter_as_operator(tx).await?.owner_no),
        };
        if let Some(owner_no) = entered {
            tx.enter(Entered { owner_no, now: self.now(), held: false, suspended: false });
        }
        Ok(entered.map(drop))
    }

    async fn enter_to_write(&self, tx: &mut Tx, reach: &Reach) -> Result<(), StoreError> {
        let entered = match reach {
            Reach::User(scope) => {
                let entered = tx
                    .query_row(
                        "SELECT owner_no, status, held, now, set_config('search_path', $5, true), \
                         set_config('statement_timeout', $6, true), \
                         set_config('idle_in_transaction_session_timeout', $7, true) \
                         FROM ironclaw.enter_to_write($1, $2, $3, $4)",
                        params![
                            scope.tenant().as_str(),
                            scope.owner().as_str(),
                            chain(scope),
                            millis(self.timeouts.lock),
                            self.search_path.as_str(),
                            millis(self.timeouts.statement),
                            millis(self.timeouts.idle)
                        ],
                        entered,
                    )
                    .await?;
                entered.ok_or_else(|| tx.error(StoreErrorKind::Internal, "the user could not be made known"))?
            }
            Reach::Tenant(_) | Reach::All => self.enter_as_operator(tx).await?,
            Reach::Owner(owner_no) => {
                let entered = self.enter_as_operator(tx).await?;
                let sql = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR NO KEY UPDATE";
                tx.query_row(sql, params![*owner_no], |_| Ok(())).await?;
                Entered { owner_no: *owner_no, ..entered }
            }
        };
        let now = self.clock.as_ref().map_or(entered.now, |clock| clock.now());
        tx.enter(Entered { now, ..entered });
        Ok(())
    }

    /// An operator's transaction has the owner's role, whatever role connected.
    async fn enter_as_operator(&self, tx: &Tx) -> Result<Entered, StoreError> {
        tx.execute("SET LOCAL ROLE ironclaw_owner", params![]).await?;
        let entered = tx
            .query_row(
                "SELECT at, set_config('ironclaw.maintenance', 'on', true), set_config('ironclaw.now', at::text, true), \
                 set_config('search_path', $1, true), set_config('lock_timeout', $2, true), \
                 set_config('idle_in_transaction_session_timeout', $3, true) FROM clock_timestamp() at",
                params![self.search_path.as_str(), millis(self.timeouts.lock), millis(self.timeouts.idle)],
                |row| Ok(Entered { owner_no: 0, now: row.time(0)?, held: false, suspended: false }),
            )
            .await?;
        entered.ok_or_else(|| tx.error(StoreErrorKind::Internal, "the server gave no time"))
    }

    fn primary(&self) -> &Server {
        // The index is one of the servers', of which there is at least one.
        &self.servers[self.primary.load(Ordering::Relaxed)]
    }

    /// After a failure of the primary, asks the other server next: it may have been promoted.
    fn turn(&self, error: &StoreError) {
        if self.servers.len() > 1 {
            let failed = self.primary.load(Ordering::Relaxed);
            tracing::warn!(%error, "the other server is asked");
            let _ = self.primary.compare_exchange(failed, 1 - failed, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// With a standby: remembers how far the log reached, so that a reading sees what this store wrote.
    async fn note_written(&self, mut connection: Connection) {
        if self.servers.len() > 1 {
            let reached = connection
                .number("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint", self.named_statements)
                .await
                // Unknown: nothing that a standby has is known to be enough, until the next write.
                .unwrap_or(i64::MAX);
            self.written.fetch_max(reached.cast_unsigned(), Ordering::SeqCst);
        }
        connection.give_back();
    }
}

/// How much longer than the server's own limit for a statement its answer may take.
const SLACK: Duration = Duration::from_secs(5);

/// An operator's statements may take as long as they need: a day is not reached.
const UNBOUNDED: Duration = Duration::from_secs(86_400);

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const WRITE: &str = "BEGIN";

/// The user that `enter_to_write` gave.
fn entered(row: &Row<'_>) -> Result<Entered, StoreError> {
    Ok(Entered {
        owner_no: row.i64(0)?,
        suspended: row.code(1, |status| match status {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })?,
        held: row.bool(2)?,
        now: row.time(3)?,
    })
}

/// The scope's principals as `ironclaw.enter` takes them.
fn chain(scope: &Scope) -> String {
    let code = |principal: &Principal| match principal {
        Principal::User(_) => 1,
        Principal::Agent(_) => 2,
        // Principals grow only together with the stores.
        _ => 3,
    };
    let chain: Vec<_> = scope.chain().iter().map(|principal| (code(principal), principal.name())).collect();
    serde_json::json!(chain).to_string()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

/// Says that a commit whose answer was lost may have been done.
fn unknown(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Unavailable | StoreErrorKind::TimedOut => StoreError::new(
            error.kind().clone(),
            error.operation(),
            "the connection was lost at the commit: read whether the change was made, or give changes idempotency keys",
        )
        .with_source(error),
        _ => error,
    }
}

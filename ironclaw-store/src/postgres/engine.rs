//! Transactions: where they run, what they begin with, and what is done when one is lost.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use ironclaw_core::Owner;
use ironclaw_core::id::TenantId;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Clock, Limits, Timestamp};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, UNBOUNDED};
use super::error::{is_locked, is_lost, is_of_session, is_transient};
use super::server::Database;
use super::servers::{Place, Servers};
use super::session;
use super::turns::{Caller, Whose};
use super::tx::Tx;
use crate::error::{closed, is_of_the_change};
use crate::sql::{self, Absent, Freshness, Reading};

mod alive;
mod alone;
mod scope;
mod sweep;
mod tries;

use alive::Alive;
pub(super) use alone::{Lock, busy};
pub(super) use scope::Reach;
use tries::Tries;

/// What the transactions of a store have in common.
#[derive(Debug)]
pub(super) struct Engine {
    servers: Servers,
    limits: Arc<Limits>,
    clock: Option<Arc<dyn Clock>>,
    timeouts: Timeouts,
    named_statements: bool,
    /// Where the types and operators of pgvector are: a schema's name, quoted.
    pgvector: Arc<str>,
    runtime: Handle,
    alive: Alive,
    tasks: TaskTracker,
    /// The users whose invisible rows are being removed.
    sweeping: Mutex<HashSet<(TenantId, Owner)>>,
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
    pub(super) fn new(servers: Servers, database: Database, settings: Settings) -> Self {
        Self {
            servers,
            limits: Arc::new(settings.limits),
            clock: settings.clock,
            timeouts: settings.timeouts,
            named_statements: settings.named_statements,
            pgvector: database.pgvector,
            alive: Alive::watch(&Handle::current()),
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
            engine.servers.close().await;
        });
        let _ = closing.await;
    }

    /// Reads one snapshot; of a user whom the store does not know there is nothing. A call whose connection is lost is
    /// tried again.
    pub(super) async fn read<A, T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        reach: Reach,
        freshness: Freshness,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let engine = Arc::clone(self);
        self.in_task(operation, |left| async move {
            let (mut tries, caller) = (Tries::new(), Caller::new(reach.whose(), false, left));
            loop {
                match engine.read_once(operation, &caller, &reach, freshness, arguments.clone(), &read).await {
                    Err(error) if is_transient(&error) && tries.again().await => {}
                    done => return done,
                }
            }
        })
        .await
    }

    async fn read_once<A, T, F>(
        &self,
        operation: &'static str,
        caller: &Caller,
        reach: &Reach,
        freshness: Freshness,
        arguments: A,
        read: &F,
    ) -> Result<T, StoreError>
    where
        A: Send,
        T: Absent + Send,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Sync,
    {
        let begun = self.servers.begin_to_read(operation, caller, self.patience(reach), freshness).await;
        let (connection, place) = begun?;
        let mut tx = self.transaction(connection, operation);
        let result = match self.enter(&mut tx, reach, freshness).await {
            Ok(Some(())) => read(&tx, arguments).await,
            Ok(None) => Ok(T::absent()),
            Err(error) => Err(error),
        };
        match &result {
            // There is nothing to keep: whether the end goes well does not matter to what was read.
            Ok(_) => tx.end().await,
            Err(error) => {
                if is_lost(error) || is_transient(error) {
                    self.servers.note_failed(place, error);
                }
                self.undo(tx, place, error).await;
            }
        }
        result
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
        self.in_task(operation, |left| async move {
            let (mut tries, caller) = (Tries::new(), Caller::new(reach.whose(), true, left));
            let mut may_be_done = false;
            loop {
                let written = engine.write_once(operation, &caller, &reach, &tries, arguments.clone(), &write).await;
                let (error, stage) = match written {
                    Ok(written) => return Ok(written),
                    Err(failed) => failed,
                };
                may_be_done |= stage == Stage::AtCommit;
                if is_locked(&error) && stage == Stage::BeforeCommit && tries.is_within(engine.timeouts.lock) {
                    continue;
                }
                let may_repeat = is_transient(&error) && (stage == Stage::BeforeCommit || again);
                if !(may_repeat && tries.again().await) {
                    // A change that was looked at again was not done before.
                    let is_known = !may_be_done || is_of_the_change(&error);
                    return Err(if is_known { error } else { unknown(error) });
                }
            }
        })
        .await
    }

    async fn write_once<A, T, F>(
        &self,
        operation: &'static str,
        caller: &Caller,
        reach: &Reach,
        tries: &Tries,
        arguments: A,
        write: &F,
    ) -> Result<T, (StoreError, Stage)>
    where
        A: Send,
        T: Send,
        F: for<'a> Fn(&'a Tx, A) -> BoxFuture<'a, Result<T, StoreError>> + Sync,
    {
        let before = |error| (error, Stage::BeforeCommit);
        let begun = self.servers.begin_to_write(operation, caller, self.patience(reach)).await;
        let (connection, place) = begun.map_err(before)?;
        let mut tx = self.transaction(connection, operation);
        let lock = self.lock_timeout(reach, caller, tries);
        let result = match self.enter_to_write(&mut tx, reach, lock).await {
            Ok(()) => write(&tx, arguments).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(written) => match self.servers.commit(operation, tx.into_connection(), place).await {
                Ok(()) => Ok(written),
                // What is cancelled at the commit may have been committed just before.
                Err(error) if is_lost(&error) || *error.kind() == StoreErrorKind::TimedOut => {
                    Err((error, Stage::AtCommit))
                }
                // The server said that it did not commit.
                Err(error) => Err(before(error)),
            },
            Err(error) => {
                if is_locked(&error) {
                    // Before its connection is given back: its line goes no further without it.
                    caller.wait_at_lock();
                }
                self.undo(tx, place, &error).await;
                Err(before(error))
            }
        }
    }

    /// Runs a call in a task of its own: a caller that goes away does not stop it half-way. The call is told of that, so
    /// that it waits no longer for a turn.
    async fn in_task<T, F>(
        &self,
        operation: &'static str,
        call: impl FnOnce(CancellationToken) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.check_open(operation)?;
        if !self.alive.is_alive() {
            return Err(no_runtime(operation, "nothing was done"));
        }
        let left = CancellationToken::new();
        let mut call = Box::pin(call(left.clone()));
        let _leaving = left.drop_guard();
        // It takes its place in its line here and now: a task begins when it likes, and what the caller asks for after this
        // call, even if it was dropped, must not come before it.
        let begun = {
            let _within = self.runtime.enter();
            call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        if let Poll::Ready(done) = begun {
            return done;
        }
        let done = self.tasks.spawn_on(call, &self.runtime).await;
        done.map_err(|error| match error.is_cancelled() {
            true => no_runtime(operation, "read whether what was under way was done, or give changes idempotency keys"),
            false => StoreError::new(StoreErrorKind::Internal, operation, "the call broke off").with_source(error),
        })?
    }

    /// Runs statements of an operator, each outside of any transaction and as the owner's role, which wait for others as
    /// long as a change does. How each went.
    pub(super) async fn run_each(
        self: &Arc<Self>,
        operation: &'static str,
        statements: Vec<String>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let engine = Arc::clone(self);
        self.in_task(operation, |left| async move {
            let settings = format!(
                "{}; SET ROLE ironclaw_owner; SET lock_timeout = {}; SET statement_timeout = 0",
                session::OUTSIDE,
                millis(engine.timeouts.lock)
            );
            let caller = Caller::new(Whose::Everybody, false, left);
            let mut connection = engine.servers.prepare(operation, &caller, UNBOUNDED, &settings).await?;
            let mut results = Vec::with_capacity(statements.len());
            for statement in statements {
                results.push(connection.run(operation, statement).await.map(drop));
            }
            connection.run(operation, session::RESET).await?;
            connection.give_back();
            Ok(results)
        })
        .await
    }

    /// How long an attempt waits for a lock: an operator's, whose connections are their own, as long as it may at all.
    fn lock_timeout(&self, reach: &Reach, caller: &Caller, tries: &Tries) -> Duration {
        match reach {
            Reach::User(_) | Reach::Founded(_) | Reach::Person(_) | Reach::Tenant(_) => {
                tries.at_a_lock(caller.share_at_lock(), self.timeouts.lock)
            }
            Reach::All | Reach::About(..) | Reach::Owner(_) => self.timeouts.lock,
        }
    }

    /// Undoes what a transaction did. If its connection was lost or is of no use, the server does.
    async fn undo(&self, tx: Tx, place: Place, error: &StoreError) {
        if is_of_session(error) {
            self.servers.renew(place);
        } else if !is_lost(error) {
            tx.roll_back().await;
        }
    }

    /// How long a statement may take before the server counts as gone.
    fn patience(&self, reach: &Reach) -> Duration {
        match reach {
            Reach::All | Reach::About(..) | Reach::Owner(_) => UNBOUNDED,
            _ => self.timeouts.statement.saturating_add(SLACK),
        }
    }

    fn transaction(&self, connection: Connection, operation: &'static str) -> Tx {
        Tx::new(connection, operation, self.named_statements, Arc::clone(&self.limits), Arc::clone(&self.pgvector))
    }
}

impl sql::Engine for Arc<Engine> {
    const READS_IN_STEPS: bool = false;

    async fn read<A, T>(
        &self,
        operation: &'static str,
        reach: sql::Reach,
        freshness: Freshness,
        arguments: A,
        read: impl Reading<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
    {
        let reach = match reach {
            sql::Reach::User(scope) => Reach::User(scope),
            sql::Reach::Person(scope) => Reach::Person(scope),
            sql::Reach::Tenant(tenant) => Reach::Tenant(tenant.to_string()),
            sql::Reach::All => Reach::All,
        };
        Engine::read(self, operation, reach, freshness, arguments, move |tx, arguments| read(tx, arguments)).await
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

/// How much longer than the server's own limit for a statement its answer may take.
const SLACK: Duration = Duration::from_secs(5);

/// Says that there is nothing left for the store to work on.
fn no_runtime(operation: &'static str, what: &str) -> StoreError {
    let context = format!("the runtime that the store was opened on has ended: {what}, and open the store anew");
    StoreError::new(StoreErrorKind::Unavailable, operation, context)
}

/// Says that a commit whose answer was lost may have been done.
fn unknown(error: StoreError) -> StoreError {
    StoreError::new(
        error.kind().clone(),
        error.operation(),
        "the answer was lost at the commit: read whether the change was made, or give changes idempotency keys",
    )
    .with_source(error)
}

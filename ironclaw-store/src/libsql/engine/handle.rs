//! One opening of a file: its own limits, clock and patience, on the engine that all share.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ironclaw_core::store::StoreError;
use ironclaw_core::{Limits, Receipt, Scope, Timestamp};
use tokio::sync::{oneshot, watch};

use super::background::Pass;
use super::session::{Session, Taken};
use super::writer::{Asked, AskedCall, AskedChange, AskedLog, Work};
use super::{Engine, Options, gone, on_thread, registry, run};
use crate::error::closed;
use crate::libsql::change;
use crate::libsql::db::Db;
use crate::libsql::health::LibsqlHealth;
use crate::libsql::place::Place;
use crate::libsql::tx::{Tx, at_once};
use crate::libsql::users::{self, Numbers};
use crate::libsql::workspace::VectorCache;
use crate::prepared::{APPLY, Failure, Prepared};
use crate::sql::{self, Absent, Freshness, Reach, Reading};

/// The longest that a change can be made to wait: times that far away can still be told.
const A_YEAR: Duration = Duration::from_secs(365 * 86_400);

/// One opening of a file, shared by its clones.
pub(in crate::libsql) struct Handle {
    engine: Arc<Engine>,
    session: Arc<Session>,
    busy_timeout: Duration,
    closed: AtomicBool,
    left: AtomicBool,
    /// How many calls were taken and are not done.
    calls: watch::Sender<usize>,
}

impl Handle {
    /// Opens this file, or memory.
    pub(in crate::libsql) async fn open(
        path: Option<String>,
        limits: Limits,
        options: Options,
    ) -> Result<Self, StoreError> {
        let (busy_timeout, clock) = (options.busy_timeout, Arc::clone(&options.clock));
        let engine = match path {
            Some(path) => {
                on_thread("open", move || registry::engine(Place::find_or_make(Path::new(&path))?, options)).await?
            }
            None => Arc::new(Engine::start(None, options, Arc::default())?),
        };
        let session = Arc::new(Session { limits, clock });
        let (closed, left) = (AtomicBool::new(false), AtomicBool::new(false));
        let handle = Self { engine, session, busy_timeout, closed, left, calls: watch::Sender::new(0) };
        handle.engine.opened().await?;
        Ok(handle)
    }

    /// How long to wait for another process's lock.
    pub(in crate::libsql) fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    pub(in crate::libsql) fn limits(&self) -> &Limits {
        &self.session.limits
    }

    pub(in crate::libsql) fn now(&self) -> Timestamp {
        self.session.clock.now()
    }

    /// The vectors in memory, which all who opened the file share.
    pub(in crate::libsql) fn vectors(&self) -> &Arc<VectorCache> {
        &self.engine.vectors
    }

    /// Applies a change, together with others that are waiting.
    pub(in crate::libsql) async fn apply(&self, change: Prepared) -> Result<Receipt, StoreError> {
        let (reply, answer) = oneshot::channel();
        let (session, asked) = (Arc::clone(&self.session), self.asked(APPLY)?);
        self.engine.send(APPLY, Work::Change(AskedChange { change: Box::new(change), session, asked, reply }))?;
        answer.await.map_err(|_| gone(APPLY))?
    }

    /// Records a change that was refused before it was asked for.
    pub(in crate::libsql) async fn record(&self, failure: Failure) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.session.clock);
        self.write(APPLY, move |db| db.write(|| change::record(&failure, db, clock.now()))).await
    }

    /// Runs a call on the connection that writes, outside of a transaction, between changes.
    pub(in crate::libsql) async fn write<T, F>(&self, operation: &'static str, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        self.call_writer(operation, false, call).await
    }

    /// The same for a call that only deletes: it may use the reserve of a full disk.
    pub(in crate::libsql) async fn delete<T, F>(&self, operation: &'static str, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        self.call_writer(operation, true, call).await
    }

    async fn call_writer<T, F>(&self, operation: &'static str, deletes: bool, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        let asked = self.asked(operation)?;
        let (reply, answer) = oneshot::channel();
        let call = Box::new(move |db: Result<&Db, StoreError>| {
            let result = db.and_then(|db| {
                db.begin_operation(operation);
                call(db)
            });
            // A caller that has gone is no error.
            let _ = reply.send(result);
        });
        self.engine.send(operation, Work::Call(AskedCall { call, deletes, asked }))?;
        answer.await.map_err(|_| gone(operation))?
    }

    /// Runs a call on a connection that reads.
    pub(in crate::libsql) async fn read<T, F>(&self, operation: &'static str, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        let taken = self.call(operation)?;
        let (reply, answer) = oneshot::channel();
        let call = Box::new(move |db: &Db| {
            let _taken = taken;
            db.begin_operation(operation);
            // A caller that has gone is no error.
            let _ = reply.send(db.unchanged().and_then(|()| call(db)).and_then(|value| db.unchanged().map(|()| value)));
        });
        {
            let queues = self.engine.queues.read().unwrap_or_else(PoisonError::into_inner);
            let queues = queues.as_ref().ok_or_else(|| closed(operation))?;
            match &queues.reads {
                Some(reads) => reads.send(call).map_err(|_| gone(operation))?,
                // A store in memory has one connection for all.
                None => {
                    let call = Box::new(move |db: Result<&Db, StoreError>| {
                        if let Ok(db) = db {
                            run(db, call);
                        }
                    });
                    let asked = self.asked(operation)?;
                    queues
                        .writes
                        .send(Work::Call(AskedCall { call, deletes: false, asked }))
                        .map_err(|_| gone(operation))?;
                }
            }
        }
        answer.await.map_err(|_| gone(operation))?
    }

    /// Reads one snapshot of the scope's user; one whom the store does not know has nothing.
    pub(in crate::libsql) async fn read_scope<T, F>(
        &self,
        operation: &'static str,
        scope: &Scope,
        read: F,
    ) -> Result<T, StoreError>
    where
        T: Absent + Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (scope, session) = (scope.clone(), Arc::clone(&self.session));
        self.read(operation, move |db| {
            db.snapshot(|| match users::find_numbers(db, &scope)? {
                Some(user) => read(&Tx::new(db, user, session.clock.now(), &session.limits)),
                None => Ok(T::absent()),
            })
        })
        .await
    }

    /// Reads one snapshot of what is about the scope's user, whether or not the store knows them.
    pub(in crate::libsql) async fn read_person<T, F>(
        &self,
        operation: &'static str,
        scope: &Scope,
        read: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (scope, session) = (scope.clone(), Arc::clone(&self.session));
        self.read(operation, move |db| {
            db.snapshot(|| {
                let user = users::find_numbers(db, &scope)?.unwrap_or(Numbers { owner_no: 0, content_no: 0 });
                read(&Tx::new(db, user, session.clock.now(), &session.limits))
            })
        })
        .await
    }

    /// What a check of the file's integrity holds: a second one waits.
    pub(in crate::libsql) fn checking(&self) -> &tokio::sync::Mutex<()> {
        &self.engine.checking
    }

    /// Tells when something that is removed in the background is gone, or can't be.
    pub(in crate::libsql) fn background(&self) -> watch::Receiver<Pass> {
        self.engine.background.clone()
    }

    /// Moves all of the log into the file and leaves almost nothing in it. `false` if others kept it from that.
    pub(in crate::libsql) async fn empty_log(&self, operation: &'static str) -> Result<bool, StoreError> {
        let (asked, (reply, answer)) = (self.asked(operation)?, oneshot::channel());
        self.engine.send(operation, Work::EmptyLog(AskedLog { asked, reply }))?;
        answer.await.map_err(|_| gone(operation))?
    }

    /// How the files are.
    pub(in crate::libsql) async fn health(&self) -> Result<LibsqlHealth, StoreError> {
        let _call = self.call("health")?;
        let opened = self.engine.opened().await?;
        let log = &self.engine.log;
        let Some(place) = self.engine.place.clone() else {
            return Ok(LibsqlHealth::default());
        };
        let known = LibsqlHealth {
            path: Some(place.path().to_owned()),
            read_only: opened.read_only,
            log_bytes: log.bytes(),
            log_limit: log.limit(),
            log_stuck_since: log.stuck_since(),
            oversized_changes: log.oversized(),
            mode_mended: opened.privacy.mended,
            folder_open_to_others: opened.privacy.open_folder,
            ..LibsqlHealth::default()
        };
        on_thread("health", move || {
            place.check("health")?;
            Ok(LibsqlHealth { free_bytes: place.free_bytes(), mode: place.mode(), ..known })
        })
        .await
    }

    /// Fails if it was closed.
    pub(in crate::libsql) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(closed(operation)) } else { Ok(()) }
    }

    /// Takes no more calls and waits until those that were taken are done; the last also until the threads have ended.
    pub(in crate::libsql) async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::SeqCst);
        self.leave();
        let mut calls = self.calls.subscribe();
        calls.wait_for(|calls| *calls == 0).await.map_err(|_| gone("close"))?;
        self.engine.ended().await
    }

    fn leave(&self) {
        if !self.left.swap(true, Ordering::SeqCst) {
            self.engine.leave();
        }
    }

    /// Counts a call until it is dropped.
    fn call(&self, operation: &'static str) -> Result<Taken, StoreError> {
        self.calls.send_modify(|calls| *calls += 1);
        let taken = Taken(self.calls.clone());
        self.check_open(operation)?;
        Ok(taken)
    }

    fn asked(&self, operation: &'static str) -> Result<Asked, StoreError> {
        let taken = self.call(operation)?;
        Ok(Asked { operation, until: Instant::now() + self.busy_timeout.min(A_YEAR), _taken: taken })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.leave();
    }
}

impl sql::Engine for Arc<Handle> {
    /// The log can't begin anew while it is read.
    const READS_IN_STEPS: bool = true;

    async fn read<A, T>(
        &self,
        operation: &'static str,
        reach: Reach,
        _: Freshness,
        arguments: A,
        read: impl Reading<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
    {
        let read = move |tx: &Tx<'_>| at_once(tx, read(tx, arguments));
        match reach {
            Reach::User(scope) => self.read_scope(operation, &scope, read).await,
            Reach::Person(scope) => self.read_person(operation, &scope, read).await,
            Reach::Tenant(_) | Reach::All => {
                let session = Arc::clone(&self.session);
                let all = move |db: &Db| db.snapshot(|| read(&Tx::of_all(db, session.clock.now(), &session.limits)));
                Handle::read(self, operation, all).await
            }
        }
    }
}

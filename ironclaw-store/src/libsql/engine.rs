//! The store's threads: one that writes, a few that read.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Clock, Limits, Receipt, Timestamp};
use tokio::sync::{oneshot, watch};

use self::writer::{Work, Writer};
use super::change;
use super::db::Db;
use super::schema;
use crate::error::{closed, repeat};
use crate::prepared::{APPLY, Failure, Prepared};

mod writer;

/// A call on one connection that answers its caller by itself.
type Call = Box<dyn FnOnce(&Db) + Send>;

/// The threads and the ways to them.
pub(super) struct Engine {
    queues: RwLock<Option<Queues>>,
    ended: watch::Receiver<Option<Arc<Result<(), StoreError>>>>,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
}

/// The threads end when what was sent is done and nobody can send any more.
struct Queues {
    writes: Sender<Work>,
    /// Absent for a store in memory, whose one connection does everything.
    reads: Option<Sender<Call>>,
}

impl Engine {
    /// Opens the file and starts the threads.
    pub(super) async fn start(
        path: Option<String>,
        limits: Limits,
        clock: Arc<dyn Clock>,
        busy_timeout: Duration,
        readers: usize,
    ) -> Result<Self, StoreError> {
        let limits = Arc::new(limits);
        let (writes, work) = mpsc::channel();
        let (reads, calls) = mpsc::channel();
        let reads = path.is_some().then_some(reads);
        let (opened, opening) = oneshot::channel();
        let (end, ended) = watch::channel(None);
        let (writer_limits, writer_clock) = (Arc::clone(&limits), Arc::clone(&clock));
        // Opening waits for other processes' locks, so it is done on the thread too.
        spawn("ironclaw-store-writer", move || {
            let (db, threads) = match open(path, busy_timeout, readers, calls) {
                Ok(ready) => ready,
                Err(error) => {
                    // Whoever asked may have gone.
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let _ = opened.send(Ok(()));
            let result = Writer::new(db, work, writer_limits, writer_clock).run(threads);
            end.send_replace(Some(Arc::new(result)));
        })?;
        opening.await.map_err(|_| gone("open"))??;
        Ok(Self { queues: RwLock::new(Some(Queues { writes, reads })), ended, limits, clock })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Applies a change, together with others that are waiting.
    pub(super) async fn apply(&self, change: Prepared) -> Result<Receipt, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(APPLY, Work::Change(Box::new(change), reply))?;
        answer.await.map_err(|_| gone(APPLY))?
    }

    /// Records a change that was refused before it was asked for.
    pub(super) async fn record(&self, failure: Failure) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.clock);
        self.write(APPLY, move |db| db.write(|| change::record(&failure, db, clock.now()))).await
    }

    /// Runs a call on the connection that writes, outside of a transaction, between changes.
    pub(super) async fn write<T, F>(&self, operation: &'static str, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        let (call, answer) = answering(operation, call);
        self.send(operation, Work::Call(call))?;
        answer.await.map_err(|_| gone(operation))?
    }

    /// Runs a call on a connection that reads.
    pub(super) async fn read<T, F>(&self, operation: &'static str, call: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    {
        let (call, answer) = answering(operation, call);
        {
            let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
            let queues = queues.as_ref().ok_or_else(|| closed(operation))?;
            match &queues.reads {
                Some(reads) => reads.send(call).map_err(|_| gone(operation))?,
                None => queues.writes.send(Work::Call(call)).map_err(|_| gone(operation))?,
            }
        }
        answer.await.map_err(|_| gone(operation))?
    }

    /// Fails if the store was closed.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        match *self.queues.read().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Ok(()),
            None => Err(closed(operation)),
        }
    }

    /// Takes no more calls and waits until those that were taken are done and the threads have ended.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        drop(self.queues.write().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        let result = ended.wait_for(Option::is_some).await.map_err(|_| gone("close"))?.clone();
        match result.as_deref() {
            Some(Err(error)) => Err(repeat(error)),
            _ => Ok(()),
        }
    }

    fn send(&self, operation: &'static str, work: Work) -> Result<(), StoreError> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let queues = queues.as_ref().ok_or_else(|| closed(operation))?;
        queues.writes.send(work).map_err(|_| gone(operation))
    }
}

/// Opens all connections that the store will ever have.
fn open(
    path: Option<String>,
    busy_timeout: Duration,
    readers: usize,
    calls: Receiver<Call>,
) -> Result<(Db, Vec<JoinHandle<()>>), StoreError> {
    let Some(path) = path else {
        let db = Db::open(":memory:", libsql::OpenFlags::default(), busy_timeout)?;
        schema::configure(&db, false)?;
        schema::migrate(&db)?;
        return Ok((db, Vec::new()));
    };
    schema::prepare_file(Path::new(&path))?;
    let connect = |read_only| {
        let db = Db::open(&path, libsql::OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?;
        schema::configure(&db, read_only)?;
        Ok::<_, StoreError>(db)
    };
    let writer = connect(false)?;
    schema::migrate(&writer)?;
    schema::enable_wal(&writer, busy_timeout)?;
    let readers: Vec<Db> = (0..readers).map(|_| connect(true)).collect::<Result<_, _>>()?;
    let calls = Arc::new(Mutex::new(calls));
    let threads = readers.into_iter().map(|db| {
        let calls = Arc::clone(&calls);
        spawn("ironclaw-store-reader", move || {
            // Whoever waits for a call holds the lock; whoever runs one does not.
            while let Some(call) = next(&calls) {
                run(&db, call);
            }
        })
    });
    Ok((writer, threads.collect::<Result<_, _>>()?))
}

fn next(calls: &Mutex<Receiver<Call>>) -> Option<Call> {
    calls.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Runs a call; one that panics, as the crate does on text that is not UTF-8, fails alone.
fn run(db: &Db, call: Call) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| call(db))).is_err() {
        tracing::error!(operation = db.operation(), "a call of the store panicked");
        db.roll_back();
    }
}

/// A call that sends its result, and where to wait for that. A caller that has gone is no error.
fn answering<T, F>(operation: &'static str, call: F) -> (Call, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let call = move |db: &Db| {
        db.begin_operation(operation);
        let _ = reply.send(call(db));
    };
    (Box::new(call), answer)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| StoreError::new(StoreErrorKind::Io, "open", "the operating system gave no thread").with_source(e))
}

/// A thread dropped a call unanswered, which happens only when the call panicked.
fn gone(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, operation, "the call broke off; the store's file may be damaged")
}

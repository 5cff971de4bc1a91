//! The engine of one file: one thread that writes, a few that read, shared by all who open the file.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use ironclaw_core::Clock;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use tokio::sync::{oneshot, watch};

use self::background::{Background, Pass};
use self::connect::Connections;
use self::gate::Gate;
pub(super) use self::handle::Handle;
use self::log::LogStatus;
use self::private::Privacy;
pub(super) use self::private::make_private;
pub(super) use self::registry::without_engine;
use self::reserve::Reserve;
use self::writer::{Work, Writer};
use super::db::Db;
use super::place::Place;
use super::workspace::VectorCache;
use crate::error::{closed, repeat};

mod background;
mod connect;
mod gate;
mod handle;
mod log;
mod private;
mod registry;
mod reserve;
mod session;
mod writer;

/// A call on one connection that answers its caller by itself.
type Call = Box<dyn FnOnce(&Db) + Send>;

/// What holds for a file for as long as it is open: the first who opens it decides.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) busy_timeout: Duration,
    pub(super) readers: usize,
    pub(super) vector_cache_bytes: usize,
    pub(super) log_limit: u64,
    pub(super) receipts_kept: Duration,
    pub(super) reserve_bytes: u64,
}

/// The threads and the ways to them.
pub(super) struct Engine {
    place: Option<Arc<Place>>,
    /// How many have it open; none is let in any more once it was zero.
    handles: AtomicUsize,
    queues: RwLock<Option<Queues>>,
    opened: watch::Receiver<Option<Result<Opened, Arc<StoreError>>>>,
    ended: watch::Receiver<Option<Arc<Result<(), StoreError>>>>,
    vectors: Arc<VectorCache>,
    log: Arc<LogStatus>,
    background: watch::Receiver<Pass>,
    /// Held by the one check of the file's integrity that runs.
    checking: tokio::sync::Mutex<()>,
}

/// What was found when the file was opened.
#[derive(Debug, Clone, Copy, Default)]
struct Opened {
    read_only: bool,
    privacy: Privacy,
}

/// The threads end when what was sent is done and nobody can send any more.
struct Queues {
    writes: Sender<Work>,
    /// Absent for a store in memory, whose one connection does everything.
    reads: Option<Sender<Call>>,
}

impl Engine {
    /// Starts the threads, which open the file once `before` can be locked: it is held for as long as they run.
    fn start(place: Option<Arc<Place>>, options: Options, before: Arc<Mutex<()>>) -> Result<Self, StoreError> {
        let (writes, work) = mpsc::channel();
        let (reads, calls) = mpsc::channel();
        let (open, opened) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let (tell, background) = watch::channel(Pass::default());
        let log = Arc::new(LogStatus::new(options.log_limit));
        let engine = Self {
            queues: RwLock::new(Some(Queues { writes, reads: place.is_some().then_some(reads) })),
            handles: AtomicUsize::new(1),
            vectors: Arc::new(VectorCache::new(options.vector_cache_bytes)),
            log: Arc::clone(&log),
            place: place.clone(),
            opened,
            ended,
            background,
            checking: tokio::sync::Mutex::default(),
        };
        // Opening waits for other processes' locks, so it is done on the thread too.
        spawn("ironclaw-store-writer", move || {
            let _alone = before.lock().unwrap_or_else(PoisonError::into_inner);
            let (writer, threads) = match open_all(place, &options, log, work, calls, tell) {
                Ok((writer, threads, found)) => {
                    open.send_replace(Some(Ok(found)));
                    (writer, threads)
                }
                Err(error) => {
                    open.send_replace(Some(Err(Arc::new(error))));
                    return;
                }
            };
            let result = writer.run(threads);
            end.send_replace(Some(Arc::new(result)));
        })?;
        Ok(engine)
    }

    /// One more who has it open; `false` if it is ending.
    fn join(&self) -> bool {
        let more = |handles| if handles == 0 { None } else { Some(handles + 1) };
        self.handles.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// One less who has it open. The last lets the threads end.
    fn leave(&self) {
        if self.handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            drop(self.queues.write().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Waits until the file is open.
    async fn opened(&self) -> Result<Opened, StoreError> {
        let mut opened = self.opened.clone();
        let result = opened.wait_for(Option::is_some).await.map_err(|_| gone("open"))?.clone();
        match result {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(repeat(&error)),
            None => Err(gone("open")),
        }
    }

    /// Waits until the threads have ended, if nobody has it open any more.
    async fn ended(&self) -> Result<(), StoreError> {
        if self.handles.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
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

/// Opens all connections that the file will ever have in this process, and starts the threads that read.
fn open_all(
    place: Option<Arc<Place>>,
    options: &Options,
    status: Arc<LogStatus>,
    work: Receiver<Work>,
    calls: Receiver<Call>,
    tell: watch::Sender<Pass>,
) -> Result<(Writer, Vec<JoinHandle<()>>, Opened), StoreError> {
    let gate = Arc::new(Gate::default());
    let Connections { writer, checkpointer, keeper, readers, found } = match &place {
        Some(place) => Connections::open(Arc::clone(place), options)?,
        None => Connections::in_memory(options)?,
    };
    let kept = match (&place, found.read_only) {
        (Some(place), false) => Reserve::keep(place, options.reserve_bytes).map(|kept| (kept, Arc::clone(place))),
        _ => None,
    };
    let reserved = kept.as_ref().map(|(kept, _)| kept.bytes());
    let log = checkpointer
        .zip(keeper)
        .map(|(db, keeper)| {
            log::Log::new(db, keeper, &writer, Arc::clone(&gate), status, Arc::clone(&options.clock), reserved)
        })
        .transpose()?;
    let calls = Arc::new(Mutex::new(calls));
    let threads = readers.into_iter().map(|db| {
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        spawn("ironclaw-store-reader", move || {
            // Whoever waits for a call holds the lock; whoever runs one does not.
            while let Some(call) = next(&calls) {
                gate.pass(|| run(&db, call));
            }
        })
    });
    let threads = threads.collect::<Result<_, _>>()?;
    let background = Background::new(Arc::clone(&options.clock), options.receipts_kept, tell);
    Ok((Writer::new(writer, log, kept, work, background), threads, found))
}

fn next(calls: &Mutex<Receiver<Call>>) -> Option<Call> {
    calls.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Runs a call; one that panics fails alone.
fn run(db: &Db, call: Call) {
    if std::panic::catch_unwind(AssertUnwindSafe(|| call(db))).is_err() {
        tracing::error!(operation = db.operation(), "a call of the store panicked");
        db.roll_back();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| StoreError::new(StoreErrorKind::Io, "open", "the operating system gave no thread").with_source(e))
}

/// Runs what waits for a disk on a thread of its own.
pub(super) async fn on_thread<T: Send + 'static>(
    operation: &'static str,
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    spawn("ironclaw-store-files", move || {
        // Whoever asked may have gone.
        let _ = reply.send(run());
    })?;
    answer.await.map_err(|_| gone(operation))?
}

/// A thread dropped a call unanswered, which happens only when the call panicked.
fn gone(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, operation, "the call broke off; the store's file may be damaged")
}

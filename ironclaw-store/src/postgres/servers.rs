//! Which server takes the writes, and which may answer a reading.
//!
//! A promotion starts a new timeline, whose number is higher: a server on a lower one than was ever seen was replaced,
//! and is not written to or read from, even if it still takes itself for the primary. Each transaction begins with that
//! check, in the same round trip.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row};

use super::connection::Connection;
use super::error::from_sqlx;
use super::pool::Pool;
use super::server::{self, Database, Role};

/// How long a standby that failed is left alone.
const REST: Duration = Duration::from_secs(5);

/// How long a reading waits for the standby before it goes to the primary.
const STANDBY: Duration = Duration::from_millis(500);

/// How long all that is checked of a server may take.
const CHECK: Duration = Duration::from_secs(15);

/// How long a new standby may take to have the schema that its primary has.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Whether the server is a standby, its timeline, and how far its log reaches. A standby may be on a higher timeline
/// than it says here, never on a lower one. None of these functions needs a privilege.
const POSITION: &str = "SELECT standby, \
    CASE WHEN standby THEN greatest((pg_control_checkpoint()).timeline_id, \
        (pg_control_recovery()).min_recovery_end_timeline)::bigint \
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END, \
    (CASE WHEN standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::bigint \
    FROM (SELECT pg_is_in_recovery() AS standby) AS server";

/// A commit, and how far the log reaches after it.
const COMMIT: &str = "COMMIT; SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const WRITE: &str = "BEGIN";

/// One server, or a primary and its streaming standby.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    role: Role,
    /// Which of the servers takes writes, as far as is known.
    primary: AtomicUsize,
    /// The highest timeline that was seen.
    timeline: AtomicU64,
    /// How far the log reached after the last write: a standby that is behind that is not asked.
    written: AtomicU64,
    /// How many commits were lost on the way, and how many of those `written` is known to be beyond.
    lost: AtomicU64,
    settled: AtomicU64,
    /// The identifier that all copies of a cluster share.
    cluster: OnceLock<String>,
}

#[derive(Debug)]
struct Server {
    pool: Pool,
    /// Whether it was found fit to be used.
    is_checked: AtomicBool,
    /// Until when it is left alone, if it is a standby that failed.
    rests_until: Mutex<Option<Instant>>,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    server: usize,
    timeline: u64,
}

type Begun = (Connection, Place);

#[derive(Debug, Clone, Copy)]
struct Position {
    is_standby: bool,
    timeline: u64,
    reached: u64,
}

impl Servers {
    /// Checks the servers, of which one must be reached.
    pub(super) async fn connect(
        operation: &'static str,
        pools: Vec<Pool>,
        role: Role,
    ) -> Result<(Self, Database), StoreError> {
        let server = |pool| Server { pool, is_checked: AtomicBool::new(false), rests_until: Mutex::default() };
        let servers = Self {
            servers: pools.into_iter().map(server).collect(),
            role,
            primary: AtomicUsize::new(0),
            timeline: AtomicU64::new(0),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            cluster: OnceLock::new(),
        };
        let mut checked = Vec::new();
        let mut unreachable = None;
        for index in 0..servers.servers.len() {
            match servers.check_patiently(operation, index).await {
                Ok((database, position)) => checked.push((index, database, position)),
                // Of two servers one is enough.
                Err(error) if error.is_retryable() => unreachable = unreachable.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let primaries = checked.iter().filter_map(|(index, _, position)| Some((*index, (*position)?)));
        // Of two that take themselves for the primary, the one that was promoted last is.
        if let Some((index, position)) =
            primaries.filter(|(_, position)| !position.is_standby).max_by_key(|(_, position)| position.timeline)
        {
            servers.primary.store(index, Ordering::Relaxed);
            servers.written.store(position.reached, Ordering::SeqCst);
        }
        match (checked.into_iter().next(), unreachable) {
            (Some((_, database, _)), _) => Ok((servers, database)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(StoreError::new(StoreErrorKind::Internal, operation, "no server was named")),
        }
    }

    /// Begins to write, at the primary. If it is none any more, the other server is asked the next time.
    pub(super) async fn begin_to_write(
        &self,
        operation: &'static str,
        patience: Duration,
    ) -> Result<Begun, StoreError> {
        self.begin(operation, patience, WRITE).await
    }

    /// Begins to read a snapshot that has all that this store wrote: of the standby if it can give one at once, or of
    /// the primary.
    pub(super) async fn begin_to_read(&self, operation: &'static str, patience: Duration) -> Result<Begun, StoreError> {
        match self.begin_at_standby(operation, patience).await {
            Some(begun) => Ok(begun),
            None => self.begin(operation, patience, READ).await,
        }
    }

    /// Commits, and gives the connection back.
    pub(super) async fn commit(
        &self,
        operation: &'static str,
        mut connection: Connection,
        place: Place,
    ) -> Result<(), StoreError> {
        if self.servers.len() == 1 {
            connection.run(operation, "COMMIT").await?;
            connection.give_back();
            return Ok(());
        }
        if place.timeline < self.timeline.load(Ordering::SeqCst) {
            connection.end(operation, "ROLLBACK").await;
            return Err(replaced(operation));
        }
        match connection.run(operation, COMMIT).await {
            Ok(row) => {
                match row.map(|row| row.try_get::<i64, _>(0)) {
                    Some(Ok(reached)) => drop(self.written.fetch_max(reached.cast_unsigned(), Ordering::SeqCst)),
                    _ => drop(self.lost.fetch_add(1, Ordering::SeqCst)),
                }
                connection.give_back();
                Ok(())
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    /// After a reading that failed: if that was the standby's fault, the next one goes to the primary.
    pub(super) fn note_failed(&self, place: Place, error: &StoreError) {
        if place.server != self.primary.load(Ordering::Relaxed) {
            self.rest(place.server, error);
        }
    }

    /// A connection to the primary on which these statements were run, outside of any transaction.
    pub(super) async fn prepare(
        &self,
        operation: &'static str,
        patience: Duration,
        statements: &str,
    ) -> Result<Connection, StoreError> {
        let primary = &self.servers[self.primary.load(Ordering::Relaxed)];
        Ok(primary.pool.begin(operation, patience, statements).await?.0)
    }

    /// Closes the connections, all of which are back.
    pub(super) async fn close(&self) {
        for server in &self.servers {
            server.pool.close().await;
        }
    }

    async fn begin(
        &self,
        operation: &'static str,
        patience: Duration,
        begin: &'static str,
    ) -> Result<Begun, StoreError> {
        let server = self.primary.load(Ordering::Relaxed);
        let begun = match self.servers.len() {
            1 => {
                let (connection, _) = self.servers[server].pool.begin(operation, patience, begin).await?;
                return Ok((connection, Place { server, timeline: 0 }));
            }
            _ => self.begin_at(operation, server, patience, begin).await,
        };
        match &begun {
            // It is there, though it can do no more right now.
            Err(error) if matches!(error.kind(), StoreErrorKind::Busy | StoreErrorKind::Closed) => {}
            Err(error) => self.turn(server, error),
            Ok(_) => {}
        }
        begun
    }

    async fn begin_at(
        &self,
        operation: &'static str,
        server: usize,
        patience: Duration,
        begin: &'static str,
    ) -> Result<Begun, StoreError> {
        self.check_once(operation, server).await?;
        let lost = self.lost.load(Ordering::SeqCst);
        let pool = &self.servers[server].pool;
        let (connection, row) = pool.begin(operation, patience, &format!("{begin}; {POSITION}")).await?;
        let position = Position::of(operation, row)?;
        if position.is_standby {
            connection.end(operation, "ROLLBACK").await;
            let context = "the server is a standby, and the other one does not take writes either; promote one";
            return Err(StoreError::new(StoreErrorKind::ReadOnly, operation, context));
        }
        if position.timeline < self.timeline.fetch_max(position.timeline, Ordering::SeqCst) {
            connection.end(operation, "ROLLBACK").await;
            return Err(replaced(operation));
        }
        if lost > self.settled.load(Ordering::SeqCst) {
            self.written.fetch_max(position.reached, Ordering::SeqCst);
            self.settled.fetch_max(lost, Ordering::SeqCst);
        }
        Ok((connection, Place { server, timeline: position.timeline }))
    }

    /// `None` if there is no standby, or none that is well and has all that this store wrote.
    async fn begin_at_standby(&self, operation: &'static str, patience: Duration) -> Option<Begun> {
        let index = 1 - self.primary.load(Ordering::Relaxed);
        let standby = self.servers.get(index)?;
        if !standby.may_be_asked() {
            return None;
        }
        let failed = match tokio::time::timeout(STANDBY, self.try_standby(operation, index, patience)).await {
            Ok(Ok(begun)) => {
                *standby.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return begun;
            }
            Ok(Err(error)) => error,
            Err(elapsed) => {
                StoreError::new(StoreErrorKind::TimedOut, operation, "the standby is slow").with_source(elapsed)
            }
        };
        self.rest(index, &failed);
        None
    }

    async fn try_standby(
        &self,
        operation: &'static str,
        server: usize,
        patience: Duration,
    ) -> Result<Option<Begun>, StoreError> {
        self.check_once(operation, server).await?;
        // Before the snapshot is taken: what is replayed after it is not in it.
        let Some((mut connection, row)) = self.servers[server].pool.try_begin(operation, patience, POSITION).await?
        else {
            return Ok(None);
        };
        let Position { is_standby, timeline, reached } = Position::of(operation, row)?;
        let highest = self.timeline.fetch_max(timeline, Ordering::SeqCst);
        if !is_standby {
            connection.give_back();
            let context = "the server is no standby: it was promoted, or replaced and started again";
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, context));
        }
        let is_settled = self.lost.load(Ordering::SeqCst) == self.settled.load(Ordering::SeqCst);
        if timeline < highest || !is_settled || reached < self.written.load(Ordering::SeqCst) {
            connection.give_back();
            return Ok(None);
        }
        connection.run(operation, READ).await?;
        Ok(Some((connection, Place { server, timeline })))
    }

    fn rest(&self, standby: usize, error: &StoreError) {
        let mut rests_until = self.servers[standby].rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.replace(Instant::now() + REST).is_none() {
            tracing::warn!(%error, "the primary answers what the standby would, until that is well again");
        }
    }

    /// After a failure of the server that was taken for the primary, asks the other one next: it may have been promoted.
    fn turn(&self, failed: usize, error: &StoreError) {
        // Of those that failed at the same time, one turns.
        if self.primary.compare_exchange(failed, 1 - failed, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(%error, "the other server is asked");
        }
    }

    /// Checks a server that could not be reached before.
    async fn check_once(&self, operation: &'static str, index: usize) -> Result<(), StoreError> {
        if !self.servers[index].is_checked.load(Ordering::Relaxed) {
            self.check(operation, index).await?;
        }
        Ok(())
    }

    async fn check_patiently(
        &self,
        operation: &'static str,
        index: usize,
    ) -> Result<(Database, Option<Position>), StoreError> {
        let deadline = Instant::now() + CATCH_UP;
        loop {
            match self.check(operation, index).await {
                Err(error)
                    if *error.kind() == StoreErrorKind::NotMigrated && index > 0 && Instant::now() < deadline =>
                {
                    tokio::time::sleep(CATCH_UP / 50).await;
                }
                checked => return checked,
            }
        }
    }

    async fn check(&self, operation: &'static str, index: usize) -> Result<(Database, Option<Position>), StoreError> {
        let server = &self.servers[index];
        let mut connection = server.pool.reach(operation).await?;
        let checking = async {
            let database = server::check(operation, &mut connection, self.role).await?;
            let position = match self.servers.len() {
                1 => None,
                _ => Some(self.check_identity(operation, &mut connection).await?),
            };
            Ok((database, position))
        };
        let checked = tokio::time::timeout(CHECK, checking).await.unwrap_or_else(|elapsed| {
            let context = "the server does not answer";
            Err(StoreError::new(StoreErrorKind::Unavailable, operation, context).with_source(elapsed))
        })?;
        let _ = connection.close().await;
        server.is_checked.store(true, Ordering::Relaxed);
        Ok(checked)
    }

    /// Checks that the server is a copy of the same cluster. Where it is.
    async fn check_identity(
        &self,
        operation: &'static str,
        connection: &mut PgConnection,
    ) -> Result<Position, StoreError> {
        let failed = |error| from_sqlx(operation, error);
        let identifier = "SELECT system_identifier::text FROM pg_control_system()";
        let identifier: String =
            sqlx::query_scalar(identifier).persistent(false).fetch_one(&mut *connection).await.map_err(failed)?;
        if *self.cluster.get_or_init(|| identifier.clone()) != identifier {
            let expected = "the URL of a streaming standby of the same server";
            let input = InputError::new("replica", Problem::Malformed { expected });
            return Err(StoreError::invalid_input(operation, input));
        }
        let row = sqlx::raw_sql(POSITION).fetch_optional(&mut *connection).await.map_err(failed)?;
        let position = Position::of(operation, row)?;
        self.timeline.fetch_max(position.timeline, Ordering::SeqCst);
        Ok(position)
    }
}

impl Server {
    /// Of those that come when its rest is over, one tries it.
    fn may_be_asked(&self) -> bool {
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *rests_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                *rests_until = Some(now + REST);
                true
            }
        }
    }
}

impl Position {
    fn of(operation: &'static str, row: Option<PgRow>) -> Result<Self, StoreError> {
        let row = row.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Internal, operation, "the server does not say where its log is")
        })?;
        let number = |column: usize| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let read = || Ok(Self { is_standby: row.try_get(0)?, timeline: number(1)?, reached: number(2)? });
        read().map_err(|error| from_sqlx(operation, error))
    }
}

fn replaced(operation: &'static str) -> StoreError {
    let context = "another server was promoted in its place; make it a standby of that, or switch it off";
    StoreError::new(StoreErrorKind::ReadOnly, operation, context)
}

//! Which server takes the writes, and which may answer a reading.
//!
//! A promotion starts a new timeline, whose number is higher: a server on a lower one than was ever seen was replaced,
//! and is not written to or read from, even if it still takes itself for the primary. Each transaction begins with that
//! check, in the same round trip.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::connection::Connection;
use super::error::from_sqlx;
use super::pool::Pool;
use super::role::Role;
use super::session::{LOOK, READ, WRITE};
use super::turns::Caller;
use crate::sql::Freshness;

mod check;
mod lag;
mod standby;

/// Whether the server is a standby, its timeline, and how far its log reaches. A standby may be on a higher timeline
/// than it says here, never on a lower one. None of these functions needs a privilege.
const POSITION: &str = "SELECT standby, \
    CASE WHEN standby THEN greatest((pg_control_checkpoint()).timeline_id, \
        (pg_control_recovery()).min_recovery_end_timeline)::bigint \
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END, \
    (CASE WHEN standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::bigint \
    FROM (SELECT pg_is_in_recovery() AS standby) AS server";

/// The same in a transaction of its own: by default it might be one that a standby refuses, or that waits for others.
static ASK: LazyLock<String> = LazyLock::new(|| format!("{LOOK}; {POSITION}; COMMIT"));

/// A commit, and how far the log reaches after it.
const COMMIT: &str = "COMMIT; BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
    SELECT (pg_catalog.pg_current_wal_insert_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::bigint; COMMIT";

/// One server, or a primary and its streaming standby.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    role: Role,
    /// Whether statements are prepared by name, which a pooler in transaction mode does not bear.
    named_statements: bool,
    /// How long all that is checked of a server may take.
    patience: Duration,
    /// Which of the servers takes writes, as far as is known.
    primary: AtomicUsize,
    /// The highest timeline that was seen.
    timeline: AtomicU64,
    /// How far the log reached after the last write: a standby that is behind that is not asked.
    written: AtomicU64,
    /// How many commits were lost on the way, and how many of those `written` is known to be beyond.
    lost: AtomicU64,
    settled: AtomicU64,
    /// How far the log reached not long ago, whoever wrote: a standby that is behind that is not asked either.
    lag: lag::Lag,
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
    /// Begins to write, at the primary. If it is none any more, the other server is asked the next time.
    pub(super) async fn begin_to_write(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
    ) -> Result<Begun, StoreError> {
        self.begin(operation, caller, patience, WRITE).await
    }

    /// Begins to read a snapshot that has all that this store wrote: of the standby if that may answer and can give one
    /// at once, or of the primary.
    pub(super) async fn begin_to_read(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
        freshness: Freshness,
    ) -> Result<Begun, StoreError> {
        if freshness == Freshness::Recent
            && let Some(begun) = self.begin_at_standby(operation, caller, patience).await
        {
            return Ok(begun);
        }
        self.begin(operation, caller, patience, READ).await
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
        let began = Instant::now();
        match connection.run(operation, COMMIT).await {
            Ok(row) => {
                match row.map(|row| row.try_get::<i64, _>(0)) {
                    Some(Ok(reached)) => {
                        self.written.fetch_max(reached.cast_unsigned(), Ordering::SeqCst);
                        self.lag.note(began, reached.cast_unsigned());
                    }
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

    /// After a statement whose plan or name the server does not have any more: the other connections are no better.
    pub(super) fn renew(&self, place: Place) {
        self.servers[place.server].pool.renew();
    }

    /// A connection to the primary by itself, beside the pool's.
    pub(super) async fn reach(&self, operation: &'static str) -> Result<PgConnection, StoreError> {
        self.servers[self.primary.load(Ordering::Relaxed)].pool.reach(operation).await
    }

    /// A connection to the primary on which these statements were run, outside of any transaction.
    pub(super) async fn prepare(
        &self,
        operation: &'static str,
        caller: &Caller,
        patience: Duration,
        statements: &str,
    ) -> Result<Connection, StoreError> {
        let primary = &self.servers[self.primary.load(Ordering::Relaxed)];
        Ok(primary.pool.begin(operation, caller, patience, statements).await?.0)
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
        caller: &Caller,
        patience: Duration,
        begin: &'static str,
    ) -> Result<Begun, StoreError> {
        let server = self.primary.load(Ordering::Relaxed);
        let begun = match self.servers.len() {
            1 => {
                let (connection, _) = self.servers[server].pool.begin(operation, caller, patience, begin).await?;
                return Ok((connection, Place { server, timeline: 0 }));
            }
            _ => self.begin_at(operation, caller, server, patience, begin).await,
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
        caller: &Caller,
        server: usize,
        patience: Duration,
        begin: &'static str,
    ) -> Result<Begun, StoreError> {
        self.check_once(operation, server).await?;
        let lost = self.lost.load(Ordering::SeqCst);
        let pool = &self.servers[server].pool;
        // Before it waits for a connection: that only makes what is known older.
        let began = Instant::now();
        let (connection, row) = pool.begin(operation, caller, patience, &format!("{begin}; {POSITION}")).await?;
        let position = Position::of(operation, row)?;
        if let Err(error) = self.check_primary(operation, position) {
            connection.end(operation, "ROLLBACK").await;
            return Err(error);
        }
        if lost > self.settled.load(Ordering::SeqCst) {
            self.written.fetch_max(position.reached, Ordering::SeqCst);
            self.settled.fetch_max(lost, Ordering::SeqCst);
        }
        self.lag.note(began, position.reached);
        Ok((connection, Place { server, timeline: position.timeline }))
    }

    /// Refuses to take a standby, or a server that was replaced, for the primary.
    fn check_primary(&self, operation: &'static str, position: Position) -> Result<(), StoreError> {
        if position.is_standby {
            let context = "the server is a standby, and the other one does not take writes either; promote one";
            return Err(StoreError::new(StoreErrorKind::ReadOnly, operation, context));
        }
        match position.timeline < self.timeline.fetch_max(position.timeline, Ordering::SeqCst) {
            true => Err(replaced(operation)),
            false => Ok(()),
        }
    }

    /// After a failure of the server that was taken for the primary, asks the other one next: it may have been promoted.
    fn turn(&self, failed: usize, error: &StoreError) {
        // Of those that failed at the same time, one turns.
        if self.primary.compare_exchange(failed, 1 - failed, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(%error, "the other server is asked");
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

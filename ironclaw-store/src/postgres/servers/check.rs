//! What is checked of the servers before they are used, at the start or when they are there.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::lag::Lag;
use super::{ASK, Position, Server, Servers};
use crate::postgres::error::from_sqlx;
use crate::postgres::pool::{Pool, REACH};
use crate::postgres::pooler;
use crate::postgres::role::Role;
use crate::postgres::server::{self, Database};
use crate::postgres::session::LOOK;

/// How long a new standby may take to have the schema that its primary has.
const CATCH_UP: Duration = Duration::from_secs(5);

/// A server that may be used, and, of several, where it is.
type Checked = (Database, Option<Position>);

impl Servers {
    /// Checks the servers, of which one must be reached.
    pub(in crate::postgres) async fn connect(
        operation: &'static str,
        pools: Vec<Pool>,
        role: Role,
        named_statements: bool,
        lag: Duration,
        wait: Duration,
    ) -> Result<(Self, Database), StoreError> {
        let server = |pool| Server { pool, is_checked: AtomicBool::new(false), rests_until: Mutex::default() };
        let servers = Self {
            servers: pools.into_iter().map(server).collect(),
            role,
            named_statements,
            // Whoever waits less for a connection has this one made all the same.
            patience: wait.max(REACH),
            primary: AtomicUsize::new(0),
            timeline: AtomicU64::new(0),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            lag: Lag::new(lag),
            cluster: OnceLock::new(),
        };
        let deadline = Instant::now() + servers.patience;
        let checks = (0..servers.servers.len()).map(|index| servers.check_patiently(operation, index, deadline));
        let mut checked = Vec::new();
        let mut unreachable = None;
        for (index, result) in join_all(checks).await.into_iter().enumerate() {
            match result {
                Ok((database, position)) => checked.push((index, database, position)),
                // Of two servers one is enough.
                Err(error) if error.is_retryable() => {
                    servers.rest(index, &error);
                    unreachable = unreachable.or(Some(error));
                }
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

    /// Checks a server that could not be reached before.
    pub(super) async fn check_once(&self, operation: &'static str, index: usize) -> Result<(), StoreError> {
        if !self.servers[index].is_checked.load(Ordering::Relaxed) {
            self.check(operation, index, Instant::now() + self.patience).await?;
        }
        Ok(())
    }

    async fn check_patiently(
        &self,
        operation: &'static str,
        index: usize,
        deadline: Instant,
    ) -> Result<Checked, StoreError> {
        let catch_up = deadline.min(Instant::now() + CATCH_UP) - CATCH_UP / 50;
        loop {
            match self.check(operation, index, deadline).await {
                Err(error)
                    if *error.kind() == StoreErrorKind::NotMigrated
                        && self.servers.len() > 1
                        && Instant::now() < catch_up =>
                {
                    tokio::time::sleep(CATCH_UP / 50).await;
                }
                checked => return checked,
            }
        }
    }

    /// Checks a server, within this time. Of several, the error says which one is meant.
    async fn check(&self, operation: &'static str, index: usize, deadline: Instant) -> Result<Checked, StoreError> {
        let server = &self.servers[index];
        let checked = match tokio::time::timeout_at(deadline.into(), self.check_all(operation, index, deadline)).await {
            Ok(checked) => checked,
            Err(_) => Err(server.pool.gone(operation)),
        };
        match checked {
            Ok((connection, checked)) => {
                server.is_checked.store(true, Ordering::Relaxed);
                let _ = tokio::time::timeout_at(deadline.into(), connection.close()).await;
                Ok(checked)
            }
            // A refused argument has a name.
            Err(error) if self.servers.len() > 1 && !matches!(error.kind(), StoreErrorKind::InvalidInput(_)) => {
                let context = format!("{}: {}", server.pool.address(), error.context());
                Err(StoreError::new(error.kind().clone(), operation, context).with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn check_all(
        &self,
        operation: &'static str,
        index: usize,
        deadline: Instant,
    ) -> Result<(PgConnection, Checked), StoreError> {
        let pool = &self.servers[index].pool;
        let mut connection = pool.reach_patiently(operation, deadline).await?;
        let database = server::check(operation, &mut connection, self.role).await?;
        if self.named_statements {
            pooler::check(operation, &mut connection, pool.reach(operation).await, self.role).await?;
        }
        let position = match self.servers.len() {
            1 => None,
            _ => Some(self.check_identity(operation, &mut connection).await?),
        };
        Ok((connection, (database, position)))
    }

    /// Checks that the server is a copy of the same cluster. Where it is.
    async fn check_identity(
        &self,
        operation: &'static str,
        connection: &mut PgConnection,
    ) -> Result<Position, StoreError> {
        let failed = |error| from_sqlx(operation, error);
        let identifier = format!("{LOOK}; SELECT system_identifier::text FROM pg_control_system(); COMMIT");
        let row = sqlx::raw_sql(AssertSqlSafe(identifier)).fetch_one(&mut *connection).await.map_err(failed)?;
        let identifier: String = row.try_get(0).map_err(failed)?;
        if *self.cluster.get_or_init(|| identifier.clone()) != identifier {
            let expected = "the URL of a streaming standby of the same server";
            let input = InputError::new("replica", Problem::Malformed { expected });
            return Err(StoreError::invalid_input(operation, input));
        }
        let row = sqlx::raw_sql(AssertSqlSafe(ASK.as_str())).fetch_optional(&mut *connection).await.map_err(failed)?;
        let position = Position::of(operation, row)?;
        self.timeline.fetch_max(position.timeline, Ordering::SeqCst);
        Ok(position)
    }
}

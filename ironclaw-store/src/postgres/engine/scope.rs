//! The scope that a transaction has: whose rows it may see and write.

use std::time::Duration;

use ironclaw_core::id::TenantId;
use ironclaw_core::scope::Principal;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Owner, Scope};

use super::{Engine, millis};
use crate::change::no_such_space;
use crate::codes;
use crate::postgres::migration::NEWEST;
use crate::postgres::row::{Row, params};
use crate::postgres::session::{durable, unlimited};
use crate::postgres::turns::Whose;
use crate::postgres::tx::{Entered, Tx};
use crate::sql::{Freshness, Standing};

/// What each transaction looks at first, for [`Looked`].
macro_rules! looked {
    () => {
        "m.newest, m.is_replica, m.is_standby"
    };
}

/// Where that comes from. Reading it keeps others from migrating until the transaction ends.
macro_rules! migrated {
    () => {
        "FROM (SELECT pg_catalog.max(version::text COLLATE pg_catalog.\"C\") AS newest, \
         pg_catalog.current_setting('session_replication_role') = 'replica' AS is_replica, \
         pg_catalog.pg_is_in_recovery() AS is_standby FROM ironclaw.migrations) m"
    };
}

/// Which user's scope a transaction has.
#[derive(Debug, Clone)]
pub(in crate::postgres) enum Reach {
    /// One user's, or one space's.
    User(Scope),
    /// One space's, to write, which is made if it is not there.
    Founded(Scope),
    /// What is about one person, whether or not the store knows them, to read.
    Person(Scope),
    /// One tenant's, without any user's rows.
    Tenant(String),
    /// Everybody's: an operator's.
    All,
    /// Everybody's too, to write what is about this user: such calls wait for each other.
    About(TenantId, Owner),
    /// Everybody's too, to write the rows of the user with this number, whom nobody else writes for meanwhile.
    Owner(i64),
}

impl Reach {
    /// Whose turn a call with this reach waits for.
    pub(super) fn whose(&self) -> Whose {
        match self {
            // Also in a space: who is in many has one turn all the same.
            Self::User(scope) | Self::Founded(scope) | Self::Person(scope) => {
                Whose::User(scope.tenant().clone(), scope.person().clone())
            }
            Self::About(tenant, Owner::User(user)) => Whose::User(tenant.clone(), user.clone()),
            Self::About(tenant, Owner::Space(name)) => Whose::Space(tenant.clone(), name.clone()),
            Self::Owner(owner_no) => Whose::Number(*owner_no),
            Self::Tenant(tenant) => Whose::Tenant(tenant.clone()),
            Self::All => Whose::Everybody,
        }
    }
}

impl Engine {
    /// Enters a scope to read. Whether the store knows the user.
    pub(super) async fn enter(
        &self,
        tx: &mut Tx,
        reach: &Reach,
        freshness: Freshness,
    ) -> Result<Option<()>, StoreError> {
        let statement = millis(self.timeouts.statement);
        let idle = millis(self.timeouts.idle);
        let entered = match reach {
            Reach::User(scope) | Reach::Founded(scope) | Reach::Person(scope) if scope.space().is_none() => {
                let known_no = tx
                    .query_row(
                        concat!(
                            "SELECT ",
                            looked!(),
                            ", e.owner_no, set_config('statement_timeout', $4, true), \
                         set_config('idle_in_transaction_session_timeout', $5, true), ",
                            unlimited!("true"),
                            " ",
                            migrated!(),
                            " LEFT JOIN ironclaw.enter($1, $2, $3) e ON true"
                        ),
                        params![scope.tenant().as_str(), scope.person().as_str(), chain(scope), statement, idle],
                        known(freshness, |row| row.optional(LOOKED, Row::i64)),
                    )
                    .await?
                    .flatten();
                if matches!(reach, Reach::Person(_)) { Some(known_no.unwrap_or(0)) } else { known_no }
            }
            Reach::User(scope) | Reach::Founded(scope) | Reach::Person(scope) => tx
                .query_row(
                    concat!(
                        "SELECT ",
                        looked!(),
                        ", e.owner_no, set_config('statement_timeout', $5, true), \
                         set_config('idle_in_transaction_session_timeout', $6, true), ",
                        unlimited!("true"),
                        " ",
                        migrated!(),
                        " LEFT JOIN ironclaw.enter_space($1, $2, $3, $4) e ON true"
                    ),
                    params![
                        scope.tenant().as_str(),
                        scope.person().as_str(),
                        scope.owner().name(),
                        chain(scope),
                        statement,
                        idle
                    ],
                    known(freshness, |row| row.optional(LOOKED, Row::i64)),
                )
                .await?
                .flatten(),
            Reach::Tenant(tenant) => {
                tx.query_row(
                    concat!(
                        "SELECT ",
                        looked!(),
                        ", 0::bigint, set_config('ironclaw.tenant', $1, true), \
                         set_config('statement_timeout', $2, true), \
                         set_config('idle_in_transaction_session_timeout', $3, true), ",
                        unlimited!("true"),
                        " ",
                        migrated!()
                    ),
                    params![tenant.as_str(), statement, idle],
                    known(freshness, |row| row.i64(LOOKED)),
                )
                .await?
            }
            Reach::All | Reach::About(..) | Reach::Owner(_) => {
                // It computes between its statements, for as long as that takes; no change waits for it.
                Some(self.enter_as_operator(tx, self.timeouts.lock, "0".to_owned()).await?.owner_no)
            }
        };
        if let Some(owner_no) = entered {
            tx.enter(Entered { owner_no, now: self.now(), ..Entered::default() });
        }
        Ok(entered.map(drop))
    }

    /// Enters a scope to write, waiting for locks for so long each.
    pub(super) async fn enter_to_write(&self, tx: &mut Tx, reach: &Reach, lock: Duration) -> Result<(), StoreError> {
        let entered = match reach {
            Reach::User(scope) | Reach::Founded(scope) | Reach::Person(scope) if scope.space().is_none() => {
                let entered = tx
                    .query_row(
                        concat!(
                            "SELECT ",
                            looked!(),
                            ", e.owner_no, e.status, e.held, e.now, set_config('statement_timeout', $5, true), \
                             set_config('idle_in_transaction_session_timeout', $6, true), ",
                            durable!("true"),
                            " ",
                            migrated!(),
                            // Before the function is called, which waits for the user's row.
                            " CROSS JOIN ironclaw.enter_to_write($1, $2, $3, concat($4::text, left(",
                            unlimited!("true"),
                            ", 0))) e"
                        ),
                        params![
                            scope.tenant().as_str(),
                            scope.person().as_str(),
                            chain(scope),
                            millis(lock),
                            millis(self.timeouts.statement),
                            millis(self.timeouts.idle)
                        ],
                        known(Freshness::Recent, entered),
                    )
                    .await?;
                entered.ok_or_else(|| tx.error(StoreErrorKind::Internal, "the user could not be made known"))?
            }
            Reach::User(scope) | Reach::Founded(scope) | Reach::Person(scope) => {
                let entered = tx
                    .query_row(
                        concat!(
                            "SELECT ",
                            looked!(),
                            ", e.owner_no, e.status, e.held, e.now, e.role, e.made, \
                             set_config('statement_timeout', $7, true), \
                             set_config('idle_in_transaction_session_timeout', $8, true), ",
                            durable!("true"),
                            " ",
                            migrated!(),
                            // Before the function is called, which waits for rows.
                            " LEFT JOIN ironclaw.enter_space_to_write($1, $2, $3, $4, concat($5::text, left(",
                            unlimited!("true"),
                            ", 0)), $6) e ON true"
                        ),
                        params![
                            scope.tenant().as_str(),
                            scope.person().as_str(),
                            scope.owner().name(),
                            chain(scope),
                            millis(lock),
                            matches!(reach, Reach::Founded(_)),
                            millis(self.timeouts.statement),
                            millis(self.timeouts.idle)
                        ],
                        known(Freshness::Recent, entered_space),
                    )
                    .await?;
                entered.flatten().ok_or_else(|| no_such_space(tx.operation()))?
            }
            Reach::Tenant(_) | Reach::All => self.enter_as_operator(tx, lock, millis(self.timeouts.idle)).await?,
            Reach::About(tenant, owner) => {
                let entered = self.enter_as_operator(tx, lock, millis(self.timeouts.idle)).await?;
                // The time of what comes after the lock is no earlier than that of what came before it.
                let locked = tx.query_row(
                    "SELECT pg_catalog.clock_timestamp() FROM (SELECT u.owner_no FROM ironclaw.users u \
                     WHERE u.tenant = $1 AND u.owner = $2 FOR NO KEY UPDATE) locked",
                    params![tenant.as_str(), owner.key().as_ref()],
                    |row| row.time(0),
                );
                Entered { now: locked.await?.unwrap_or(entered.now), ..entered }
            }
            Reach::Owner(owner_no) => {
                let entered = self.enter_as_operator(tx, lock, millis(self.timeouts.idle)).await?;
                let sql = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR NO KEY UPDATE";
                tx.query_row(sql, params![*owner_no], |_| Ok(())).await?;
                Entered { owner_no: *owner_no, ..entered }
            }
        };
        let now = self.clock.as_ref().map_or(entered.now, |clock| clock.now());
        tx.enter(Entered { now, ..entered });
        Ok(())
    }

    /// An operator's transaction has the owner's role, whatever role connected. `idle` is for how many milliseconds it may
    /// do nothing, with 0 for any.
    async fn enter_as_operator(&self, tx: &Tx, lock: Duration, idle: String) -> Result<Entered, StoreError> {
        tx.execute("SET LOCAL ROLE ironclaw_owner", params![]).await?;
        let entered = tx
            .query_row(
                concat!(
                    "SELECT ",
                    looked!(),
                    ", clock_timestamp(), set_config('ironclaw.maintenance', 'on', true), \
                     set_config('lock_timeout', $1, true), set_config('statement_timeout', '0', true), \
                     set_config('idle_in_transaction_session_timeout', $2, true), ",
                    durable!("true"),
                    ", ",
                    unlimited!("true"),
                    " ",
                    migrated!()
                ),
                params![millis(lock), idle],
                known(Freshness::Recent, |row| Ok(Entered { now: row.time(LOOKED)?, ..Entered::default() })),
            )
            .await?;
        entered.ok_or_else(|| tx.error(StoreErrorKind::Internal, "the server gave no time"))
    }
}

/// How many columns [`looked`] has.
const LOOKED: usize = 3;

/// Reads a row that begins with what was looked at: the newest migration must be one that this version knows, references
/// between rows must be heeded, and a standby must not answer what decides who may do what.
fn known<T>(
    freshness: Freshness,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> impl FnOnce(&Row<'_>) -> Result<T, StoreError> {
    move |row| {
        if let Some(newest) = row.optional(0, Row::text)?
            && newest.as_str() > NEWEST
        {
            return Err(row.newer_schema(&newest));
        }
        if row.bool(1)? {
            let context = "session_replication_role is replica for the role or the database, so that no reference between \
                           rows is heeded: RESET it";
            return Err(row.error(StoreErrorKind::Privileges, context));
        }
        if freshness == Freshness::Newest && row.bool(2)? {
            let context = "the server is a standby, and may be behind: connect to the primary, or name both";
            return Err(row.error(StoreErrorKind::ReadOnly, context));
        }
        read(row)
    }
}

/// The space that `enter_space_to_write` gave, if it gave one.
fn entered_space(row: &Row<'_>) -> Result<Option<Entered>, StoreError> {
    if row.optional(LOOKED, Row::i64)?.is_none() {
        return Ok(None);
    }
    let standing = match (row.bool(LOOKED + 5)?, row.optional(LOOKED + 4, |row, at| row.code(at, codes::space_role))?) {
        (true, _) => Standing::Founder,
        (false, Some(role)) => Standing::Member(role),
        (false, None) => Standing::Stranger,
    };
    entered(row).map(|entered| Some(Entered { standing, ..entered }))
}

/// The user that `enter_to_write` gave.
fn entered(row: &Row<'_>) -> Result<Entered, StoreError> {
    Ok(Entered {
        standing: Standing::Own,
        owner_no: row.i64(LOOKED)?,
        suspended: row.code(LOOKED + 1, |status| match status {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })?,
        held: row.bool(LOOKED + 2)?,
        now: row.time(LOOKED + 3)?,
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

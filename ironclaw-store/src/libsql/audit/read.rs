use async_trait::async_trait;
use ironclaw_core::audit::{ChainError, ChainProblem, ChainVerifier, commitment};
use ironclaw_core::model::audit::{
    Action, AuditEntry, AuditEvent, AuditFilter, AuditPrincipal, AuditPrivate, ChainHead, Outcome, PrincipalKind,
    Pseudonym, StreamId, Subject, SubjectKind,
};
use ironclaw_core::store::{Audit, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};

use super::SYSTEM_NO;
use crate::codes::decoded;
use crate::error::broken_chains;
use crate::libsql::LibsqlStore;
use crate::libsql::cursor;
use crate::libsql::db::Db;
use crate::libsql::removal;
use crate::libsql::row::{Row, params};
use crate::libsql::users;

/// How many events are verified in one step, and held in memory.
const VERIFIED_AT_ONCE: u64 = 1_000;

#[async_trait]
impl Audit for LibsqlStore {
    async fn events(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let after = cursor::after("events", page)?;
        let (filter, page) = (filter.clone(), page.clone());
        self.read("events", scope, move |tx| events(tx.db, tx.owner_no, &filter, after, &page)).await
    }

    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        self.read("head", scope, |tx| Ok(head(tx.db, tx.owner_no)?.filter(|head| head.sequence > 0))).await
    }

    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        const OPERATION: &str = "verify";
        let scope = scope.clone();
        let find = move |db: &Db| users::find_numbers(db, &scope);
        let Some(users::Numbers { owner_no, .. }) = self.read_any(OPERATION, find).await? else {
            return Ok(None);
        };
        Ok(verify(self, OPERATION, owner_no).await?.filter(|head| head.sequence > 0))
    }
}

/// A page of the system's chain.
pub(in crate::libsql) fn system_events(
    db: &Db,
    after: Option<u64>,
    page: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    events(db, SYSTEM_NO, &AuditFilter::default(), after, page)
}

/// Verifies every chain and gives their heads, the system's first. One that was changed does not hide others.
pub(in crate::libsql) async fn verify_all(store: &LibsqlStore) -> Result<Vec<ChainHead>, StoreError> {
    const OPERATION: &str = "verify_audit";
    let sql = "SELECT owner_no, stream FROM audit_streams ORDER BY owner_no";
    let streams = move |db: &Db| db.query(sql, params![], |row| Ok((row.i64(0)?, StreamId(row.bytes(1)?))));
    let streams = store.read_any(OPERATION, streams).await?;
    let mut heads = Vec::with_capacity(streams.len());
    let mut broken = Vec::new();
    let mut first = None;
    for (owner_no, stream) in streams {
        match verify(store, OPERATION, owner_no).await {
            Ok(head) => heads.extend(head.filter(|head| head.sequence > 0 || owner_no == SYSTEM_NO)),
            Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
                broken.push(stream);
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(first) => Err(broken_chains(OPERATION, &broken, first)),
        None => Ok(heads),
    }
}

pub(in crate::libsql) fn events(
    db: &Db,
    owner_no: i64,
    filter: &AuditFilter,
    after: Option<u64>,
    page: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    let forgotten_until = removal::forgotten_until(db, owner_no)?;
    let items = db.query(
        "SELECT e.sequence, s.stream, e.previous, e.time, e.user, e.principals, e.action, e.outcome, e.subjects, \
         e.commitment, e.hash, e.tree_index, p.salt, p.private, \
         EXISTS (SELECT 1 FROM removals r WHERE r.owner_no = p.about AND r.kind = 2) \
         FROM audit_events e JOIN audit_streams s ON s.owner_no = e.owner_no \
         LEFT JOIN audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
         WHERE e.owner_no = ?1 AND e.sequence > ?2 AND (?3 IS NULL OR e.action = ?3) AND (?4 IS NULL OR e.outcome = ?4) \
         AND e.time >= ?5 AND e.time < ?6 ORDER BY e.sequence LIMIT ?7",
        params![
            owner_no,
            after.unwrap_or(0),
            filter.action.map(|action| i64::from(action.code())),
            filter.outcome.map(|outcome| i64::from(outcome.code())),
            filter.from.map_or(i64::MIN, Timestamp::as_micros),
            filter.until.map_or(i64::MAX, Timestamp::as_micros),
            cursor::rows(page)
        ],
        |row| {
            let event = event(row)?;
            // What is being removed is gone for readers.
            let is_forgotten = event.sequence <= forgotten_until && event.action.is_forgotten();
            let private = match is_forgotten || row.bool(14)? {
                true => None,
                false => row.optional(13, Row::blob)?.map(|bytes| parse_private(row, &bytes)).transpose()?,
            };
            Ok(AuditEntry { event, private })
        },
    )?;
    Ok(cursor::page(page, items, |entry| entry.event.sequence))
}

fn head(db: &Db, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    db.query_row(
        "SELECT owner_no, stream, sequence, hash FROM audit_streams WHERE owner_no = ?1",
        params![owner_no],
        |row| Ok(ChainHead { stream: StreamId(row.bytes(1)?), sequence: row.u64(2)?, hash: row.bytes(3)? }),
    )
}

/// Verifies a chain in steps, so that no reading takes long: what was appended meanwhile is verified, too.
async fn verify(store: &LibsqlStore, operation: &'static str, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    let mut verifier = None;
    loop {
        match store.read_any(operation, move |db| verify_step(db, owner_no, verifier)).await? {
            Verified::Part(part) => verifier = Some(part),
            Verified::All(head) => return Ok(head),
        }
    }
}

/// How much of a chain is verified.
enum Verified {
    Part(ChainVerifier),
    /// All up to its head; there is no chain without one.
    All(Option<ChainHead>),
}

fn verify_step(db: &Db, owner_no: i64, verifier: Option<ChainVerifier>) -> Result<Verified, StoreError> {
    let Some(head) = head(db, owner_no)? else {
        return Ok(Verified::All(None));
    };
    let broken = |sequence, problem| {
        db.error(StoreErrorKind::Corrupt, "the audit trail was changed").with_source(ChainError { sequence, problem })
    };
    let mut verifier = verifier.unwrap_or_else(|| ChainVerifier::new(head.stream));
    let read = db.query(
        "SELECT e.sequence, s.stream, e.previous, e.time, e.user, e.principals, e.action, e.outcome, e.subjects, \
         e.commitment, e.hash, e.tree_index, p.salt, p.private \
         FROM audit_events e JOIN audit_streams s ON s.owner_no = e.owner_no \
         LEFT JOIN audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
         WHERE e.owner_no = ?1 AND e.sequence > ?2 ORDER BY e.sequence LIMIT ?3",
        params![owner_no, verifier.head().sequence, VERIFIED_AT_ONCE],
        |row| {
            let salt = row.optional(12, Row::bytes::<32>)?;
            Ok((event(row)?, salt.zip(row.optional(13, Row::blob)?)))
        },
    )?;
    for (event, private) in &read {
        verifier.push(event).map_err(|error| broken(error.sequence, error.problem))?;
        if let Some((salt, private)) = private
            && commitment(salt, private) != event.commitment
        {
            return Err(broken(event.sequence, ChainProblem::Commitment));
        }
    }
    if read.len() as u64 >= VERIFIED_AT_ONCE {
        return Ok(Verified::Part(verifier));
    }
    // A chain whose end was cut off is whole by itself.
    if verifier.head() != head {
        return Err(broken(verifier.head().sequence + 1, ChainProblem::Sequence));
    }
    Ok(Verified::All(Some(head)))
}

fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        stream: StreamId(row.bytes(1)?),
        sequence: row.u64(0)?,
        previous: row.bytes(2)?,
        time: row.time(3)?,
        user: Pseudonym(row.bytes(4)?),
        principals: decoded(&row.blob(5)?, |code, bytes| {
            let kind = PrincipalKind::from_code(code)?;
            Some(AuditPrincipal { kind, pseudonym: Pseudonym(bytes) })
        })
        .ok_or_else(|| row.corrupt(5))?,
        action: row.code(6, |code| Action::from_code(code.try_into().ok()?))?,
        outcome: row.code(7, |code| Outcome::from_code(code.try_into().ok()?))?,
        subjects: decoded(&row.blob(8)?, |code, id| Some(Subject { kind: SubjectKind::from_code(code)?, id }))
            .ok_or_else(|| row.corrupt(8))?,
        commitment: row.bytes(9)?,
        hash: row.bytes(10)?,
        tree_index: row.optional(11, Row::u64)?,
    })
}

fn parse_private(row: &Row<'_>, bytes: &[u8]) -> Result<AuditPrivate, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| row.corrupt(13))
}

use async_trait::async_trait;
use ironclaw_core::model::audit::{
    Action, AuditEntry, AuditEvent, AuditFilter, AuditPrincipal, AuditPrivate, ChainHead, Outcome, PrincipalKind,
    Pseudonym, StreamId, Subject, SubjectKind,
};
use ironclaw_core::store::{Audit, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};

use super::{SYSTEM_NO, Walk};
use crate::codes::decoded;
use crate::error::broken_chains;
use crate::libsql::LibsqlStore;
use crate::libsql::cursor;
use crate::libsql::db::Db;
use crate::libsql::removal;
use crate::libsql::row::{Row, params};
use crate::libsql::users;

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

/// Verifies every chain and gives their heads, the system's first, in steps. One that was changed does not hide others.
pub(in crate::libsql) async fn verify_all(store: &LibsqlStore) -> Result<Vec<ChainHead>, StoreError> {
    const OPERATION: &str = "verify_audit";
    let (mut heads, mut broken, mut first) = (Vec::new(), Vec::new(), None);
    let mut last = -1;
    loop {
        let next = store.read_any(OPERATION, move |db| {
            let sql = "SELECT owner_no, stream FROM audit_streams WHERE owner_no > ?1 ORDER BY owner_no LIMIT 1";
            db.query_row(sql, params![last], |row| Ok((row.i64(0)?, StreamId(row.bytes(1)?))))
        });
        let Some((owner_no, stream)) = next.await? else {
            break;
        };
        last = owner_no;
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

pub(super) fn head(db: &Db, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    db.query_row(
        "SELECT owner_no, stream, sequence, hash FROM audit_streams WHERE owner_no = ?1",
        params![owner_no],
        |row| Ok(ChainHead { stream: StreamId(row.bytes(1)?), sequence: row.count(2)?, hash: row.bytes(3)? }),
    )
}

/// Verifies a chain in steps, each a snapshot of its own: a chain only grows.
async fn verify(store: &LibsqlStore, operation: &'static str, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    let mut walk = Walk::new(owner_no);
    loop {
        let (going_on, is_done) = store.read_any(operation, move |db| walk.go_on(db)).await?;
        walk = going_on;
        if is_done {
            return Ok(walk.head());
        }
    }
}

pub(super) fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        stream: StreamId(row.bytes(1)?),
        sequence: row.count(0)?,
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
        tree_index: row.optional(11, Row::count)?,
    })
}

fn parse_private(row: &Row<'_>, bytes: &[u8]) -> Result<AuditPrivate, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| row.corrupt(13))
}

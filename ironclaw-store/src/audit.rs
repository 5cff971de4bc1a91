//! The audit trail: read and verified. Each engine appends in a way of its own.

use std::collections::HashMap;

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::model::audit::{
    Action, AuditEntry, AuditEvent, AuditFilter, AuditPrincipal, ChainHead, Outcome, PrincipalKind, Pseudonym,
    StreamId, Subject, SubjectKind,
};
use ironclaw_core::store::{Audit, StoreError};
use ironclaw_core::{Owner, Page, PageRequest, Scope};

use crate::codes::decoded;
use crate::cursor;
use crate::sql::{Categories, Engine, Reach, Row, Transaction, params};

mod bare;
mod kept;
mod trail;
mod walk;

#[cfg(feature = "libsql")]
pub(crate) use kept::wrong as wrong_beside;
use trail::Trail;
pub(crate) use walk::Walk;

/// The chain of what operators do, in place of a user's number.
pub(crate) const SYSTEM_NO: i64 = 0;

#[async_trait]
impl<E: Engine> Audit for Categories<E> {
    async fn events(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let after: Option<u64> = cursor::after("events", page)?;
        self.read("events", scope, (filter.clone(), after, page.clone()), |tx, (filter, after, page)| {
            async move { events(tx, tx.owner_no(), &filter, after, &page).await }.boxed()
        })
        .await
    }

    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        self.read("head", scope, (), |tx, ()| {
            async move { Ok(head(tx, tx.owner_no()).await?.filter(|head| head.sequence > 0)) }.boxed()
        })
        .await
    }

    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        let walked = self.read_in_steps("verify", Reach::User(scope.clone()), None::<Walk>, |tx, walk| {
            walk.get_or_insert_with(|| Walk::new(tx.owner_no())).go_on(tx).boxed()
        });
        Ok(walked.await?.flatten().and_then(|walk| walk.head()).filter(|head| head.sequence > 0))
    }
}

impl<E: Engine> Categories<E> {
    /// A page of the system's chain.
    pub(crate) async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let after: Option<u64> = cursor::after("system_events", page)?;
        self.read_all("system_events", (after, page.clone()), |tx, (after, page)| {
            async move { events(tx, SYSTEM_NO, &AuditFilter::default(), after, &page).await }.boxed()
        })
        .await
    }

    /// Verifies every chain and gives their heads, the system's first. One that was changed does not hide others.
    pub(crate) async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        const OPERATION: &str = "verify_audit";
        let trail = self.read_in_steps(OPERATION, Reach::All, Trail::default(), |tx, trail| trail.go_on(tx).boxed());
        trail.await?.unwrap_or_default().into_heads(OPERATION)
    }

    /// Verifies every chain and compares with it what is kept beside it. What is wrong, each with the row that it is of.
    #[cfg(feature = "postgres")]
    pub(crate) async fn check_audit(
        &self,
        operation: &'static str,
    ) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let trail = Trail::with_what_is_kept();
        let trail = self.read_in_steps(operation, Reach::All, trail, |tx, trail| trail.go_on(tx).boxed());
        Ok(trail.await?.unwrap_or_default().into_wrong(operation))
    }
}

/// A page of a chain.
pub(crate) async fn events(
    tx: &dyn Transaction,
    owner_no: i64,
    filter: &AuditFilter,
    after: Option<u64>,
    page: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    let forgotten_until = tx.forgotten_until(owner_no).await?;
    let items = tx
        .query(
            "SELECT e.sequence, s.stream, e.previous, e.time, e.\"user\", e.principals, e.action, e.outcome, \
             e.subjects, e.commitment, e.hash, e.tree_index, p.private \
             FROM ironclaw.audit_events e JOIN ironclaw.audit_streams s ON s.owner_no = e.owner_no \
             LEFT JOIN ironclaw.visible_audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
             WHERE e.owner_no = ?1 AND e.sequence > ?2 AND (?3 IS NULL OR e.action = ?3) \
             AND (?4 IS NULL OR e.outcome = ?4) AND (?5 IS NULL OR e.time >= ?5) AND (?6 IS NULL OR e.time < ?6) \
             ORDER BY e.sequence LIMIT ?7",
            params![
                owner_no,
                after.unwrap_or(0),
                filter.action.map(|action| i64::from(action.code())),
                filter.outcome.map(|outcome| i64::from(outcome.code())),
                filter.from,
                filter.until,
                cursor::rows(page)
            ],
            |row| {
                let event = event(row)?;
                // What is being removed is gone for readers.
                let is_forgotten = event.sequence <= forgotten_until && event.action.is_forgotten();
                let private = match row.optional(12, Row::blob)? {
                    Some(bytes) if !is_forgotten => Some(serde_json::from_slice(&bytes).map_err(|_| row.corrupt(12))?),
                    _ => None,
                };
                Ok(AuditEntry::new(event, private))
            },
        )
        .await?;
    let items = named(tx, owner_no, items).await?;
    Ok(cursor::page(page, items, |entry| entry.event.sequence))
}

/// The entries with the names of who acted, as far as they are kept.
async fn named(tx: &dyn Transaction, owner_no: i64, entries: Vec<AuditEntry>) -> Result<Vec<AuditEntry>, StoreError> {
    let owner = tx
        .query_row("SELECT owner_no, owner FROM ironclaw.users WHERE owner_no = ?1", params![owner_no], |row| {
            row.owner(1)
        })
        .await?;
    let owner = owner.as_ref().and_then(Owner::user);
    // Users in person have theirs where they themselves are.
    let is_owner =
        |event: &AuditEvent, who: &AuditPrincipal| who.kind == PrincipalKind::User && who.pseudonym == event.user;
    let all = entries.iter().flat_map(|entry| entry.event.principals.iter().map(move |who| (&entry.event, who)));
    let mut names: HashMap<AuditPrincipal, Option<String>> =
        all.filter(|(event, who)| !is_owner(event, who)).map(|(_, who)| (*who, None)).collect();
    if !names.is_empty() {
        tx.for_each(
            "SELECT kind, pseudonym, name FROM ironclaw.audit_pseudonyms WHERE owner_no = ?1",
            params![owner_no],
            &mut |row| {
                let kind = row.code(0, |code| PrincipalKind::from_code(u8::try_from(code).ok()?))?;
                if let Some(name) = names.get_mut(&AuditPrincipal::new(kind, Pseudonym(row.bytes(1)?))) {
                    *name = Some(row.text(2)?);
                }
                Ok(())
            },
        )
        .await?;
    }
    let named = |entry: AuditEntry| {
        let name = |who: &AuditPrincipal| match is_owner(&entry.event, who) {
            true => owner.map(|user| user.as_str().to_owned()),
            false => names.get(who).cloned().flatten(),
        };
        let names = entry.event.principals.iter().map(name).collect();
        entry.names(names)
    };
    Ok(entries.into_iter().map(named).collect())
}

async fn head(tx: &dyn Transaction, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    tx.query_row(
        "SELECT owner_no, stream, sequence, hash FROM ironclaw.audit_streams WHERE owner_no = ?1",
        params![owner_no],
        |row| Ok(ChainHead::new(StreamId(row.bytes(1)?), row.count(2)?, row.bytes(3)?)),
    )
    .await
}

fn event(row: &dyn Row) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent::new(
        StreamId(row.bytes(1)?),
        row.count(0)?,
        row.bytes(2)?,
        row.time(3)?,
        row.code(6, |code| Action::from_code(code.try_into().ok()?))?,
        row.code(7, |code| Outcome::from_code(code.try_into().ok()?))?,
    )
    .user(Pseudonym(row.bytes(4)?))
    .principals(coded(row, 5, |code, bytes| {
        let kind = PrincipalKind::from_code(code)?;
        Some(AuditPrincipal::new(kind, Pseudonym(bytes)))
    })?)
    .subjects(coded(row, 8, |code, id| Some(Subject::new(SubjectKind::from_code(code)?, id)))?)
    .commitment(row.bytes(9)?)
    .hash(row.bytes(10)?)
    .tree_index(row.optional(11, <dyn Row>::count)?))
}

fn coded<T>(row: &dyn Row, column: usize, decode: impl Fn(u8, [u8; 16]) -> Option<T>) -> Result<Vec<T>, StoreError> {
    decoded(&row.blob(column)?, decode).ok_or_else(|| row.corrupt(column))
}

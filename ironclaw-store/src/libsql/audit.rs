//! The audit trail: appended by the writer in the transaction of what it tells of.

use ironclaw_core::audit::{commitment, event_hash};
use ironclaw_core::model::audit::{
    Action, AuditEvent, AuditPrincipal, AuditRecord, Outcome, PrincipalKind, Pseudonym, StreamId,
};
use ironclaw_core::scope::{Principal, RequestContext};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Scope, Timestamp};

use super::db::Db;
use super::row::params;
use super::users::UserRow;
use crate::audit::SYSTEM_NO;
use crate::codes::coded;
use crate::damage;
use crate::prepared::PreparedEvent;
use crate::random::random;

/// Appends the events of a user's change to the user's chain.
pub(super) fn append(
    db: &Db,
    user: &UserRow,
    scope: &Scope,
    events: &[&PreparedEvent],
    now: Timestamp,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut principals = Vec::with_capacity(scope.chain().len());
    for principal in scope.chain() {
        let kind = match principal {
            Principal::User(_) => PrincipalKind::User,
            Principal::Agent(_) => PrincipalKind::Agent,
            Principal::Tool(_) => PrincipalKind::Tool,
            _ => return Err(db.error(StoreErrorKind::Internal, "a principal that this store does not know")),
        };
        let pseudonym = match principal {
            Principal::User(name) if name == scope.owner() => user.pseudonym,
            _ => pseudonym(db, user.owner_no, kind, principal.name())?,
        };
        principals.push(AuditPrincipal::new(kind, Pseudonym(pseudonym)));
    }
    let chain = Chain { owner_no: user.owner_no, user: user.pseudonym, principals, about: None };
    chain.append(db, events, now)
}

/// Appends the event that a forgetting is complete, which the user in person asked for. Its private part was made then.
pub(super) fn append_forgotten(
    db: &Db,
    user: &UserRow,
    salt: [u8; 32],
    private: Vec<u8>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (action, outcome) = (Action::Forget, Outcome::Success);
    let event = PreparedEvent { action, outcome, subjects: Vec::new(), salt, private };
    let principals = vec![AuditPrincipal::new(PrincipalKind::User, Pseudonym(user.pseudonym))];
    Chain { owner_no: user.owner_no, user: user.pseudonym, principals, about: None }.append(db, &[&event], now)
}

/// Appends an event to the system's chain. `about` is the user whom its private part names, if it names one.
pub(super) fn append_system(
    db: &Db,
    operator: &str,
    record: &AuditRecord,
    about: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let event = PreparedEvent::new(db.operation(), record, &RequestContext::default())?;
    append_to_system(db, operator, &event, about, now)
}

/// The same of an event that is prepared.
pub(super) fn append_to_system(
    db: &Db,
    operator: &str,
    event: &PreparedEvent,
    about: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let kind = PrincipalKind::Operator;
    let pseudonym = Pseudonym(pseudonym(db, SYSTEM_NO, kind, operator)?);
    let principals = vec![AuditPrincipal::new(kind, pseudonym)];
    Chain { owner_no: SYSTEM_NO, user: [0; 16], principals, about }.append(db, &[event], now)
}

/// The pseudonym of a principal, made when it acts for the first time.
fn pseudonym(db: &Db, owner_no: i64, kind: PrincipalKind, name: &str) -> Result<[u8; 16], StoreError> {
    let kind = i64::from(kind.code());
    let known = db.query_row(
        "SELECT kind, pseudonym FROM audit_pseudonyms WHERE owner_no = ?1 AND kind = ?2 AND name = ?3",
        params![owner_no, kind, name],
        |row| row.bytes(1),
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    let made = random(db.operation())?;
    db.execute(
        "INSERT INTO audit_pseudonyms (owner_no, kind, name, pseudonym) VALUES (?1, ?2, ?3, ?4)",
        params![owner_no, kind, name, &made],
    )?;
    Ok(made)
}

/// What the events of one call have in common.
struct Chain {
    owner_no: i64,
    user: [u8; 16],
    principals: Vec<AuditPrincipal>,
    about: Option<i64>,
}

impl Chain {
    fn append(self, db: &Db, events: &[&PreparedEvent], now: Timestamp) -> Result<(), StoreError> {
        let head = db.query_row(
            "SELECT owner_no, stream, sequence, hash FROM audit_streams WHERE owner_no = ?1",
            params![self.owner_no],
            |row| Ok((row.bytes(1)?, row.count(2)?, row.bytes(3)?)),
        )?;
        let Some((stream, mut sequence, mut previous)) = head else {
            let what = format!("audit_streams has no row {}", self.owner_no);
            return Err(damage::corrupt(db.operation(), what));
        };
        for prepared in events {
            sequence = damage::next(sequence).ok_or_else(|| {
                damage::corrupt(
                    db.operation(),
                    format!("audit_streams.sequence of row {} is no sequence", self.owner_no),
                )
            })?;
            let mut event =
                AuditEvent::new(StreamId(stream), sequence, previous, now, prepared.action, prepared.outcome)
                    .user(Pseudonym(self.user))
                    .principals(self.principals.clone())
                    .subjects(prepared.subjects.clone())
                    .commitment(commitment(&prepared.salt, &prepared.private));
            event.hash = event_hash(&event);
            self.insert(db, &event, prepared)?;
            previous = event.hash;
        }
        db.execute(
            "UPDATE audit_streams SET sequence = ?2, hash = ?3 WHERE owner_no = ?1",
            params![self.owner_no, sequence, &previous],
        )?;
        Ok(())
    }

    fn insert(&self, db: &Db, event: &AuditEvent, prepared: &PreparedEvent) -> Result<(), StoreError> {
        let principals = coded(event.principals.iter().map(|p| (p.kind.code(), p.pseudonym.0)));
        let subjects = coded(event.subjects.iter().map(|s| (s.kind.code(), s.id)));
        db.execute(
            "INSERT INTO audit_events \
             (owner_no, sequence, previous, time, user, principals, action, outcome, subjects, commitment, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                self.owner_no,
                event.sequence,
                &event.previous,
                event.time,
                &event.user.0,
                principals,
                u32::from(event.action.code()),
                u32::from(event.outcome.code()),
                subjects,
                &event.commitment,
                &event.hash
            ],
        )?;
        db.execute(
            "INSERT INTO audit_private (owner_no, sequence, about, salt, private) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![self.owner_no, event.sequence, self.about, &prepared.salt, prepared.private.as_slice()],
        )?;
        Ok(())
    }
}

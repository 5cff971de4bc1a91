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
use super::users::{Entered, UserRow};
use crate::audit::SYSTEM_NO;
use crate::codes::coded;
use crate::damage;
use crate::prepared::PreparedEvent;
use crate::random::random;

/// Appends the events of a change to the chain of whose place it is.
pub(super) fn append(
    db: &Db,
    entered: &Entered,
    scope: &Scope,
    events: &[&PreparedEvent],
    now: Timestamp,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let user = &entered.owner;
    let mut principals = Vec::with_capacity(scope.chain().len());
    for principal in scope.chain() {
        let kind = match principal {
            Principal::User(_) => PrincipalKind::User,
            Principal::Agent(_) => PrincipalKind::Agent,
            Principal::Tool(_) => PrincipalKind::Tool,
            _ => return Err(db.error(StoreErrorKind::Internal, "a principal that this store does not know")),
        };
        let pseudonym = match principal {
            Principal::User(name) if scope.owner().user() == Some(name) => user.pseudonym,
            _ => pseudonym(db, user.owner_no, kind, principal.name())?,
        };
        principals.push(AuditPrincipal::new(kind, Pseudonym(pseudonym)));
    }
    // What is told in private of who acts in a space goes with them.
    let about = scope.space().map(|_| entered.person_no);
    let chain = Chain { owner_no: user.owner_no, user: user.pseudonym, principals, about };
    chain.append(db, events, now)
}

/// Notes who asks for a forgetting in a space, for the event that tells of it when it is complete.
pub(super) fn promise_person(db: &Db, removal_no: i64, entered: &Entered, scope: &Scope) -> Result<(), StoreError> {
    let pseudonym = pseudonym(db, entered.owner.owner_no, PrincipalKind::User, scope.person().as_str())?;
    db.execute(
        "UPDATE removals SET person = ?2, pseudonym = ?3 WHERE removal_no = ?1",
        params![removal_no, entered.person_no, &pseudonym],
    )
    .map(drop)
}

/// Who asked for a forgetting in a space: their number, if they were not erased since, and who they are in its trail.
pub(super) type Asker = (Option<i64>, [u8; 16]);

/// Appends the event that a forgetting is complete, which somebody in person asked for: the user, or in a space `asker`. Its
/// private part was made then; it went with who was erased since.
pub(super) fn append_forgotten(
    db: &Db,
    user: &UserRow,
    asker: Option<Asker>,
    (salt, private): ([u8; 32], Option<Vec<u8>>),
    now: Timestamp,
) -> Result<(), StoreError> {
    let (action, outcome) = (Action::Forget, Outcome::Success);
    let is_gone = private.is_none();
    let event = PreparedEvent { action, outcome, subjects: Vec::new(), salt, private: private.unwrap_or_default() };
    let (about, pseudonym) = asker.unwrap_or((None, user.pseudonym));
    let principals = vec![AuditPrincipal::new(PrincipalKind::User, Pseudonym(pseudonym))];
    Chain { owner_no: user.owner_no, user: user.pseudonym, principals, about }.append(db, &[&event], now)?;
    if is_gone {
        let sql = "DELETE FROM audit_private WHERE owner_no = ?1 AND sequence = (SELECT sequence FROM audit_streams \
                   WHERE owner_no = ?1)";
        db.execute(sql, params![user.owner_no])?;
    }
    Ok(())
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

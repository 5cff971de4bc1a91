//! What is kept beside a chain and isn't in its hashes: who the pseudonyms stand for, and the private parts of events.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ironclaw_core::model::audit::{AuditEvent, PrincipalKind, SubjectKind};
use ironclaw_core::store::StoreError;

use super::{SYSTEM_NO, Walk};
use crate::damage;
use crate::reserved::{ERASED, STAGED};
use crate::sql::{Transaction, params};

/// Events whose private part is not there, of those that a user can't forget.
#[derive(Debug, Clone, Default)]
pub(super) struct Bare {
    /// How many there are that name no user.
    of_nobody: u64,
    /// How many there are of the system's chain that name a user, by the user's chain.
    about: BTreeMap<[u8; 16], u64>,
}

impl Bare {
    /// Takes note of an event without a private part.
    pub(super) fn note(&mut self, owner_no: i64, event: &AuditEvent) {
        if event.action.is_forgotten() {
            return;
        }
        let about = event.subjects.iter().find(|subject| subject.kind == SubjectKind::Stream);
        match about {
            Some(subject) if owner_no == SYSTEM_NO => *self.about.entry(subject.id).or_default() += 1,
            _ => self.of_nobody += 1,
        }
    }
}

/// What is wrong beside a chain whose last step this snapshot is.
pub(crate) async fn wrong(walk: &Walk, tx: &dyn Transaction) -> Result<Vec<String>, StoreError> {
    let user = tx
        .query_row(
            "SELECT owner_no, pseudonym FROM ironclaw.users WHERE owner_no = ?1 AND tenant <> ?2 AND tenant <> ?3",
            params![walk.owner_no(), STAGED, ERASED],
            |row| Ok(row.bytes::<16>(1).ok()),
        )
        .await?;
    let mut wrong = pseudonyms(walk, user, tx).await?;
    // Of whoever was erased none is kept.
    if user.is_some() || walk.owner_no() == SYSTEM_NO {
        let missing = missing(walk.bare(), tx).await?;
        if missing > 0 {
            wrong.push(format!("audit_private: {missing} that nobody may delete are missing; {}", damage::ADVICE));
        }
    }
    Ok(wrong)
}

/// What is wrong between the pseudonyms of a chain and those that are kept. `user` is who the chain is of, if they are
/// there, with their pseudonym.
async fn pseudonyms(
    walk: &Walk,
    user: Option<Option<[u8; 16]>>,
    tx: &dyn Transaction,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let mut known = HashSet::new();
    tx.for_each(
        "SELECT name, kind, pseudonym FROM ironclaw.audit_pseudonyms WHERE owner_no = ?1",
        params![walk.owner_no()],
        &mut |row| {
            // What can't be decoded was told by its column.
            if let (Ok(kind), Ok(pseudonym)) = (row.code(1, |code| u8::try_from(code).ok()), row.bytes::<16>(2)) {
                known.insert((kind, pseudonym));
            }
            Ok(())
        },
    )
    .await?;
    let unused = known.difference(walk.principals()).count();
    if unused > 0 {
        wrong.push(format!("audit_pseudonyms: {unused} that no event has"));
    }
    let user = match user {
        Some(Some(user)) => user,
        None if walk.owner_no() == SYSTEM_NO => [0; 16],
        // Of whoever was erased none is kept.
        Some(None) | None => return Ok(wrong),
    };
    if walk.users().iter().any(|of_event| *of_event != user) {
        let other = "events have another pseudonym of the user than users.pseudonym";
        wrong.push(format!("audit_pseudonyms: {other}"));
    }
    known.insert((PrincipalKind::User.code(), user));
    let unknown = walk.principals().difference(&known).count();
    if unknown > 0 {
        wrong.push(format!("audit_pseudonyms: {unknown} of events are not kept; {}", damage::ADVICE));
    }
    Ok(wrong)
}

/// How many private parts are missing. What names a user went with them when they were erased.
async fn missing(bare: &Bare, tx: &dyn Transaction) -> Result<u64, StoreError> {
    let mut missing = bare.of_nobody;
    if bare.about.is_empty() {
        return Ok(missing);
    }
    let mut there = BTreeSet::new();
    tx.for_each(
        "SELECT s.owner_no, s.stream FROM ironclaw.audit_streams s JOIN ironclaw.users u ON u.owner_no = s.owner_no \
         WHERE u.tenant <> ?1 AND u.tenant <> ?2",
        params![STAGED, ERASED],
        &mut |row| {
            there.extend(row.bytes::<16>(1).ok());
            Ok(())
        },
    )
    .await?;
    missing += bare.about.iter().filter(|(stream, _)| there.contains(*stream)).map(|(_, count)| count).sum::<u64>();
    Ok(missing)
}

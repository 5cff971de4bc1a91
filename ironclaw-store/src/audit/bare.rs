//! Events of a chain whose private part is not there.

use std::collections::{BTreeMap, BTreeSet};

use ironclaw_core::model::audit::{AuditEvent, SubjectKind};
use ironclaw_core::store::StoreError;

use super::SYSTEM_NO;
use crate::reserved::{ERASED, STAGED};
use crate::sql::{Transaction, params};

/// Events whose private part is not there, of those that a user can't forget.
#[derive(Debug, Clone, Default)]
pub(super) struct Bare {
    /// How many there are that name no user.
    of_nobody: u64,
    /// How many there are of the system's chain that name a user, by the user's chain.
    about: BTreeMap<[u8; 16], u64>,
    /// How many there are that name no user, by who acted first.
    by: BTreeMap<[u8; 16], u64>,
    /// Who acted first in events whose private part is there.
    told: BTreeSet<[u8; 16]>,
}

impl Bare {
    /// Takes note of an event whose private part is there.
    pub(super) fn note_told(&mut self, event: &AuditEvent) {
        self.told.extend(event.principals.first().map(|principal| principal.pseudonym.0));
    }

    /// Whether nothing is told of what somebody did first: in a space, whose members may be erased.
    pub(super) fn is_untold(&self, pseudonym: &[u8; 16]) -> bool {
        !self.told.contains(pseudonym)
    }

    /// How many private parts are missing of what these did first.
    pub(super) fn missing_by(&self, known: impl Fn(&[u8; 16]) -> bool) -> u64 {
        self.by.iter().filter(|(pseudonym, _)| known(pseudonym)).map(|(_, count)| count).sum()
    }

    /// Takes note of an event without a private part.
    pub(super) fn note(&mut self, owner_no: i64, event: &AuditEvent) {
        if event.action.is_forgotten() {
            return;
        }
        let about = event.subjects.iter().find(|subject| subject.kind == SubjectKind::Stream);
        match about {
            Some(subject) if owner_no == SYSTEM_NO => *self.about.entry(subject.id).or_default() += 1,
            _ => {
                self.of_nobody += 1;
                if let Some(first) = event.principals.first() {
                    *self.by.entry(first.pseudonym.0).or_default() += 1;
                }
            }
        }
    }

    /// How many private parts are missing. What names a user went with them when they were erased.
    pub(super) async fn missing(&self, tx: &dyn Transaction) -> Result<u64, StoreError> {
        let mut missing = self.of_nobody;
        if self.about.is_empty() {
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
        missing += self.about.iter().filter(|(stream, _)| there.contains(*stream)).map(|(_, count)| count).sum::<u64>();
        Ok(missing)
    }
}

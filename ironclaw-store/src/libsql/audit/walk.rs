//! A chain, verified in steps.

use std::collections::HashSet;

use ironclaw_core::audit::{ChainError, ChainProblem, ChainVerifier, commitment};
use ironclaw_core::model::audit::{ChainHead, PrincipalKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::SYSTEM_NO;
use super::read::{event, head};
use crate::damage;
use crate::libsql::db::Db;
use crate::libsql::row::{Row, params};

/// How many events a step verifies.
const AT_ONCE: u64 = 500;

/// A chain that is being verified. What was verified before stays so: nothing is ever changed in the middle.
pub(in crate::libsql) struct Walk {
    owner_no: i64,
    verifier: Option<ChainVerifier>,
    /// The pseudonyms that its events have, of the user and of principals.
    users: HashSet<[u8; 16]>,
    principals: HashSet<(u8, [u8; 16])>,
}

impl Walk {
    pub(in crate::libsql) fn new(owner_no: i64) -> Self {
        Self { owner_no, verifier: None, users: HashSet::new(), principals: HashSet::new() }
    }

    pub(in crate::libsql) fn owner_no(&self) -> i64 {
        self.owner_no
    }

    /// The last event that was verified; `None` if there is no such chain.
    pub(in crate::libsql) fn head(&self) -> Option<ChainHead> {
        self.verifier.as_ref().map(ChainVerifier::head)
    }

    /// Verifies some more events. Whether that was all.
    pub(in crate::libsql) fn go_on(mut self, db: &Db) -> Result<(Self, bool), StoreError> {
        let Some(head) = head(db, self.owner_no)? else {
            return Ok((self, true));
        };
        let verifier = self.verifier.get_or_insert_with(|| ChainVerifier::new(head.stream));
        let broken = |sequence, problem| {
            let source = ChainError { sequence, problem };
            db.error(StoreErrorKind::Corrupt, "the audit trail was changed").with_source(source)
        };
        let read = db.query(
            "SELECT e.sequence, s.stream, e.previous, e.time, e.user, e.principals, e.action, e.outcome, e.subjects, \
             e.commitment, e.hash, e.tree_index, p.salt, p.private \
             FROM audit_events e JOIN audit_streams s ON s.owner_no = e.owner_no \
             LEFT JOIN audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
             WHERE e.owner_no = ?1 AND e.sequence > ?2 ORDER BY e.sequence LIMIT ?3",
            params![self.owner_no, verifier.head().sequence, AT_ONCE],
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
            self.users.insert(event.user.0);
            self.principals.extend(event.principals.iter().map(|p| (p.kind.code(), p.pseudonym.0)));
        }
        if read.len() as u64 == AT_ONCE {
            return Ok((self, false));
        }
        // A chain whose end was cut off is whole by itself.
        if verifier.head() != head {
            return Err(broken(verifier.head().sequence.saturating_add(1), ChainProblem::Sequence));
        }
        Ok((self, true))
    }

    /// What is wrong between the pseudonyms of a chain whose last step this snapshot is, and those that are kept.
    pub(in crate::libsql) fn check_pseudonyms(&self, db: &Db) -> Result<Vec<String>, StoreError> {
        let mut wrong = Vec::new();
        let mut known = HashSet::new();
        db.for_each(
            "SELECT name, kind, pseudonym FROM audit_pseudonyms WHERE owner_no = ?1",
            params![self.owner_no],
            |row| {
                // What can't be decoded was told by its column.
                if let (Ok(kind), Ok(pseudonym)) = (row.code(1, |code| u8::try_from(code).ok()), row.bytes::<16>(2)) {
                    known.insert((kind, pseudonym));
                }
                Ok(())
            },
        )?;
        let unused = known.difference(&self.principals).count();
        if unused > 0 {
            wrong.push(format!("{unused} that no event has"));
        }
        let user = db.query_row(
            "SELECT owner_no, pseudonym FROM users WHERE owner_no = ?1 AND tenant <> ?2",
            params![self.owner_no, crate::reserved::STAGED],
            |row| row.bytes::<16>(1),
        )?;
        let user = match user {
            Some(user) => user,
            // Of whoever was erased none is kept.
            None if self.owner_no != SYSTEM_NO => return Ok(wrong),
            None => [0; 16],
        };
        if self.users.iter().any(|of_event| *of_event != user) {
            wrong.push("events have another pseudonym of the user than users.pseudonym".to_owned());
        }
        known.insert((PrincipalKind::User.code(), user));
        let unknown = self.principals.difference(&known).count();
        if unknown > 0 {
            wrong.push(format!("{unknown} of events are not kept; {}", damage::ADVICE));
        }
        Ok(wrong)
    }
}

/// Verifies every chain at once, on a connection of a test.
#[cfg(test)]
pub(in crate::libsql) fn verify_here(db: &Db) {
    let streams = db.query("SELECT owner_no FROM audit_streams", params![], |row| row.i64(0)).unwrap();
    for owner_no in streams {
        let (mut walk, mut is_done) = (Walk::new(owner_no), false);
        while !is_done {
            (walk, is_done) = walk.go_on(db).unwrap();
        }
    }
}

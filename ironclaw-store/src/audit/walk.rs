//! A chain, verified in steps.

use std::collections::HashSet;

use ironclaw_core::audit::{ChainError, ChainProblem, ChainVerifier, commitment};
use ironclaw_core::model::audit::ChainHead;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::bare::Bare;
use super::{event, head};
use crate::sql::{Row, Transaction, params};

/// How many events a step verifies.
const AT_ONCE: u64 = 500;

/// A chain that is being verified. What was verified before stays so: nothing is ever changed in the middle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walk {
    owner_no: i64,
    verifier: Option<ChainVerifier>,
    /// The pseudonyms that its events have, of the user and of principals.
    users: HashSet<[u8; 16]>,
    principals: HashSet<(u8, [u8; 16])>,
    bare: Bare,
}

impl Walk {
    pub(crate) fn new(owner_no: i64) -> Self {
        Self { owner_no, ..Self::default() }
    }

    pub(crate) fn owner_no(&self) -> i64 {
        self.owner_no
    }

    /// The last event that was verified; `None` if there is no such chain.
    pub(crate) fn head(&self) -> Option<ChainHead> {
        self.verifier.as_ref().map(ChainVerifier::head)
    }

    /// The pseudonyms of the user that its events have.
    pub(super) fn users(&self) -> &HashSet<[u8; 16]> {
        &self.users
    }

    /// The kinds and pseudonyms of the principals that its events have.
    pub(super) fn principals(&self) -> &HashSet<(u8, [u8; 16])> {
        &self.principals
    }

    /// Its events whose private part is not there.
    pub(super) fn bare(&self) -> &Bare {
        &self.bare
    }

    /// Verifies some more events. Whether that was all.
    pub(crate) async fn go_on(&mut self, tx: &dyn Transaction) -> Result<bool, StoreError> {
        let Some(head) = head(tx, self.owner_no).await? else {
            return Ok(true);
        };
        let verifier = self.verifier.get_or_insert_with(|| ChainVerifier::new(head.stream));
        let broken = |sequence, problem| {
            let source = ChainError::new(sequence, problem);
            tx.error(StoreErrorKind::Corrupt, "the audit trail was changed").with_source(source)
        };
        let read = tx
            .query(
                "SELECT e.sequence, s.stream, e.previous, e.time, e.\"user\", e.principals, e.action, e.outcome, \
                 e.subjects, e.commitment, e.hash, e.tree_index, p.salt, p.private \
                 FROM ironclaw.audit_events e JOIN ironclaw.audit_streams s ON s.owner_no = e.owner_no \
                 LEFT JOIN ironclaw.audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
                 WHERE e.owner_no = ?1 AND e.sequence > ?2 ORDER BY e.sequence LIMIT ?3",
                params![self.owner_no, verifier.head().sequence, AT_ONCE],
                |row| {
                    let salt = row.optional(12, <dyn Row>::bytes::<32>)?;
                    Ok((event(row)?, salt.zip(row.optional(13, Row::blob)?)))
                },
            )
            .await?;
        for (event, private) in &read {
            verifier.push(event).map_err(|error| broken(error.sequence, error.problem))?;
            match private {
                Some((salt, private)) if commitment(salt, private) != event.commitment => {
                    return Err(broken(event.sequence, ChainProblem::Commitment));
                }
                Some(_) => self.bare.note_told(event),
                None => self.bare.note(self.owner_no, event),
            }
            self.users.insert(event.user.0);
            self.principals.extend(event.principals.iter().map(|p| (p.kind.code(), p.pseudonym.0)));
        }
        if read.len() as u64 == AT_ONCE {
            return Ok(false);
        }
        // A chain whose end was cut off is whole by itself.
        if verifier.head() != head {
            return Err(broken(verifier.head().sequence.saturating_add(1), ChainProblem::Sequence));
        }
        Ok(true)
    }
}

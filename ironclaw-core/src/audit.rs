//! The audit log's canonical encoding, its hashes and the verification of a chain.
//!
//! An event's canonical bytes are a versioned, length-prefixed encoding of all its public fields but its own hash
//! and its index in the tree. Its hash is the leaf hash of RFC 6962, section 2.1, of those bytes: SHA-256 of a zero
//! byte and the bytes. The hash of the event before it is one of the fields, so that the events of a user form a
//! chain. Names, paths and addresses are not in it: a salted commitment binds them, and they can be erased.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::model::audit::{AuditEvent, AuditPrivate, ChainHead, StreamId};

/// The version of the canonical encoding.
pub const ENCODING_VERSION: u16 = 1;

/// An event's canonical bytes.
///
/// All numbers are big-endian. Layout: version (2 bytes), then each field as a length (4 bytes) and its bytes, in
/// this order: stream (16), sequence (8), previous hash (32), time in microseconds (8, two's complement), user (16),
/// principals (each a kind of 1 byte and a pseudonym of 16), action (2), outcome (1), subjects (each a kind of 1
/// byte and an id of 16), commitment (32).
pub fn canonical_bytes(event: &AuditEvent) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend(ENCODING_VERSION.to_be_bytes());
    field(&mut bytes, &event.stream.0);
    field(&mut bytes, &event.sequence.to_be_bytes());
    field(&mut bytes, &event.previous);
    field(&mut bytes, &event.time.as_micros().to_be_bytes());
    field(&mut bytes, &event.user.0);
    let mut principals = Vec::with_capacity(event.principals.len() * 17);
    for principal in &event.principals {
        principals.push(principal.kind.code());
        principals.extend(principal.pseudonym.0);
    }
    field(&mut bytes, &principals);
    field(&mut bytes, &event.action.code().to_be_bytes());
    field(&mut bytes, &[event.outcome.code()]);
    let mut subjects = Vec::with_capacity(event.subjects.len() * 17);
    for subject in &event.subjects {
        subjects.push(subject.kind.code());
        subjects.extend(subject.id);
    }
    field(&mut bytes, &subjects);
    field(&mut bytes, &event.commitment);
    bytes
}

fn field(bytes: &mut Vec<u8>, value: &[u8]) {
    // The fields are bounded by the number of principals and subjects of one call, far below 4 GiB.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
}

/// The leaf hash of RFC 6962: SHA-256 of a zero byte and the data.
pub fn leaf_hash(data: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash that belongs to an event's fields; the event's own `hash` is not looked at.
pub fn event_hash(event: &AuditEvent) -> [u8; 32] {
    leaf_hash(&canonical_bytes(event))
}

/// The bytes of a private part, as they are committed to and stored.
pub fn private_bytes(private: &AuditPrivate) -> Vec<u8> {
    // A map with text keys and plain fields always serialises.
    serde_json::to_vec(private).unwrap_or_default()
}

/// The commitment to a private part: HMAC-SHA256 (RFC 2104) of its bytes, with a random salt as the key.
///
/// Without the salt, which erasure deletes with the private part, the commitment says nothing of the bytes.
pub fn commitment(salt: &[u8; 32], private: &[u8]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(salt) {
        Ok(mac) => mac,
        // HMAC takes keys of any length.
        Err(_) => return [0; 32],
    };
    mac.update(private);
    mac.finalize().into_bytes().into()
}

/// Verifies the events of one chain as they are read, oldest first.
///
/// ```
/// use ironclaw_core::audit::ChainVerifier;
/// use ironclaw_core::model::audit::StreamId;
///
/// let verifier = ChainVerifier::new(StreamId::SYSTEM);
/// assert_eq!(verifier.head().sequence, 0);
/// ```
#[derive(Debug, Clone)]
pub struct ChainVerifier {
    head: ChainHead,
}

impl ChainVerifier {
    /// Starts before the first event of a chain.
    pub fn new(stream: StreamId) -> Self {
        Self { head: ChainHead { stream, sequence: 0, hash: [0; 32] } }
    }

    /// Starts after an event that was verified before.
    pub fn after(head: ChainHead) -> Self {
        Self { head }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What is wrong with it; the verifier stays where it was.
    pub fn push(&mut self, event: &AuditEvent) -> Result<(), ChainError> {
        let sequence = self.head.sequence.saturating_add(1);
        let problem = if event.stream != self.head.stream {
            ChainProblem::Stream
        } else if event.sequence != sequence {
            ChainProblem::Sequence
        } else if event.previous != self.head.hash {
            ChainProblem::Previous
        } else if event_hash(event) != event.hash {
            ChainProblem::Hash
        } else {
            self.head = ChainHead { stream: event.stream, sequence, hash: event.hash };
            return Ok(());
        };
        Err(ChainError { sequence, problem })
    }

    /// The last event taken.
    pub fn head(&self) -> ChainHead {
        self.head
    }
}

/// Where and how a chain is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("audit chain broken at sequence {sequence}: {problem}")]
#[non_exhaustive]
pub struct ChainError {
    /// The sequence number that was expected.
    pub sequence: u64,
    /// What is wrong.
    pub problem: ChainProblem,
}

impl ChainError {
    /// A chain broken at this place.
    pub fn new(sequence: u64, problem: ChainProblem) -> Self {
        Self { sequence, problem }
    }
}

/// How a chain is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainProblem {
    /// The event belongs to another chain.
    #[error("an event of another stream")]
    Stream,
    /// An event is missing or repeated.
    #[error("unexpected sequence number")]
    Sequence,
    /// It does not follow from the event before it.
    #[error("previous hash differs")]
    Previous,
    /// Its fields are not those that were hashed.
    #[error("hash differs")]
    Hash,
    /// Its private part is not the one that was committed to.
    #[error("private part differs from its commitment")]
    Commitment,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::audit::{Action, AuditPrincipal, Outcome, PrincipalKind, Pseudonym, Subject, SubjectKind};
    use crate::scope::RequestContext;

    fn event(sequence: u64, previous: [u8; 32]) -> AuditEvent {
        let mut event = AuditEvent {
            stream: StreamId([1; 16]),
            sequence,
            previous,
            time: Timestamp::from_micros(1_700_000_000_000_000),
            user: Pseudonym([2; 16]),
            principals: vec![AuditPrincipal { kind: PrincipalKind::User, pseudonym: Pseudonym([2; 16]) }],
            action: Action::SecretUse,
            outcome: Outcome::Denied,
            subjects: vec![Subject { kind: SubjectKind::Lease, id: [3; 16] }],
            commitment: commitment(&[4; 32], b"{}"),
            hash: [0; 32],
            tree_index: None,
        };
        event.hash = event_hash(&event);
        event
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn leaf_hash_is_that_of_rfc_6962() {
        // The leaf hash of the empty string, as published with certificate-transparency test data.
        assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }

    #[test]
    fn every_field_is_hashed() {
        let original = event(1, [0; 32]);
        let changes: [fn(&mut AuditEvent); 10] = [
            |e| e.stream.0[0] ^= 1,
            |e| e.sequence += 1,
            |e| e.previous[0] ^= 1,
            |e| e.time = e.time.after(std::time::Duration::from_micros(1)),
            |e| e.user.0[0] ^= 1,
            |e| e.principals[0].kind = PrincipalKind::Agent,
            |e| e.action = Action::SecretPut,
            |e| e.outcome = Outcome::Success,
            |e| e.subjects[0].id[0] ^= 1,
            |e| e.commitment[0] ^= 1,
        ];
        for change in changes {
            let mut changed = original.clone();
            change(&mut changed);
            assert_ne!(event_hash(&changed), original.hash);
        }
    }

    #[test]
    fn fields_can_not_run_into_each_other() {
        let mut moved = event(1, [0; 32]);
        moved.principals.push(AuditPrincipal { kind: PrincipalKind::Tool, pseudonym: Pseudonym([5; 16]) });
        let mut other = event(1, [0; 32]);
        other.subjects.insert(0, Subject { kind: SubjectKind::Version, id: [5; 16] });
        assert_ne!(canonical_bytes(&moved), canonical_bytes(&other));
    }

    #[test]
    fn verifier_finds_what_is_changed_missing_or_moved() {
        let first = event(1, [0; 32]);
        let second = event(2, first.hash);
        let mut verifier = ChainVerifier::new(StreamId([1; 16]));
        assert_eq!(verifier.push(&second).unwrap_err().problem, ChainProblem::Sequence);
        verifier.push(&first).unwrap();
        let mut forged = second.clone();
        forged.outcome = Outcome::Success;
        assert_eq!(verifier.push(&forged).unwrap_err().problem, ChainProblem::Hash);
        assert_eq!(verifier.push(&event(2, [9; 32])).unwrap_err().problem, ChainProblem::Previous);
        verifier.push(&second).unwrap();
        assert_eq!(verifier.head().hash, second.hash);
    }

    #[test]
    fn encoding_is_frozen() {
        let frozen = event(7, [9; 32]);
        assert_eq!(canonical_bytes(&frozen).len(), 2 + 10 * 4 + 16 + 8 + 32 + 8 + 16 + 17 + 2 + 1 + 17 + 32);
        assert_eq!(hex(&frozen.hash), "63c27839f2da11ddb76079c4caca6e288ebb067b1a05a5dc4e13c547ad7a002a");
        let private = AuditPrivate {
            details: [("path".to_owned(), "a.md".to_owned())].into(),
            request: RequestContext::default(),
        };
        assert_eq!(
            String::from_utf8(private_bytes(&private)).unwrap(),
            r#"{"details":{"path":"a.md"},"request":{"id":null,"ip":null,"user_agent":null}}"#
        );
    }
}

//! The audit trail: what happened, by whom, in an order that can't be changed unnoticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::scope::RequestContext;
use crate::setters::setters;

mod action;

pub use action::Action;

/// What a change says of itself for the audit trail; the store adds who, when and where in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditRecord {
    /// What was done.
    pub action: Action,
    /// How it went.
    pub outcome: Outcome,
    /// What it was done to: opaque ids.
    pub subjects: Vec<Subject>,
    /// Names, paths and other details of the private part: never a secret's value, never content.
    pub details: BTreeMap<String, String>,
}

impl AuditRecord {
    /// The most subjects of an event.
    pub const SUBJECTS: usize = 256;
    /// The most details of an event.
    pub const DETAILS: usize = 64;
    /// The most bytes of all details together, keys and values.
    pub const DETAIL_BYTES: usize = 64 << 10;

    /// A success without subjects and details.
    pub fn new(action: Action) -> Self {
        Self { action, outcome: Outcome::Success, subjects: Vec::new(), details: BTreeMap::new() }
    }

    /// Adds what it was done to.
    #[must_use]
    pub fn on(mut self, kind: SubjectKind, id: [u8; 16]) -> Self {
        self.subjects.push(Subject { kind, id });
        self
    }

    /// Adds a detail to the private part.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The same event with another outcome.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// How an audited call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the stored format of the trail knows these and no others")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused: whoever asked may not.
    Denied,
    /// It failed, and nothing was done.
    Failed,
}

impl Outcome {
    /// The stored code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Denied => 1,
            Self::Failed => 2,
        }
    }

    /// The outcome with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::Denied),
            2 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What an action was done to: the id of a row, never a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Subject {
    /// What kind of row.
    pub kind: SubjectKind,
    /// Its id.
    pub id: [u8; 16],
}

impl Subject {
    /// The row of this kind and id.
    pub fn new(kind: SubjectKind, id: [u8; 16]) -> Self {
        Self { kind, id }
    }
}

/// Defines the kinds of subjects with their stable codes.
macro_rules! subject_kinds {
    ($($(#[$meta:meta])* $name:ident = $code:literal;)*) => {
        /// What kind of row an action was done to. The codes are stored and never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum SubjectKind {
            $($(#[$meta])* $name,)*
            /// A kind that a newer program knows, by its code.
            Unknown(u8),
        }

        impl SubjectKind {
            /// The stored code.
            pub fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* Self::Unknown(code) => code }
            }

            /// The kind with this code; `None` for a code that no kind will ever have.
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    1..=127 => Some(Self::Unknown(code)),
                    _ => None,
                }
            }
        }
    };
}

subject_kinds! {
    /// A conversation.
    Conversation = 1;
    /// A message.
    Message = 2;
    /// A version of a workspace entry.
    Version = 3;
    /// A job.
    Job = 4;
    /// A call of a language model.
    LlmCall = 5;
    /// A run of a sandboxed tool.
    SandboxJob = 6;
    /// A data key.
    DataKey = 7;
    /// A policy.
    Policy = 8;
    /// A token.
    Token = 9;
    /// An API key.
    ApiKey = 10;
    /// A lease.
    Lease = 11;
    /// An approval.
    Approval = 12;
    /// A capability of a tool.
    ToolGrant = 13;
    /// A vault.
    Vault = 14;
    /// A wrapping of the root key.
    RootKeyWrap = 15;
    /// A legal hold.
    Hold = 16;
    /// An erasure.
    Erasure = 17;
    /// A user's stream of the log.
    Stream = 18;
    /// A membership of a space.
    Membership = 19;
}

/// A hash chain of the log: a user's random pseudonym, or [`StreamId::SYSTEM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[expect(clippy::exhaustive_structs, reason = "sixteen bytes, and never anything else")]
pub struct StreamId(#[serde(with = "crate::hex")] pub [u8; 16]);

impl StreamId {
    /// The chain of what operators do.
    pub const SYSTEM: Self = Self([0; 16]);
}

/// A random stand-in for a user or principal in the log. What it stands for is a side row, which erasure deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[expect(clippy::exhaustive_structs, reason = "sixteen bytes, and never anything else")]
pub struct Pseudonym(#[serde(with = "crate::hex")] pub [u8; 16]);

/// A principal as the log keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditPrincipal {
    /// User, agent, tool or operator.
    pub kind: PrincipalKind,
    /// Who, as a pseudonym.
    pub pseudonym: Pseudonym,
}

impl AuditPrincipal {
    /// A principal of this kind, known by this pseudonym.
    pub fn new(kind: PrincipalKind, pseudonym: Pseudonym) -> Self {
        Self { kind, pseudonym }
    }
}

/// What kind of principal acted. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the stored format of the trail knows these and no others")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// An agent.
    Agent,
    /// A tool.
    Tool,
    /// Whoever runs the store.
    Operator,
}

impl PrincipalKind {
    /// The stored code.
    pub fn code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Agent => 2,
            Self::Tool => 3,
            Self::Operator => 4,
        }
    }

    /// The kind with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            2 => Some(Self::Agent),
            3 => Some(Self::Tool),
            4 => Some(Self::Operator),
            _ => None,
        }
    }
}

/// An event of the log, without its private part. Serialised, its hashes and pseudonyms are hex, and the ids of its subjects
/// are UUIDs, as those rows show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its chain.
    pub stream: StreamId,
    /// Its place in the chain, from 1 without gaps.
    pub sequence: u64,
    /// The hash of the event before it; zeros for the first.
    #[serde(with = "crate::hex")]
    pub previous: [u8; 32],
    /// When.
    pub time: Timestamp,
    /// Whose data, as a pseudonym; zeros for the system's own.
    pub user: Pseudonym,
    /// Who acted for whom: whoever acted last comes last.
    pub principals: Vec<AuditPrincipal>,
    /// What was done.
    pub action: Action,
    /// How it went.
    pub outcome: Outcome,
    /// What it was done to.
    #[serde(serialize_with = "with_uuids")]
    pub subjects: Vec<Subject>,
    /// The salted commitment to the private part.
    #[serde(with = "crate::hex")]
    pub commitment: [u8; 32],
    /// The event's own hash.
    #[serde(with = "crate::hex")]
    pub hash: [u8; 32],
    /// Its index in the Merkle tree over all chains, once it has one.
    pub tree_index: Option<u64>,
}

impl AuditEvent {
    /// An event at this place of its chain, of the system's own and by nobody, with all else zero or empty: what is
    /// hashed has to be set before the [hash](crate::audit::event_hash) is.
    pub fn new(
        stream: StreamId,
        sequence: u64,
        previous: [u8; 32],
        time: Timestamp,
        action: Action,
        outcome: Outcome,
    ) -> Self {
        Self {
            stream,
            sequence,
            previous,
            time,
            user: Pseudonym([0; 16]),
            principals: Vec::new(),
            action,
            outcome,
            subjects: Vec::new(),
            commitment: [0; 32],
            hash: [0; 32],
            tree_index: None,
        }
    }
}

setters! {
    AuditEvent:
    user: Pseudonym,
    principals: Vec<AuditPrincipal>,
    subjects: Vec<Subject>,
    commitment: [u8; 32],
    hash: [u8; 32],
    tree_index: Option<u64>,
}

/// The subjects with their ids as UUIDs. A subject by itself keeps its form: a change's digest is made of it.
fn with_uuids<S: Serializer>(subjects: &[Subject], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        kind: SubjectKind,
        id: uuid::Uuid,
    }

    let shown = |subject: &Subject| Shown { kind: subject.kind, id: uuid::Uuid::from_bytes(subject.id) };
    serializer.collect_seq(subjects.iter().map(shown))
}

/// The private part of an event: deleted by erasure, while the chain still verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditPrivate {
    /// Names, paths and other details.
    pub details: BTreeMap<String, String>,
    /// Where the call came from.
    pub request: RequestContext,
}

impl AuditPrivate {
    /// These details of a call that came from there.
    pub fn new(details: BTreeMap<String, String>, request: RequestContext) -> Self {
        Self { details, request }
    }
}

/// An event as its owner reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The event.
    pub event: AuditEvent,
    /// Its private part, unless it was erased.
    pub private: Option<AuditPrivate>,
    /// The names of [`AuditEvent::principals`], in their order; `None` for one that was erased, or that the store does not
    /// tell.
    pub names: Vec<Option<String>>,
}

impl AuditEntry {
    /// An event with its private part, unless that was erased.
    pub fn new(event: AuditEvent, private: Option<AuditPrivate>) -> Self {
        Self { names: vec![None; event.principals.len()], event, private }
    }
}

setters! {
    AuditEntry:
    names: Vec<Option<String>>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<Action>,
    /// Only this outcome.
    pub outcome: Option<Outcome>,
    /// Only from this time on.
    pub from: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
}

setters! {
    AuditFilter:
    action: into Option<Action>,
    outcome: into Option<Outcome>,
    from: into Option<Timestamp>,
    until: into Option<Timestamp>,
}

/// The end of a chain: what to keep elsewhere to notice a cut log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainHead {
    /// The chain.
    pub stream: StreamId,
    /// How many events it has.
    pub sequence: u64,
    /// The hash of the last; zeros if there is none.
    #[serde(with = "crate::hex")]
    pub hash: [u8; 32],
}

impl ChainHead {
    /// The end of a chain of so many events.
    pub fn new(stream: StreamId, sequence: u64, hash: [u8; 32]) -> Self {
        Self { stream, sequence, hash }
    }
}

/// A signed state of the whole log. The store keeps what a log server made, and makes none itself: see `docs/audit.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditCheckpoint {
    /// How many events the tree has.
    pub size: u64,
    /// The root of the tree.
    #[serde(with = "crate::hex")]
    pub root: [u8; 32],
    /// The signed text.
    pub note: String,
    /// When.
    pub created_at: Timestamp,
}

impl AuditCheckpoint {
    /// A state of the log with its signed text.
    pub fn new(size: u64, root: [u8; 32], note: impl Into<String>, created_at: Timestamp) -> Self {
        Self { size, root, note: note.into(), created_at }
    }
}

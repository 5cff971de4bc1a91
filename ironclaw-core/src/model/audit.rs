//! The audit trail: what happened, by whom, in an order that can't be changed unnoticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::scope::RequestContext;

mod action;

pub use action::Action;

/// What a change says of itself for the audit trail; the store adds who, when and where in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct Subject {
    /// What kind of row.
    pub kind: SubjectKind,
    /// Its id.
    pub id: [u8; 16],
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
}

/// A hash chain of the log: a user's random pseudonym, or [`StreamId::SYSTEM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub [u8; 16]);

impl StreamId {
    /// The chain of what operators do.
    pub const SYSTEM: Self = Self([0; 16]);
}

/// A random stand-in for a user or principal in the log. What it stands for is a side row, which erasure deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pseudonym(pub [u8; 16]);

/// A principal as the log keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuditPrincipal {
    /// User, agent, tool or operator.
    pub kind: PrincipalKind,
    /// Who, as a pseudonym.
    pub pseudonym: Pseudonym,
}

/// What kind of principal acted. The codes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// An event of the log, without its private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its chain.
    pub stream: StreamId,
    /// Its place in the chain, from 1 without gaps.
    pub sequence: u64,
    /// The hash of the event before it; zeros for the first.
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
    pub subjects: Vec<Subject>,
    /// The salted commitment to the private part.
    pub commitment: [u8; 32],
    /// The event's own hash.
    pub hash: [u8; 32],
    /// Its index in the Merkle tree over all chains, once it has one.
    pub tree_index: Option<u64>,
}

/// The private part of an event: deleted by erasure, while the chain still verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPrivate {
    /// Names, paths and other details.
    pub details: BTreeMap<String, String>,
    /// Where the call came from.
    pub request: RequestContext,
}

/// An event as its owner reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The event.
    pub event: AuditEvent,
    /// Its private part, unless it was erased.
    pub private: Option<AuditPrivate>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// The end of a chain: what to keep elsewhere to notice a cut log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The chain.
    pub stream: StreamId,
    /// How many events it has.
    pub sequence: u64,
    /// The hash of the last; zeros if there is none.
    pub hash: [u8; 32],
}

/// A signed state of the whole log. The store keeps what a log server made, and makes none itself: see `docs/audit.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheckpoint {
    /// How many events the tree has.
    pub size: u64,
    /// The root of the tree.
    pub root: [u8; 32],
    /// The signed text.
    pub note: String,
    /// When.
    pub created_at: Timestamp,
}

//! The audit trail: what happened, by whom, in an order that can't be changed unnoticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::scope::RequestContext;
use crate::setters::setters;

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

/// Defines the actions with their stable codes.
macro_rules! actions {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What was done. The codes are stored and never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Action {
            $($(#[$meta])* #[serde(rename = $text)] $name,)*
            /// What a newer program did, by its code: it is verified like any other, and can't be reported.
            #[serde(rename = "unknown")]
            Unknown(u16),
        }

        impl Action {
            /// Every action that this program has a name for.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stored code.
            pub fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* Self::Unknown(code) => code }
            }

            /// The action with this code; `None` for a code that no action will ever have.
            pub fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    100..=999 => Some(Self::Unknown(code)),
                    _ => None,
                }
            }

            /// The action's name: its category, a dot and a verb; `unknown` for what a newer program did.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Unknown(_) => "unknown" }
            }
        }
    };
}

/// Categories have bands of codes, a hundred each: an operation that is added later is forgotten, reported and kept as the
/// others of its category, by programs too that have no name for it.
impl Action {
    /// Whether it is about what [`PrivacyOp::Forget`](crate::change::PrivacyOp::Forget) deletes, or is forgetting
    /// itself: conversations, workspace, jobs. Forgetting deletes the private parts of such events. What the host
    /// reports of its own is not among them.
    pub fn is_forgotten(self) -> bool {
        matches!(self.code(), 100..=399 | 700)
    }

    /// Whether an application may report this itself, with [`Change::event`](crate::change::Change::event): what the
    /// host alone knows of, however it went, and what a user's operation would have done when it was denied or failed
    /// before a store saw it. That an operation was done is told by the operation alone, and what operators do by the
    /// store.
    pub fn is_reportable(self, outcome: Outcome) -> bool {
        match self {
            Self::HostEvent => true,
            Self::Unknown(_) => false,
            _ => !self.is_operators() && outcome != Outcome::Success,
        }
    }

    /// Whether it stands on the system's chain: what operators do.
    pub fn is_operators(self) -> bool {
        matches!(self.code(), 800..=899)
    }
}

actions! {
    /// A conversation was started.
    ConversationCreate = 100, "conversations.create";
    /// A conversation's title was changed.
    ConversationRename = 101, "conversations.rename";
    /// A conversation was deleted with all in it.
    ConversationDelete = 102, "conversations.delete";
    /// A message was appended.
    MessageAppend = 103, "conversations.append_message";
    /// An embedding model was registered.
    ModelRegister = 200, "workspace.register_model";
    /// A version of a file was begun.
    VersionBegin = 201, "workspace.begin_version";
    /// Parts of a version were put.
    PartsPut = 202, "workspace.put_parts";
    /// A version was published.
    VersionPublish = 203, "workspace.publish";
    /// A version was given up before it was published.
    VersionAbandon = 204, "workspace.abandon_version";
    /// A file was deleted.
    EntryDelete = 205, "workspace.delete_entry";
    /// A job was created.
    JobCreate = 300, "jobs.create";
    /// A job was claimed by a worker.
    JobClaim = 301, "jobs.claim";
    /// A job changed its state.
    JobState = 302, "jobs.set_state";
    /// A step of a job was recorded.
    JobEvent = 303, "jobs.append_event";
    /// A call of a language model was recorded.
    LlmCall = 304, "jobs.record_llm_call";
    /// A run of a sandboxed tool was recorded.
    SandboxJob = 305, "jobs.record_sandbox_job";
    /// A job was deleted with all in it.
    JobDelete = 306, "jobs.delete";
    /// A version of a secret was put.
    SecretPut = 400, "secrets.put";
    /// A secret was revealed or used.
    SecretUse = 401, "secrets.use";
    /// A secret was deleted with all its versions.
    SecretDelete = 402, "secrets.delete";
    /// A data key was made.
    DataKeyMake = 403, "secrets.make_data_key";
    /// A version of a secret was deleted for good.
    SecretVersionDestroy = 404, "secrets.destroy_version";
    /// An agent was made or changed.
    AgentPut = 500, "access.put_agent";
    /// A policy was put in force.
    PolicyPut = 501, "access.put_policy";
    /// A policy was revoked.
    PolicyRevoke = 502, "access.revoke_policy";
    /// A token was issued.
    TokenIssue = 503, "access.issue_token";
    /// A token was revoked.
    TokenRevoke = 504, "access.revoke_token";
    /// An API key was made.
    ApiKeyMake = 505, "access.make_api_key";
    /// An API key was revoked.
    ApiKeyRevoke = 506, "access.revoke_api_key";
    /// A lease was granted.
    LeaseGrant = 507, "access.grant_lease";
    /// A use of a lease was redeemed.
    LeaseRedeem = 508, "access.redeem_lease";
    /// A lease was revoked.
    LeaseRevoke = 509, "access.revoke_lease";
    /// A person was asked for approval.
    ApprovalRequest = 510, "access.request_approval";
    /// A person approved or denied.
    ApprovalDecide = 511, "access.decide_approval";
    /// A capability was granted to a tool.
    ToolGrantPut = 512, "access.grant_tool";
    /// A capability of a tool was revoked.
    ToolGrantRevoke = 513, "access.revoke_tool_grant";
    /// A setting was put.
    SettingPut = 600, "settings.put";
    /// A setting was deleted.
    SettingDelete = 601, "settings.delete";
    /// A quota was charged.
    QuotaCharge = 602, "settings.charge_quota";
    /// A user deleted all conversations, jobs and files.
    Forget = 700, "privacy.forget";
    /// A vault was made.
    VaultInit = 800, "system.init_vault";
    /// A wrapping of the root key was added.
    RootKeyWrapAdd = 801, "system.add_root_key_wrap";
    /// A wrapping of the root key was removed.
    RootKeyWrapRemove = 802, "system.remove_root_key_wrap";
    /// A user's status or roles were set.
    UserPut = 803, "system.put_user";
    /// A role was set.
    RolePut = 804, "system.put_role";
    /// A role was deleted.
    RoleDelete = 805, "system.delete_role";
    /// A quota was set.
    QuotaPut = 806, "system.put_quota";
    /// A legal hold was placed.
    HoldPlace = 807, "system.place_hold";
    /// A legal hold was released.
    HoldRelease = 808, "system.release_hold";
    /// A retention policy was set.
    RetentionPut = 809, "system.put_retention";
    /// A retention policy was deleted.
    RetentionDelete = 810, "system.delete_retention";
    /// All of a user's data was erased.
    UserErase = 811, "system.erase_user";
    /// A checkpoint of the log was recorded.
    CheckpointPut = 812, "system.put_checkpoint";
    /// What a retention policy covers was deleted.
    RetentionApply = 813, "system.apply_retention";
    /// A copy of the whole store was begun.
    StoreCopy = 814, "system.copy_store";
    /// A copy of a user to another store was begun.
    UserCopyOut = 815, "system.copy_user_out";
    /// A user arrived from another store.
    UserCopyIn = 816, "system.copy_user_in";
    /// An unfinished copy was deleted.
    CopyDiscard = 817, "system.discard_copy";
    /// What the host reports of its own: a reading, a login. The details say what.
    HostEvent = 900, "host.event";
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
}

impl AuditEntry {
    /// An event with its private part, unless that was erased.
    pub fn new(event: AuditEvent, private: Option<AuditPrivate>) -> Self {
        Self { event, private }
    }
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

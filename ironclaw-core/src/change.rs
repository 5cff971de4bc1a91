//! Writes as data: a [`Change`] commits whole, with its audit events, or not at all.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::embedder::EmbeddingModel;
use crate::id::{
    AgentName, ApiKeyId, ApprovalId, ConversationId, DataKeyId, IdempotencyKey, JobId, LeaseId, MembershipId, PolicyId,
    QuotaName, SecretName, SettingKey, TokenId, ToolGrantId, UserId, VersionId, WorkerName,
};
use crate::model::access::{ApiKey, Approval, Lease, Policy, Token, ToolGrant};
use crate::model::audit::AuditRecord;
use crate::model::conversations::NewMessage;
use crate::model::jobs::{JobState, JobStep, LlmCall, NewJob, SandboxJob};
use crate::model::secrets::{PutSecret, WrappedKey};
use crate::model::spaces::SpaceRole;
use crate::model::workspace::{ContentHash, NewVersion, Part, WorkspacePath};
use crate::setters::setters;

mod events;
mod roles;
mod validate;

pub use validate::SHORT_TEXT_BYTES;

/// Operations, what must hold for them, and the audit events that say what happened.
///
/// Every operation brings its own audit event, so that a change can't be silent.
///
/// ```
/// use ironclaw_core::change::{Change, ConversationOp};
/// use ironclaw_core::id::ConversationId;
/// use ironclaw_core::SystemClock;
///
/// let id = ConversationId::make(&SystemClock);
/// let change = Change::new().with(ConversationOp::Create { id, title: "Launch".into() });
/// assert_eq!(change.operations().len(), 1);
/// assert_eq!(change.events().len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    operations: Vec<Operation>,
    preconditions: Vec<Precondition>,
    events: Vec<AuditRecord>,
    /// The places among the events of those that no operation brought.
    reported: Vec<usize>,
    idempotency_key: Option<IdempotencyKey>,
}

impl Change {
    /// An empty change: applying it does nothing and is no error.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation and its audit event. Operations are applied in order.
    #[must_use]
    pub fn with(mut self, operation: impl Into<Operation>) -> Self {
        let operation = operation.into();
        self.events.push(operation.event());
        self.operations.push(operation);
        self
    }

    /// Adds something that must hold when the change is applied, before its first operation.
    #[must_use]
    pub fn require(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Adds a further audit event: a refusal, or what the operations alone don't say. What an application may not
    /// report ([`Action::is_reportable`](crate::model::audit::Action::is_reportable)) is refused when the change is
    /// applied.
    #[must_use]
    pub fn event(mut self, event: AuditRecord) -> Self {
        self.reported.push(self.events.len());
        self.events.push(event);
        self
    }

    /// Names the change: applied a second time under the same key, it does nothing and gives the first receipt.
    /// Another change under the same key is refused.
    #[must_use]
    pub fn idempotent(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What must hold.
    pub fn preconditions(&self) -> &[Precondition] {
        &self.preconditions
    }

    /// What is audited: the operations' events and the further ones, in the order in which they were added.
    pub fn events(&self) -> &[AuditRecord] {
        &self.events
    }

    /// The events that no operation brought.
    pub fn reported(&self) -> impl Iterator<Item = &AuditRecord> {
        self.reported.iter().filter_map(|&place| self.events.get(place))
    }

    /// The caller's name for the change.
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.idempotency_key.as_ref()
    }
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The time that the change's rows carry.
    pub at: Timestamp,
    /// For each operation the number it was given: a message's or job event's sequence, a secret's version, the new
    /// version of a conversation, job or setting; for deletes how many of what was named there were; otherwise 0.
    pub numbers: Vec<u64>,
    /// Whether this is the receipt of an earlier change under the same idempotency key.
    pub replayed: bool,
}

impl Receipt {
    /// The receipt of a change that was applied now.
    pub fn new(at: Timestamp, numbers: Vec<u64>) -> Self {
        Self { at, numbers, replayed: false }
    }
}

setters! {
    Receipt:
    replayed: bool,
}

/// One write, by category.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum Operation {
    /// On conversations.
    Conversations(ConversationOp),
    /// On the workspace.
    Workspace(WorkspaceOp),
    /// On jobs.
    Jobs(JobOp),
    /// On secrets.
    Secrets(SecretOp),
    /// On access.
    Access(AccessOp),
    /// On settings.
    Settings(SettingOp),
    /// On everything a user has.
    Privacy(PrivacyOp),
}

/// Writes on conversations.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum ConversationOp {
    /// Starts a conversation.
    Create {
        /// Its id; one that exists already is refused.
        id: ConversationId,
        /// Its title; may be empty.
        title: String,
    },
    /// Changes a conversation's title.
    Rename {
        /// The conversation.
        id: ConversationId,
        /// The new title.
        title: String,
    },
    /// Appends a message.
    AppendMessage {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: NewMessage,
    },
    /// Deletes a conversation with its messages and jobs. Deleting what is not there is no error.
    Delete {
        /// The conversation.
        id: ConversationId,
    },
}

/// Writes on the workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum WorkspaceOp {
    /// Makes an embedding model known; again is no error, with other dimensions it is a conflict.
    RegisterModel {
        /// The model.
        model: EmbeddingModel,
    },
    /// Begins an invisible version of a file.
    BeginVersion {
        /// The version.
        version: NewVersion,
    },
    /// Adds parts to a version that was begun and not yet published.
    PutParts {
        /// The version.
        version: VersionId,
        /// The parts: in order, the first where the last one put ends.
        parts: Vec<Part>,
    },
    /// Makes a version the visible one; what it replaces is gone for readers at once.
    Publish {
        /// The version.
        version: VersionId,
        /// The size of all its parts together; another is refused.
        size: u64,
        /// SHA-256 of the content.
        content_hash: ContentHash,
    },
    /// Gives up a version that was not published. Giving up what is not there is no error.
    Abandon {
        /// The version.
        version: VersionId,
    },
    /// Deletes a file. Deleting what is not there is no error.
    DeleteEntry {
        /// The path.
        path: WorkspacePath,
    },
}

/// Writes on jobs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum JobOp {
    /// Creates a job in state [`JobState::Queued`].
    Create {
        /// The job.
        job: NewJob,
    },
    /// Takes a job that is queued, or whose claim has run out, and sets it running. A job that another worker holds
    /// or that has ended is a conflict.
    Claim {
        /// The job.
        job: JobId,
        /// Who takes it.
        worker: WorkerName,
        /// Until when nobody else may.
        until: Timestamp,
    },
    /// Sets a job's state; one that has ended is a conflict.
    SetState {
        /// The job.
        job: JobId,
        /// The new state.
        state: JobState,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// Adds a step.
    AppendEvent {
        /// The job.
        job: JobId,
        /// What happened.
        step: JobStep,
    },
    /// Records a call of a language model.
    RecordLlmCall {
        /// The call.
        call: LlmCall,
    },
    /// Records a run of a sandboxed tool.
    RecordSandboxJob {
        /// The run.
        run: SandboxJob,
    },
    /// Deletes a job with all in it. Deleting what is not there is no error.
    Delete {
        /// The job.
        job: JobId,
    },
}

/// Writes on secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum SecretOp {
    /// Keeps a wrapped data key. Its number must be one more than the highest; another is a conflict.
    PutDataKey {
        /// Its id.
        id: DataKeyId,
        /// Its number.
        number: u32,
        /// The number of the root key that wraps it.
        root_key: u32,
        /// The wrapped key.
        wrapped: WrappedKey,
    },
    /// Keeps a sealed version of a secret, and counts a seal of its data key.
    Put {
        /// Metadata and the sealed value.
        secret: Box<PutSecret>,
    },
    /// Counts a use of a secret; it must exist.
    Use {
        /// The secret.
        name: SecretName,
        /// The version that is used.
        number: u32,
    },
    /// Deletes one version of a secret for good; its number is not used again. The current version is a conflict: put
    /// another first. Deleting what is not there is no error.
    DestroyVersion {
        /// The secret.
        name: SecretName,
        /// The version.
        number: u32,
    },
    /// Deletes a secret with all its versions; their numbers are not used again. Deleting what is not there is no
    /// error.
    Delete {
        /// The secret.
        name: SecretName,
    },
}

/// Writes on access.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum AccessOp {
    /// Makes or changes an agent; its policy epoch is counted up.
    PutAgent {
        /// The agent's name.
        name: AgentName,
        /// Whether it may act.
        active: bool,
    },
    /// Puts a policy in force; the agent's policy epoch is counted up.
    PutPolicy {
        /// The policy; its `valid_from` and `valid_until` are as given.
        policy: Policy,
    },
    /// Ends a policy now; the agent's policy epoch is counted up.
    RevokePolicy {
        /// The policy.
        id: PolicyId,
    },
    /// Keeps a token's hash.
    IssueToken {
        /// The token.
        token: Token,
    },
    /// Revokes a token.
    RevokeToken {
        /// The token.
        id: TokenId,
    },
    /// Keeps an API key's hash.
    MakeApiKey {
        /// The key.
        key: ApiKey,
    },
    /// Revokes an API key.
    RevokeApiKey {
        /// The key.
        id: ApiKeyId,
    },
    /// Grants a lease.
    GrantLease {
        /// The lease.
        lease: Lease,
    },
    /// Takes one use of a lease; none left, expired or revoked is a failed precondition.
    RedeemLease {
        /// The lease.
        id: LeaseId,
    },
    /// Revokes a lease.
    RevokeLease {
        /// The lease.
        id: LeaseId,
    },
    /// Asks a person.
    RequestApproval {
        /// The question.
        approval: Approval,
    },
    /// Answers; a question that was answered or has lapsed is a conflict.
    DecideApproval {
        /// The question.
        id: ApprovalId,
        /// Yes or no.
        approved: bool,
    },
    /// Grants a capability to a tool.
    GrantTool {
        /// The capability.
        grant: ToolGrant,
    },
    /// Revokes a capability of a tool.
    RevokeToolGrant {
        /// The capability.
        id: ToolGrantId,
    },
    /// Makes the space that the scope is in ([`Scope::in_space`](crate::Scope::in_space)), with the user in person as its
    /// first manager. One of that name that is there already is refused, whoever asks: its name is all that they learn.
    CreateSpace {
        /// The id of the user's membership.
        membership: MembershipId,
    },
    /// Makes a user a member of the scope's space, or gives a member another role: what the user was before ends. The last
    /// manager keeps the role: anything else is a conflict.
    PutMember {
        /// The id of the new membership.
        id: MembershipId,
        /// The user.
        user: UserId,
        /// What the user may do.
        role: SpaceRole,
    },
    /// Ends a membership of the scope's space: a manager ends anybody's, others their own. The last manager's is a conflict;
    /// one that has ended stays as it is.
    RemoveMember {
        /// The membership.
        id: MembershipId,
    },
}

/// Writes on settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum SettingOp {
    /// Sets a setting.
    Put {
        /// Its key.
        key: SettingKey,
        /// Its value.
        value: serde_json::Value,
    },
    /// Deletes a setting. Deleting what is not there is no error.
    Delete {
        /// Its key.
        key: SettingKey,
    },
    /// Uses some of a quota; more than is left is refused. A quota that nobody set is unlimited.
    ChargeQuota {
        /// The quota.
        name: QuotaName,
        /// How much.
        amount: u64,
    },
}

/// Writes on everything a user has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "an operation that a store forgot must not compile")]
pub enum PrivacyOp {
    /// Deletes the user's conversations, jobs and workspace, and the private parts of the audit events so far that are
    /// about them ([`Action::is_forgotten`](crate::model::audit::Action::is_forgotten)). Events about secrets, access
    /// and settings keep theirs.
    ///
    /// Only the user [in person](crate::Scope::is_in_person) may: an agent or tool is refused as
    /// [`StoreErrorKind::Denied`](crate::store::StoreErrorKind::Denied).
    Forget,
}

/// What must hold for a change to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "a precondition that a store forgot must not compile")]
pub enum Precondition {
    /// The row is at this version; 0 means that there is none.
    RowVersion {
        /// The row.
        row: Row,
        /// Its version.
        version: u64,
    },
    /// The agent is active and its policies are those of this epoch.
    PolicyEpoch {
        /// The agent.
        agent: AgentName,
        /// The epoch.
        epoch: u64,
    },
    /// The lease has a use left, has not expired and was not revoked.
    UsesLeft {
        /// The lease.
        lease: LeaseId,
    },
    /// No legal hold stands on the user.
    NoLegalHold,
    /// That much of the quota is left.
    Quota {
        /// The quota.
        name: QuotaName,
        /// How much.
        amount: u64,
    },
}

/// A row that counts its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "a precondition that a store forgot must not compile")]
pub enum Row {
    /// A conversation.
    Conversation(ConversationId),
    /// A job.
    Job(JobId),
    /// A secret.
    Secret(SecretName),
    /// A setting.
    Setting(SettingKey),
}

macro_rules! into_operation {
    ($($op:ident => $variant:ident),*) => {$(
        impl From<$op> for Operation {
            fn from(op: $op) -> Self {
                Self::$variant(op)
            }
        }
    )*};
}

into_operation!(
    ConversationOp => Conversations,
    WorkspaceOp => Workspace,
    JobOp => Jobs,
    SecretOp => Secrets,
    AccessOp => Access,
    SettingOp => Settings,
    PrivacyOp => Privacy
);

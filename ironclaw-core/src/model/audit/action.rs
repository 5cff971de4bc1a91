//! What was done, by its code.

use serde::{Deserialize, Serialize};

use super::Outcome;

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
    /// A space was made, with its first manager.
    SpaceCreate = 514, "access.create_space";
    /// A user was made a member of a space, or given another role in it.
    MemberPut = 515, "access.put_member";
    /// A member was removed from a space, or left it.
    MemberRemove = 516, "access.remove_member";
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
    /// A manager of a space was appointed.
    ManagerAppoint = 818, "system.appoint_manager";
    /// What the host reports of its own: a reading, a login. The details say what.
    HostEvent = 900, "host.event";
}

//! The audit event that each operation brings with it.

use super::{AccessOp, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use crate::id::JobId;
use crate::model::audit::{Action, AuditRecord, SubjectKind};

impl Operation {
    /// The event that says that this was done: ids in its public part, names in its private part, never content.
    pub fn event(&self) -> AuditRecord {
        match self {
            Self::Conversations(op) => conversations(op),
            Self::Workspace(op) => workspace(op),
            Self::Jobs(op) => jobs(op),
            Self::Secrets(op) => secrets(op),
            Self::Access(op) => access(op),
            Self::Settings(op) => settings(op),
            Self::Privacy(PrivacyOp::Forget) => AuditRecord::new(Action::Forget),
        }
    }
}

fn conversations(op: &ConversationOp) -> AuditRecord {
    let (action, id) = match op {
        ConversationOp::Create { id, .. } => (Action::ConversationCreate, id),
        ConversationOp::Rename { id, .. } => (Action::ConversationRename, id),
        ConversationOp::Delete { id } => (Action::ConversationDelete, id),
        ConversationOp::AppendMessage { conversation, message } => {
            return AuditRecord::new(Action::MessageAppend)
                .on(SubjectKind::Conversation, *conversation.as_bytes())
                .on(SubjectKind::Message, *message.id.as_bytes())
                .detail("role", message.role.as_str());
        }
    };
    AuditRecord::new(action).on(SubjectKind::Conversation, *id.as_bytes())
}

fn workspace(op: &WorkspaceOp) -> AuditRecord {
    let (action, version) = match op {
        WorkspaceOp::RegisterModel { model } => {
            return AuditRecord::new(Action::ModelRegister)
                .detail("model", model.id.as_str())
                .detail("dimensions", model.dimensions.to_string());
        }
        WorkspaceOp::DeleteEntry { path } => {
            return AuditRecord::new(Action::EntryDelete).detail("path", path.as_str());
        }
        WorkspaceOp::BeginVersion { version } => {
            return AuditRecord::new(Action::VersionBegin)
                .on(SubjectKind::Version, *version.id.as_bytes())
                .detail("path", version.path.as_str());
        }
        WorkspaceOp::PutParts { version, parts, .. } => {
            let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
            return AuditRecord::new(Action::PartsPut)
                .on(SubjectKind::Version, *version.as_bytes())
                .detail("parts", parts.len().to_string())
                .detail("bytes", bytes.to_string());
        }
        WorkspaceOp::Publish { version, size, .. } => {
            return AuditRecord::new(Action::VersionPublish)
                .on(SubjectKind::Version, *version.as_bytes())
                .detail("bytes", size.to_string());
        }
        WorkspaceOp::Abandon { version } => (Action::VersionAbandon, version),
    };
    AuditRecord::new(action).on(SubjectKind::Version, *version.as_bytes())
}

fn jobs(op: &JobOp) -> AuditRecord {
    let on = |action, job: &JobId| AuditRecord::new(action).on(SubjectKind::Job, *job.as_bytes());
    match op {
        JobOp::Create { job } => {
            let created = on(Action::JobCreate, &job.id).detail("kind", job.kind.as_str());
            match &job.conversation {
                Some(conversation) => created.on(SubjectKind::Conversation, *conversation.as_bytes()),
                None => created,
            }
        }
        JobOp::Claim { job, worker, .. } => on(Action::JobClaim, job).detail("worker", worker.as_str()),
        JobOp::SetState { job, state, .. } => on(Action::JobState, job).detail("state", state.as_str()),
        JobOp::AppendEvent { job, step } => on(Action::JobEvent, job).detail("step", step.kind()),
        JobOp::Delete { job } => on(Action::JobDelete, job),
        JobOp::RecordLlmCall { call } => on(Action::LlmCall, &call.job)
            .on(SubjectKind::LlmCall, *call.id.as_bytes())
            .detail("model", call.model.as_str()),
        JobOp::RecordSandboxJob { run } => on(Action::SandboxJob, &run.job)
            .on(SubjectKind::SandboxJob, *run.id.as_bytes())
            .detail("tool", run.tool.as_str()),
    }
}

fn secrets(op: &SecretOp) -> AuditRecord {
    match op {
        SecretOp::PutDataKey { id, .. } => {
            AuditRecord::new(Action::DataKeyMake).on(SubjectKind::DataKey, *id.as_bytes())
        }
        SecretOp::Put { secret } => AuditRecord::new(Action::SecretPut)
            .detail("secret", secret.name.as_str())
            .detail("version", secret.number.to_string()),
        SecretOp::Use { name, number } => {
            AuditRecord::new(Action::SecretUse).detail("secret", name.as_str()).detail("version", number.to_string())
        }
        SecretOp::DestroyVersion { name, number } => AuditRecord::new(Action::SecretVersionDestroy)
            .detail("secret", name.as_str())
            .detail("version", number.to_string()),
        SecretOp::Delete { name } => AuditRecord::new(Action::SecretDelete).detail("secret", name.as_str()),
    }
}

fn access(op: &AccessOp) -> AuditRecord {
    match op {
        AccessOp::PutAgent { name, active } => {
            AuditRecord::new(Action::AgentPut).detail("agent", name.as_str()).detail("active", active.to_string())
        }
        AccessOp::PutPolicy { policy } => AuditRecord::new(Action::PolicyPut)
            .on(SubjectKind::Policy, *policy.id.as_bytes())
            .detail("agent", policy.agent.as_str())
            .detail("resource", policy.resource.as_str()),
        AccessOp::RevokePolicy { id } => AuditRecord::new(Action::PolicyRevoke).on(SubjectKind::Policy, *id.as_bytes()),
        AccessOp::IssueToken { token } => AuditRecord::new(Action::TokenIssue)
            .on(SubjectKind::Token, *token.id.as_bytes())
            .detail("agent", token.agent.as_str()),
        AccessOp::RevokeToken { id } => AuditRecord::new(Action::TokenRevoke).on(SubjectKind::Token, *id.as_bytes()),
        AccessOp::MakeApiKey { key } => AuditRecord::new(Action::ApiKeyMake)
            .on(SubjectKind::ApiKey, *key.id.as_bytes())
            .detail("label", key.label.as_str()),
        AccessOp::RevokeApiKey { id } => AuditRecord::new(Action::ApiKeyRevoke).on(SubjectKind::ApiKey, *id.as_bytes()),
        AccessOp::GrantLease { lease } => AuditRecord::new(Action::LeaseGrant)
            .on(SubjectKind::Lease, *lease.id.as_bytes())
            .detail("secret", lease.secret.as_str())
            .detail("agent", lease.agent.as_str()),
        AccessOp::RedeemLease { id } => AuditRecord::new(Action::LeaseRedeem).on(SubjectKind::Lease, *id.as_bytes()),
        AccessOp::RevokeLease { id } => AuditRecord::new(Action::LeaseRevoke).on(SubjectKind::Lease, *id.as_bytes()),
        AccessOp::RequestApproval { approval } => AuditRecord::new(Action::ApprovalRequest)
            .on(SubjectKind::Approval, *approval.id.as_bytes())
            .detail("agent", approval.agent.as_str())
            .detail("action", approval.action.as_str()),
        AccessOp::DecideApproval { id, approved } => AuditRecord::new(Action::ApprovalDecide)
            .on(SubjectKind::Approval, *id.as_bytes())
            .detail("approved", approved.to_string()),
        AccessOp::GrantTool { grant } => AuditRecord::new(Action::ToolGrantPut)
            .on(SubjectKind::ToolGrant, *grant.id.as_bytes())
            .detail("tool", grant.tool.as_str())
            .detail("capability", grant.capability.as_str()),
        AccessOp::RevokeToolGrant { id } => {
            AuditRecord::new(Action::ToolGrantRevoke).on(SubjectKind::ToolGrant, *id.as_bytes())
        }
        AccessOp::CreateSpace { membership } => {
            AuditRecord::new(Action::SpaceCreate).on(SubjectKind::Membership, *membership.as_bytes())
        }
        // Not by name: whoever is erased must not be named in a space's trail, which stays.
        AccessOp::PutMember { id, role, .. } => {
            AuditRecord::new(Action::MemberPut).on(SubjectKind::Membership, *id.as_bytes()).detail("role", role.name())
        }
        AccessOp::RemoveMember { id } => {
            AuditRecord::new(Action::MemberRemove).on(SubjectKind::Membership, *id.as_bytes())
        }
    }
}

fn settings(op: &SettingOp) -> AuditRecord {
    match op {
        SettingOp::Put { key, .. } => AuditRecord::new(Action::SettingPut).detail("setting", key.as_str()),
        SettingOp::Delete { key } => AuditRecord::new(Action::SettingDelete).detail("setting", key.as_str()),
        SettingOp::ChargeQuota { name, amount } => {
            AuditRecord::new(Action::QuotaCharge).detail("quota", name.as_str()).detail("amount", amount.to_string())
        }
    }
}

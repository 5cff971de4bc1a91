//! What a member of a space must be to make a change there.

use super::{AccessOp, Change, Operation, PrivacyOp, SecretOp, SettingOp};
use crate::model::spaces::SpaceRole;

impl Change {
    /// What a member of a space must be at least to make this change there. Reporting something takes no more than being a
    /// member.
    pub fn needs(&self) -> SpaceRole {
        self.operations.iter().map(Operation::needs).max().unwrap_or(SpaceRole::Reader)
    }

    /// Whether the change makes the space that it is in.
    pub fn creates_space(&self) -> bool {
        self.operations.iter().any(|op| matches!(op, Operation::Access(AccessOp::CreateSpace { .. })))
    }
}

impl Operation {
    /// What a member of a space must be at least to do this there.
    pub fn needs(&self) -> SpaceRole {
        match self {
            Self::Conversations(_) | Self::Workspace(_) | Self::Jobs(_) => SpaceRole::Writer,
            Self::Secrets(op) => secrets(op),
            Self::Access(op) => access(op),
            Self::Settings(op) => settings(op),
            Self::Privacy(PrivacyOp::Forget) => SpaceRole::Manager,
        }
    }
}

fn secrets(op: &SecretOp) -> SpaceRole {
    match op {
        SecretOp::Use { .. } => SpaceRole::Reader,
        SecretOp::PutDataKey { .. }
        | SecretOp::Put { .. }
        | SecretOp::DestroyVersion { .. }
        | SecretOp::Delete { .. } => SpaceRole::Writer,
    }
}

fn access(op: &AccessOp) -> SpaceRole {
    match op {
        // Whose membership may be ended by whom is looked at when it is.
        AccessOp::RedeemLease { .. } | AccessOp::RemoveMember { .. } => SpaceRole::Reader,
        AccessOp::RequestApproval { .. } => SpaceRole::Writer,
        AccessOp::PutAgent { .. }
        | AccessOp::PutPolicy { .. }
        | AccessOp::RevokePolicy { .. }
        | AccessOp::IssueToken { .. }
        | AccessOp::RevokeToken { .. }
        | AccessOp::MakeApiKey { .. }
        | AccessOp::RevokeApiKey { .. }
        | AccessOp::GrantLease { .. }
        | AccessOp::RevokeLease { .. }
        | AccessOp::DecideApproval { .. }
        | AccessOp::GrantTool { .. }
        | AccessOp::RevokeToolGrant { .. }
        | AccessOp::CreateSpace { .. }
        | AccessOp::PutMember { .. } => SpaceRole::Manager,
    }
}

fn settings(op: &SettingOp) -> SpaceRole {
    match op {
        SettingOp::ChargeQuota { .. } => SpaceRole::Writer,
        SettingOp::Put { .. } | SettingOp::Delete { .. } => SpaceRole::Manager,
    }
}

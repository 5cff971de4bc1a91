//! Calls that are refused or fail before the store sees them leave an audit event, and nothing else.

use ironclaw_core::id::SecretName;
use ironclaw_core::model::audit::{Action, AuditRecord, Outcome};
use ironclaw_core::vault::{VaultError, VaultErrorKind};
use ironclaw_core::{Change, Scope};

use super::{Inner, error};

/// What a call is about, for its audit event.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) action: Action,
    pub(super) scope: &'a Scope,
    pub(super) name: &'a SecretName,
}

impl Inner {
    /// Denies everyone but the owner in person.
    pub(super) async fn check_in_person(&self, call: Call<'_>) -> Result<(), VaultError> {
        if call.scope.is_in_person() {
            return Ok(());
        }
        let context = "only the owner in person may do that, no agent and no tool";
        let denial = VaultError::new(VaultErrorKind::Denied, call.operation, context);
        Err(self.refuse(call, "not the owner in person", denial).await)
    }

    /// Audits a refusal and gives it back; what the store says instead, if it can't be audited.
    pub(super) async fn refuse(&self, call: Call<'_>, reason: &'static str, refusal: VaultError) -> VaultError {
        let outcome = match refusal.kind() {
            VaultErrorKind::Denied | VaultErrorKind::Expired => Outcome::Denied,
            _ => Outcome::Failed,
        };
        let event = AuditRecord::new(call.action)
            .with_outcome(outcome)
            .detail("secret", call.name.as_str())
            .detail("reason", reason);
        match self.store.apply(call.scope, Change::new().event(event)).await {
            Ok(_) => refusal,
            Err(e) => error::unaudited(call.operation, e),
        }
    }
}

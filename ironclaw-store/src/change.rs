//! A change, operation by operation: what each does stands with its category.

use ironclaw_core::Scope;
use ironclaw_core::change::{Change, Operation, Precondition, PrivacyOp, Row};
use ironclaw_core::search::Terms;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::sql::{Standing, Transaction};
use crate::{access, conversations, jobs, secrets, settings};

/// Applies one operation with the terms of its texts; the number is the operation's in the receipt.
pub(crate) async fn perform(
    tx: &dyn Transaction,
    scope: &Scope,
    operation: &Operation,
    terms: &[Terms],
) -> Result<u64, StoreError> {
    match operation {
        Operation::Conversations(op) => conversations::apply(tx, op, terms).await,
        Operation::Workspace(op) => tx.apply_to_workspace(op, terms).await,
        Operation::Jobs(op) => jobs::apply(tx, op).await,
        Operation::Secrets(op) => secrets::apply(tx, op).await,
        Operation::Access(op) => access::apply(tx, scope, op).await,
        Operation::Settings(op) => settings::apply(tx, op).await,
        Operation::Privacy(PrivacyOp::Forget) => {
            if !scope.is_in_person() {
                let why = "only the user in person may forget: use a scope without agents";
                return Err(tx.error(StoreErrorKind::Denied, why));
            }
            tx.check_not_held().await?;
            tx.forget().await
        }
    }
}

/// Fails unless whoever writes may make the change in the place that they write in. Every engine calls this before anything of
/// a change.
pub(crate) fn admit(tx: &dyn Transaction, change: &Change) -> Result<(), StoreError> {
    match tx.standing() {
        Standing::Own | Standing::Founder => Ok(()),
        Standing::Stranger => Err(tx.error(StoreErrorKind::AlreadyExists, "a space of this name; use another name")),
        Standing::Member(role) if role < change.needs() => {
            let why = format!("a {} of the space may not: it takes a {}", role.name(), change.needs().name());
            Err(tx.error(StoreErrorKind::Denied, why))
        }
        Standing::Member(_) => Ok(()),
    }
}

/// Says that the scope is in a space that is not there, or that the user is no member of: nobody can tell which.
pub(crate) fn no_such_space(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, operation, "the space")
}

/// Fails unless what the change goes by is so.
pub(crate) async fn check(tx: &dyn Transaction, precondition: &Precondition) -> Result<(), StoreError> {
    let failed = |why: &str| Err(tx.error(StoreErrorKind::PreconditionFailed, why));
    match precondition {
        Precondition::RowVersion { row, version } => {
            let actual = match row {
                Row::Conversation(id) => conversations::row_version(tx, *id).await?,
                Row::Job(id) => jobs::row_version(tx, *id).await?,
                Row::Secret(name) => secrets::row_version(tx, name).await?,
                Row::Setting(key) => settings::row_version(tx, key).await?,
            };
            if actual != *version {
                return failed(&format!("the row is at version {actual}; read it again and decide anew"));
            }
            Ok(())
        }
        Precondition::PolicyEpoch { agent, epoch } => access::check_policy_epoch(tx, agent, *epoch).await,
        Precondition::UsesLeft { lease } => access::check_uses_left(tx, *lease).await,
        Precondition::NoLegalHold => match tx.is_held().await? {
            true => failed("a legal hold stands on the user"),
            false => Ok(()),
        },
        Precondition::Quota { name, amount } => match settings::left(tx, name).await? {
            Some(left) if left < *amount => failed("not that much of the quota is left"),
            _ => Ok(()),
        },
    }
}

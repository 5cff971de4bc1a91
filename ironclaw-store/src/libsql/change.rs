//! A change: prepared by its caller, applied by the writer.

use ironclaw_core::change::{ConversationOp, Operation, Precondition, PrivacyOp, Row, WorkspaceOp};
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::{AuditRecord, Outcome};
use ironclaw_core::search::Terms;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Change, Limits, Receipt, Scope, Timestamp};
use sha2::{Digest, Sha256};

use super::audit::{self, PreparedEvent};
use super::db::Db;
use super::error::code;
use super::row::params;
use super::tx::Tx;
use super::users;
use super::{access, conversations, jobs, privacy, secrets, settings, workspace};

/// The name that errors give to [`Apply::apply`](ironclaw_core::store::Apply::apply).
pub(super) const APPLY: &str = "apply";

/// A change with all that could be made of it without the database.
#[derive(Debug)]
pub(super) struct Prepared {
    scope: Scope,
    change: Change,
    terms: Vec<Vec<Terms>>,
    events: Vec<PreparedEvent>,
    digest: Option<[u8; 32]>,
}

impl Prepared {
    /// Does what takes time and no database: analysis of texts, commitments, the digest of an idempotent change. What
    /// takes long is done on a thread for blocking work.
    pub(super) async fn make(scope: Scope, change: Change) -> Result<Self, StoreError> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if is_heavy(&change) => {
                let made = runtime.spawn_blocking(move || Self::new(scope, change)).await;
                made.map_err(|e| {
                    StoreError::new(StoreErrorKind::Internal, APPLY, "the runtime is shutting down").with_source(e)
                })?
            }
            _ => Self::new(scope, change),
        }
    }

    fn new(scope: Scope, change: Change) -> Result<Self, StoreError> {
        let terms = change
            .operations()
            .iter()
            .map(|operation| match operation {
                Operation::Conversations(op) => conversations::prepare(op),
                Operation::Workspace(op) => workspace::prepare(op),
                _ => Vec::new(),
            })
            .collect();
        let events = change
            .events()
            .iter()
            .map(|record| PreparedEvent::new(APPLY, record, scope.request()))
            .collect::<Result<_, _>>()?;
        let digest = match change.idempotency_key() {
            Some(_) => Some(digest(&change)?),
            None => None,
        };
        Ok(Self { scope, change, terms, events, digest })
    }

    /// Applies the change in the open transaction.
    pub(super) fn apply(&self, db: &Db, limits: &Limits, now: Timestamp) -> Result<Receipt, StoreError> {
        let user = users::find_or_make(db, self.scope.tenant().as_str(), self.scope.owner().as_str(), now)?;
        if user.status == UserStatus::Suspended {
            return Err(db.error(StoreErrorKind::Suspended, "ask the operator to make the user active again"));
        }
        let tx = Tx::new(db, user.owner_no, now, limits);
        if let Some(receipt) = self.replay(&tx)? {
            return Ok(receipt);
        }
        self.change.preconditions().iter().try_for_each(|precondition| check(&tx, precondition))?;
        let mut numbers = Vec::with_capacity(self.change.operations().len());
        for (operation, terms) in self.change.operations().iter().zip(&self.terms) {
            numbers.push(perform(&tx, &self.scope, operation, terms)?);
        }
        audit::append(db, &user, &self.scope, &self.events, now)?;
        let receipt = Receipt { at: now, numbers, replayed: false };
        self.keep(&tx, &receipt)?;
        Ok(receipt)
    }

    /// Whether a change can't fail for a reason of its own and has no effect.
    pub(super) fn is_empty(change: &Change) -> bool {
        change.operations().is_empty() && change.events().is_empty() && change.preconditions().is_empty()
    }

    /// Whether the change leaves something for the sweep.
    pub(super) fn touches_workspace(&self) -> bool {
        self.change.operations().iter().any(|op| matches!(op, Operation::Workspace(_) | Operation::Privacy(_)))
    }

    fn replay(&self, tx: &Tx<'_>) -> Result<Option<Receipt>, StoreError> {
        let (Some(key), Some(digest)) = (self.change.idempotency_key(), &self.digest) else {
            return Ok(None);
        };
        let kept = tx.db.query_row(
            "SELECT key, digest, at, numbers FROM receipts WHERE owner_no = ?1 AND key = ?2",
            params![tx.owner_no, key.as_str()],
            |row| Ok((row.bytes::<32>(1)?, Receipt { at: row.time(2)?, numbers: row.json(3)?, replayed: true })),
        )?;
        match kept {
            Some((known, _)) if known != *digest => Err(tx.error(
                StoreErrorKind::IdempotencyKeyReused,
                "another change was applied under this key; use a new key for a new change",
            )),
            Some((_, receipt)) => Ok(Some(receipt)),
            None => Ok(None),
        }
    }

    fn keep(&self, tx: &Tx<'_>, receipt: &Receipt) -> Result<(), StoreError> {
        let (Some(key), Some(digest)) = (self.change.idempotency_key(), &self.digest) else {
            return Ok(());
        };
        let numbers = serde_json::json!(receipt.numbers).to_string();
        tx.db.execute(
            "INSERT INTO receipts (owner_no, key, digest, at, numbers) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![tx.owner_no, key.as_str(), digest, receipt.at, numbers],
        )?;
        Ok(())
    }

    /// What is to be audited of this change when it failed for a reason of its own.
    pub(super) fn failure(&self, error: &StoreError, limits: &Limits) -> Result<Failure, StoreError> {
        Failure::new(self.scope.clone(), &self.change, error, limits)
    }
}

/// A change that failed for a reason of its own: what is audited of it.
#[derive(Debug)]
pub(super) struct Failure {
    scope: Scope,
    events: Vec<PreparedEvent>,
}

impl Failure {
    pub(super) fn new(scope: Scope, change: &Change, error: &StoreError, limits: &Limits) -> Result<Self, StoreError> {
        let outcome = match error.kind() {
            StoreErrorKind::Suspended | StoreErrorKind::LegalHold | StoreErrorKind::Denied => Outcome::Denied,
            _ => Outcome::Failed,
        };
        let fail = |record: &AuditRecord| {
            let mut record = record.clone();
            if record.outcome == Outcome::Success {
                record.outcome = outcome;
            }
            if Change::new().event(record.clone()).validate(limits).is_err() {
                record.details.clear();
            }
            record.detail("error", code(error.kind()))
        };
        // A change of too many operations is audited as far as one of the largest size would be.
        let events = change
            .events()
            .iter()
            .take(limits.operations)
            .map(|record| PreparedEvent::new(APPLY, &fail(record), scope.request()))
            .collect::<Result<_, _>>()?;
        Ok(Self { scope, events })
    }

    /// Records the failure in the open transaction.
    pub(super) fn record(&self, db: &Db, now: Timestamp) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let user = users::find_or_make(db, self.scope.tenant().as_str(), self.scope.owner().as_str(), now)?;
        audit::append(db, &user, &self.scope, &self.events, now)
    }
}

/// Whether the change has more text than an executor's thread should be kept busy with: a few milliseconds' worth.
fn is_heavy(change: &Change) -> bool {
    let bytes = |operation: &Operation| match operation {
        Operation::Conversations(ConversationOp::AppendMessage { message, .. }) => message.content.len(),
        Operation::Workspace(WorkspaceOp::PutParts { parts, .. }) => parts.iter().map(|part| part.bytes.len()).sum(),
        _ => 256,
    };
    change.operations().iter().map(bytes).sum::<usize>() > 64 << 10
}

fn digest(change: &Change) -> Result<[u8; 32], StoreError> {
    let whole = (change.operations(), change.preconditions(), change.events());
    let bytes = serde_json::to_vec(&whole).map_err(|e| {
        StoreError::new(StoreErrorKind::Internal, APPLY, "the change could not be serialised").with_source(e)
    })?;
    Ok(Sha256::digest(bytes).into())
}

fn perform(tx: &Tx<'_>, scope: &Scope, operation: &Operation, terms: &[Terms]) -> Result<u64, StoreError> {
    match operation {
        Operation::Conversations(op) => conversations::apply(tx, op, terms),
        Operation::Workspace(op) => workspace::apply(tx, op, terms),
        Operation::Jobs(op) => jobs::apply(tx, op),
        Operation::Secrets(op) => secrets::apply(tx, op),
        Operation::Access(op) => access::apply(tx, op),
        Operation::Settings(op) => settings::apply(tx, op),
        Operation::Privacy(PrivacyOp::Forget) => privacy::forget(tx, scope),
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

fn check(tx: &Tx<'_>, precondition: &Precondition) -> Result<(), StoreError> {
    let failed = |why: &str| Err(tx.error(StoreErrorKind::PreconditionFailed, why));
    match precondition {
        Precondition::RowVersion { row, version } => {
            let actual = match row {
                Row::Conversation(id) => conversations::row_version(tx, *id)?,
                Row::Job(id) => jobs::row_version(tx, *id)?,
                Row::Secret(name) => secrets::row_version(tx, name)?,
                Row::Setting(key) => settings::row_version(tx, key)?,
                _ => return Err(tx.error(StoreErrorKind::Internal, "a row that this store does not know")),
            };
            if actual != *version {
                return failed(&format!("the row is at version {actual}; read it again and decide anew"));
            }
            Ok(())
        }
        Precondition::PolicyEpoch { agent, epoch } => access::check_policy_epoch(tx, agent, *epoch),
        Precondition::UsesLeft { lease } => access::check_uses_left(tx, *lease),
        Precondition::NoLegalHold => match tx.is_held()? {
            true => failed("a legal hold stands on the user"),
            false => Ok(()),
        },
        Precondition::Quota { name, amount } => match settings::left(tx, name)? {
            Some(left) if left < *amount => failed("not that much of the quota is left"),
            _ => Ok(()),
        },
        _ => Err(tx.error(StoreErrorKind::Internal, "a precondition that this store does not know")),
    }
}

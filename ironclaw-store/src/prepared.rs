//! A change, with all that can be made of it before a database is asked.

use ironclaw_core::audit::private_bytes;
use ironclaw_core::change::{AccessOp, ConversationOp, Operation, WorkspaceOp};
use ironclaw_core::id::IdempotencyKey;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::audit::{Action, AuditPrivate, AuditRecord, Outcome, Subject};
use ironclaw_core::model::conversations::Role;
use ironclaw_core::scope::{Principal, RequestContext};
use ironclaw_core::search::{Terms, analyze};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Change, Limits, Scope};
use sha2::{Digest, Sha256};

use crate::cursor::hex;
use crate::error::code;
use crate::heavy::apart;
use crate::random::random;

/// The name that errors give to [`Apply::apply`](ironclaw_core::store::Apply::apply).
pub(crate) const APPLY: &str = "apply";

/// A change with all that could be made of it without the database.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) scope: Scope,
    pub(crate) change: Change,
    /// For each operation the terms of its texts, in their order.
    pub(crate) terms: Vec<Vec<Terms>>,
    pub(crate) events: Vec<PreparedEvent>,
    /// What the change is kept as, if it has an idempotency key.
    pub(crate) kept: Option<KeptAs>,
}

/// What a change with an idempotency key is kept as.
#[derive(Debug)]
pub(crate) struct KeptAs {
    pub(crate) key: String,
    /// Of the change.
    pub(crate) digest: [u8; 32],
}

impl KeptAs {
    fn new(scope: &Scope, change: &Change, key: &IdempotencyKey) -> Result<Self, StoreError> {
        // In a space each member has keys of their own, which say nothing of who that is.
        let key = match scope.space() {
            None => key.as_str().to_owned(),
            Some(_) => {
                let person = scope.person().as_str();
                let length = (person.len() as u64).to_be_bytes();
                let hash =
                    Sha256::new().chain_update(length).chain_update(person).chain_update(key.as_str()).finalize();
                hex(&hash)
            }
        };
        Ok(Self { key, digest: digest(change)? })
    }
}

impl Prepared {
    /// Does what takes time and no database: analysis of texts, private parts, the digest of an idempotent change. What
    /// takes long is done on a thread for blocking work.
    pub(crate) async fn make(scope: Scope, change: Change) -> Result<Self, StoreError> {
        let bytes = text_bytes(&change);
        apart(APPLY, bytes, move || Self::new(scope, change)).await
    }

    fn new(scope: Scope, change: Change) -> Result<Self, StoreError> {
        let terms = change.operations().iter().map(terms).collect();
        let events = change
            .events()
            .iter()
            .map(|record| PreparedEvent::new(APPLY, record, scope.request()))
            .collect::<Result<_, _>>()?;
        let kept = change.idempotency_key().map(|key| KeptAs::new(&scope, &change, key)).transpose()?;
        Ok(Self { scope, change, terms, events, kept })
    }

    /// Whether a change can't fail for a reason of its own and has no effect.
    pub(crate) fn is_empty(change: &Change) -> bool {
        change.operations().is_empty() && change.events().is_empty() && change.preconditions().is_empty()
    }

    /// The key of the receipt that says how many rows went, of a change that forgets more than one transaction removes:
    /// the change's own, or one that nobody can guess.
    #[cfg(feature = "libsql")]
    pub(crate) fn promise(&self) -> Option<String> {
        let forgetting = self.events.iter().find(|event| event.is_forgetting())?;
        match &self.kept {
            Some(kept) => Some(kept.key.clone()),
            None => Some(format!("forgotten-{}", hex(&forgetting.salt))),
        }
    }

    /// What is to be audited of this change when it failed for a reason of its own.
    pub(crate) fn failure(&self, error: &StoreError, limits: &Limits) -> Result<Failure, StoreError> {
        Failure::new(&self.scope, &self.change, error, limits)
    }
}

/// Refuses what no store accepts, before anything is read.
pub(crate) fn check(scope: &Scope, change: &Change, limits: &Limits) -> Result<(), StoreError> {
    let checked = scope.validate().and_then(|()| change.validate(limits)).and_then(|()| check_place(scope, change));
    checked.map_err(|refused| StoreError::invalid_input(APPLY, refused))
}

/// Refuses what is done to a space outside of any.
fn check_place(scope: &Scope, change: &Change) -> Result<(), InputError> {
    let is_of_spaces = |operation: &Operation| {
        use AccessOp::{CreateSpace, PutMember, RemoveMember};
        matches!(operation, Operation::Access(CreateSpace { .. } | PutMember { .. } | RemoveMember { .. }))
    };
    if scope.space().is_none() && change.operations().iter().any(is_of_spaces) {
        return Err(InputError::new("scope", Problem::Malformed { expected: "one in a space: scope.in_space(name)" }));
    }
    Ok(())
}

/// The most events that a failed change leaves; the last one says how many it stands for.
const FAILURE_EVENTS: usize = 32;

/// A change that failed for a reason of its own: what is audited of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) scope: Scope,
    pub(crate) events: Vec<PreparedEvent>,
}

impl Failure {
    pub(crate) fn new(scope: &Scope, change: &Change, error: &StoreError, limits: &Limits) -> Result<Self, StoreError> {
        let outcome = match error.kind() {
            StoreErrorKind::Suspended | StoreErrorKind::LegalHold | StoreErrorKind::Denied => Outcome::Denied,
            _ => Outcome::Failed,
        };
        let left_out = change.events().len().saturating_sub(FAILURE_EVENTS);
        let events = change.events().iter().take(FAILURE_EVENTS).enumerate().map(|(place, record)| {
            let mut record = failed(record, outcome, limits).detail("error", code(error.kind()));
            if left_out > 0 && place + 1 == FAILURE_EVENTS {
                record = record.detail("further events left out", left_out.to_string());
            }
            PreparedEvent::new(APPLY, &record, scope.request())
        });
        Ok(Self { events: events.collect::<Result<_, _>>()?, scope: within_bounds(scope) })
    }
}

/// The event of what was not done. Of what was refused of the event itself nothing is kept but that it was tried.
fn failed(record: &AuditRecord, outcome: Outcome, limits: &Limits) -> AuditRecord {
    let mut failed = record.clone();
    if failed.outcome == Outcome::Success {
        failed.outcome = outcome;
    }
    if !failed.action.is_reportable(failed.outcome) {
        return AuditRecord::new(Action::HostEvent).with_outcome(failed.outcome).detail("action", failed.action.name());
    }
    if Change::new().event(failed.clone()).validate(limits).is_err() {
        failed.details.clear();
        failed.subjects.truncate(AuditRecord::SUBJECTS);
    }
    failed
}

/// The scope, with as many of those who act in it as an event has room for.
fn within_bounds(scope: &Scope) -> Scope {
    if scope.validate().is_ok() {
        return scope.clone();
    }
    let user = scope.in_person();
    let acting = scope.chain().iter().skip(1).filter(|principal| !matches!(principal, Principal::User(_)));
    acting.take(Scope::PRINCIPALS - 1).fold(user, |scope, principal| scope.acting(principal.clone()))
}

/// An event with all that does not depend on its place in the chain.
#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) salt: [u8; 32],
    pub(crate) private: Vec<u8>,
}

impl PreparedEvent {
    pub(crate) fn new(
        operation: &'static str,
        record: &AuditRecord,
        request: &RequestContext,
    ) -> Result<Self, StoreError> {
        let private = private_bytes(&AuditPrivate::new(record.details.clone(), request.clone()));
        let salt = random(operation)?;
        let subjects = record.subjects.clone();
        Ok(Self { action: record.action, outcome: record.outcome, subjects, salt, private })
    }

    /// Whether it says that something was forgotten.
    #[cfg(feature = "libsql")]
    pub(crate) fn is_forgetting(&self) -> bool {
        self.action == Action::Forget && self.outcome == Outcome::Success
    }
}

/// Whether messages of this role are found by their words: what users and assistants say.
pub(crate) fn is_searched(role: Role) -> bool {
    matches!(role, Role::User | Role::Assistant)
}

/// The terms of a message that is searched, or of each chunk of all parts of a version, in order.
fn terms(operation: &Operation) -> Vec<Terms> {
    match operation {
        Operation::Conversations(ConversationOp::AppendMessage { message, .. }) if is_searched(message.role) => {
            vec![analyze(&message.content)]
        }
        Operation::Workspace(WorkspaceOp::PutParts { parts, .. }) => parts
            .iter()
            .flat_map(|part| part.chunks.iter().map(|chunk| part.chunk_text(chunk.start, chunk.end)))
            .map(|text| analyze(text.unwrap_or_default()))
            .collect(),
        _ => Vec::new(),
    }
}

/// About how many bytes of text are gone through.
fn text_bytes(change: &Change) -> usize {
    let bytes = |operation: &Operation| match operation {
        Operation::Conversations(ConversationOp::AppendMessage { message, .. }) => message.content.len(),
        Operation::Workspace(WorkspaceOp::PutParts { parts, .. }) => parts.iter().map(|part| part.bytes.len()).sum(),
        _ => 256,
    };
    change.operations().iter().map(bytes).sum()
}

fn digest(change: &Change) -> Result<[u8; 32], StoreError> {
    let whole = (change.operations(), change.preconditions(), change.events());
    let bytes = serde_json::to_vec(&whole).map_err(|e| {
        StoreError::new(StoreErrorKind::Internal, APPLY, "the change could not be serialised").with_source(e)
    })?;
    Ok(Sha256::digest(bytes).into())
}

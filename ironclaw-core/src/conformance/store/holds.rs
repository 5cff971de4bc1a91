//! What a legal hold protects from being overwritten, and what it lets go on.

use std::time::Duration;

use super::fixtures::{File, apply, conversation, saying, setting};
use super::snapshot::{assert_same, snapshot};
use super::system::{place_hold, release_hold};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, refused};
use crate::id::{ApprovalId, VersionId, WorkerName};
use crate::model::jobs::{JobState, JobStep};
use crate::model::workspace::{ContentHash, NewVersion};
use crate::store::StoreErrorKind;

/// Every operation that puts a value in the place of another, which would be lost. Each is a change that works without
/// a hold.
fn overwriting(world: &World) -> [Change; 3] {
    let (id, path) = (VersionId::make(&SystemClock), world.path.clone());
    let version = NewVersion { id, path, metadata: serde_json::Value::Null, embedding_model: None };
    let change = |operation: Operation| Change::new().with(operation);
    [
        change(ConversationOp::Rename { id: world.conversation, title: "another".into() }.into()),
        change(SettingOp::Put { key: world.setting.clone(), value: "another".into() }.into()),
        change(WorkspaceOp::BeginVersion { version }.into()).with(WorkspaceOp::Publish {
            version: id,
            size: 0,
            content_hash: ContentHash::of(b""),
        }),
    ]
}

pub(super) async fn hold_stops_overwriting(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let world = World::new(t.now())?;
    for scope in [&ada, &bob] {
        world.seed(&*t.store, scope).await?;
    }
    let hold = place_hold(&t, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    for change in overwriting(&world) {
        refused(t.store.apply(&ada, change.clone()).await, StoreErrorKind::LegalHold);
        refused(t.store.apply(&ada, change.with(setting("x", 1)?)).await, StoreErrorKind::LegalHold);
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    }
    t.store.audit().verify(&ada).await?;
    for change in overwriting(&world) {
        t.store.apply(&bob, change).await?;
    }
    release_hold(&t, hold).await?;
    for change in overwriting(&world) {
        t.store.apply(&ada, change).await?;
    }
    Ok(())
}

pub(super) async fn hold_lets_what_loses_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let first = t.store.secrets().secret_version(&ada, &world.secret, Some(1)).await?.present()?;
    place_hold(&t, &ada).await?;
    // What is added.
    let other = conversation(&*t.store, &ada).await?;
    let question = ApprovalId::make(&SystemClock);
    let (worker, until) = (WorkerName::parse("another")?, t.now().after(Duration::from_secs(60)));
    File::new("another.md", "text")?.write(&*t.store, &ada).await?;
    let operations: Vec<Operation> = vec![
        saying(other, "text").into(),
        saying(world.conversation, "text").into(),
        setting("another", 1)?.into(),
        // A secret must be exchanged when it has leaked: the version before stays.
        SecretOp::Put { secret: Box::new(world.put_secret(3)) }.into(),
        SecretOp::Use { name: world.secret.clone(), number: 3 }.into(),
        // What was never published has never been seen, and its bytes stay until the hold is released.
        WorkspaceOp::Abandon { version: world.staged }.into(),
        // A job's progress, and counters.
        JobOp::AppendEvent { job: world.job, step: JobStep::Note { text: "text".into() } }.into(),
        JobOp::SetState { job: world.job, state: JobState::Queued, error: None }.into(),
        JobOp::Claim { job: world.job, worker, until }.into(),
        SettingOp::ChargeQuota { name: world.quota.clone(), amount: 1 }.into(),
        // Access is taken back whatever stands, and the audit trail tells of it.
        AccessOp::RequestApproval { approval: world.new_approval(question) }.into(),
        AccessOp::DecideApproval { id: question, approved: false }.into(),
        AccessOp::RedeemLease { id: world.lease }.into(),
        AccessOp::RevokeLease { id: world.lease }.into(),
        AccessOp::RevokeToken { id: world.token }.into(),
        AccessOp::RevokeApiKey { id: world.api_key }.into(),
        AccessOp::RevokeToolGrant { id: world.grant }.into(),
        AccessOp::RevokePolicy { id: world.policy }.into(),
        AccessOp::PutAgent { name: world.agent.clone(), active: false }.into(),
    ];
    for operation in operations {
        let name = operation.event().action.name();
        apply(&*t.store, &ada, operation).await.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    }
    let kept = t.store.secrets().secret_version(&ada, &world.secret, Some(1)).await?.present()?;
    assert_eq!(kept, first, "the version before stays");
    Ok(())
}

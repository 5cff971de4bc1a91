use super::fixtures::{apply, conversation, lease, saying, setting};
use super::settings::put_quota;
use super::snapshot::{assert_same, snapshot};
use super::system::{place_hold, release_hold};
use super::world::World;
use super::{StoreSubject, tenant_user, user};
use crate::change::{AccessOp, Change, ConversationOp, Operation, Precondition, Row, SettingOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, at_once, refused};
use crate::id::{ConversationId, IdempotencyKey, QuotaName, SettingKey};
use crate::model::audit::{Action, AuditFilter, AuditRecord, Outcome as Audited};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn whole_or_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    // The user is known before, so that the first writing does not make the difference.
    apply(&*t.store, &ada, setting("before", true)?).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    let missing = ConversationOp::Rename { id: ConversationId::make(&SystemClock), title: "x".into() };
    let operations = world.operations()?;
    for count in 1..=operations.len() {
        let change = operations[..count].iter().cloned().fold(Change::new(), Change::with).with(missing.clone());
        refused(t.store.apply(&ada, change).await, StoreErrorKind::NotFound);
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    }
    let failed = AuditFilter { outcome: Some(Audited::Failed), ..AuditFilter::default() };
    let mut events = 0;
    let page = PageRequest::first(PageRequest::MAX)?;
    events += t.store.audit().events(&ada, &failed, &page).await?.items.len();
    assert!(events >= operations.len(), "{events} failures are audited, not {}", operations.len());
    t.store.audit().verify(&ada).await?;
    // All of it in one change, and it is there.
    let whole = operations.iter().cloned().fold(Change::new(), Change::with);
    assert_eq!(t.store.apply(&ada, whole).await?.numbers.len(), operations.len());
    let (apart, other) = (user("apart")?, snapshot(&*t.store, &ada, &world).await?);
    world.seed(&*t.store, &apart).await?;
    let seeded = snapshot(&*t.store, &apart, &world).await?;
    assert_eq!(seeded["conversations::search_messages"].len() > 2, other["conversations::search_messages"].len() > 2);
    assert_eq!(seeded["workspace::search_vectors"], other["workspace::search_vectors"]);
    Ok(())
}

pub(super) async fn empty_change_does_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let receipt = t.store.apply(&ada, Change::new()).await?;
    assert_eq!((receipt.numbers.len(), receipt.replayed), (0, false));
    assert_eq!(t.store.audit().head(&ada).await?, None);
    Ok(())
}

pub(super) async fn operations_see_those_before(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = ConversationId::make(&SystemClock);
    let change = Change::new()
        .with(ConversationOp::Create { id, title: "one".into() })
        .with(saying(id, "first"))
        .with(ConversationOp::Rename { id, title: "two".into() })
        .with(saying(id, "second"))
        .with(ConversationOp::Delete { id })
        .with(ConversationOp::Create { id, title: "three".into() })
        .with(saying(id, "third"));
    let receipt = t.store.apply(&ada, change).await?;
    assert_eq!((receipt.numbers[1], receipt.numbers[3], receipt.numbers[6]), (1, 2, 1));
    let found = t.store.conversations().conversation(&ada, id).await?.present()?;
    assert_eq!((found.title.as_str(), found.messages), ("three", 1));
    let created = Change::new()
        .with(ConversationOp::Create { id: ConversationId::make(&SystemClock), title: String::new() })
        .require(Precondition::RowVersion { row: Row::Conversation(ConversationId::make(&SystemClock)), version: 0 });
    t.store.apply(&ada, created).await?;
    Ok(())
}

pub(super) async fn receipt_numbers(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let change = Change::new()
        .with(saying(id, "x"))
        .with(setting("a", 1)?)
        .with(setting("a", 2)?)
        .with(SettingOp::Delete { key: SettingKey::parse("a")? })
        .with(SettingOp::Delete { key: SettingKey::parse("a")? })
        .with(SettingOp::ChargeQuota { name: QuotaName::parse("q")?, amount: 7 });
    let receipt = t.store.apply(&ada, change).await?;
    assert_eq!(receipt.numbers, [1, 1, 2, 1, 0, 0]);
    assert!(!receipt.replayed);
    Ok(())
}

fn version(row: Row, version: u64) -> Precondition {
    Precondition::RowVersion { row, version }
}

pub(super) async fn row_version_is_required(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let versions = [
        (
            Row::Conversation(world.conversation),
            t.store.conversations().conversation(&ada, world.conversation).await?.present()?.version,
        ),
        (Row::Job(world.job), t.store.jobs().job(&ada, world.job).await?.present()?.version),
        (Row::Secret(world.secret.clone()), t.store.secrets().secret(&ada, &world.secret).await?.present()?.version),
        (
            Row::Setting(world.setting.clone()),
            t.store.settings().setting(&ada, &world.setting).await?.present()?.version,
        ),
    ];
    for (n, (row, current)) in versions.into_iter().enumerate() {
        let key = format!("written {n}");
        for wrong in [0, current - 1, current + 1, u64::MAX] {
            if wrong == current {
                continue;
            }
            let change = Change::new().with(setting(&key, 1)?).require(version(row.clone(), wrong));
            refused(t.store.apply(&ada, change).await, StoreErrorKind::PreconditionFailed);
            assert_eq!(t.store.settings().setting(&ada, &SettingKey::parse(key.clone())?).await?, None);
        }
        t.store.apply(&ada, Change::new().with(setting(&key, 1)?).require(version(row, current))).await?;
    }
    Ok(())
}

pub(super) async fn row_version_zero_means_absent(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let row = Row::Setting(SettingKey::parse("a")?);
    let create = Change::new().with(setting("a", 1)?).require(version(row.clone(), 0));
    t.store.apply(&ada, create.clone()).await?;
    refused(t.store.apply(&ada, create).await, StoreErrorKind::PreconditionFailed);
    let update = Change::new().with(setting("b", 1)?).require(version(Row::Setting(SettingKey::parse("b")?), 1));
    refused(t.store.apply(&ada, update).await, StoreErrorKind::PreconditionFailed);
    Ok(())
}

pub(super) async fn policy_epoch_is_required(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let agent = World::new(t.now())?.agent;
    let put = |active| AccessOp::PutAgent { name: agent.clone(), active };
    let require = |epoch| {
        let agent = agent.clone();
        Ok::<_, Failure>(Change::new().with(setting("a", 1)?).require(Precondition::PolicyEpoch { agent, epoch }))
    };
    for epoch in [0, 1] {
        refused(t.store.apply(&ada, require(epoch)?).await, StoreErrorKind::PreconditionFailed);
    }
    apply(&*t.store, &ada, put(true)).await?;
    let epoch = t.store.access().agent(&ada, &agent).await?.present()?.policy_epoch;
    refused(t.store.apply(&ada, require(epoch + 1)?).await, StoreErrorKind::PreconditionFailed);
    t.store.apply(&ada, require(epoch)?).await?;
    apply(&*t.store, &ada, put(false)).await?;
    let epoch = t.store.access().agent(&ada, &agent).await?.present()?.policy_epoch;
    refused(t.store.apply(&ada, require(epoch)?).await, StoreErrorKind::PreconditionFailed);
    Ok(())
}

pub(super) async fn uses_left_is_required(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = lease(&*t.store, &ada, 1, t.now()).await?.id;
    let require =
        || Ok::<_, Failure>(Change::new().with(setting("a", 1)?).require(Precondition::UsesLeft { lease: id }));
    t.store.apply(&ada, require()?).await?;
    // It is checked before the first operation, and does not take a use itself.
    t.store.apply(&ada, require()?.with(AccessOp::RedeemLease { id })).await?;
    refused(t.store.apply(&ada, require()?).await, StoreErrorKind::PreconditionFailed);
    Ok(())
}

pub(super) async fn no_legal_hold_is_required(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let change = || Ok::<_, Failure>(Change::new().with(setting("a", 1)?).require(Precondition::NoLegalHold));
    t.store.apply(&ada, change()?).await?;
    let hold = place_hold(&t, &ada).await?;
    let refusal = t.store.apply(&ada, change()?).await.map_err(|e| e.kind().clone());
    let held = [StoreErrorKind::LegalHold, StoreErrorKind::PreconditionFailed];
    assert!(refusal.as_ref().is_err_and(|kind| held.contains(kind)), "{refusal:?}");
    apply(&*t.store, &ada, setting("b", 2)?).await?;
    release_hold(&t, hold).await?;
    t.store.apply(&ada, change()?).await?;
    Ok(())
}

pub(super) async fn quota_is_required(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = QuotaName::parse("tokens")?;
    let require = |amount| {
        let name = name.clone();
        Ok::<_, Failure>(Change::new().with(setting("a", 1)?).require(Precondition::Quota { name, amount }))
    };
    t.store.apply(&ada, require(u64::MAX)?).await?;
    put_quota(&t, &ada, &name, 5).await?;
    t.store.apply(&ada, require(5)?).await?;
    t.store.apply(&ada, require(5)?).await?;
    let refusal = t.store.apply(&ada, require(6)?).await.map_err(|e| e.kind().clone());
    let exceeded = [StoreErrorKind::QuotaExceeded, StoreErrorKind::PreconditionFailed];
    assert!(refusal.as_ref().is_err_and(|kind| exceeded.contains(kind)), "{refusal:?}");
    assert_eq!(t.store.settings().quota(&ada, &name).await?.present()?.used, 0, "requiring is not charging");
    Ok(())
}

pub(super) async fn same_key_is_replayed(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let change = Change::new().with(saying(id, "once")).with(setting("a", 1)?).idempotent(IdempotencyKey::parse("k")?);
    let first = t.store.apply(&ada, change.clone()).await?;
    assert!(!first.replayed);
    apply(&*t.store, &ada, setting("a", 2)?).await?;
    let head = t.store.audit().head(&ada).await?;
    for _ in 0..2 {
        let again = t.store.apply(&ada, change.clone()).await?;
        assert!(again.replayed);
        assert_eq!((again.at, &again.numbers), (first.at, &first.numbers));
    }
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 1);
    assert_eq!(t.store.settings().setting(&ada, &SettingKey::parse("a")?).await?.present()?.version, 2);
    assert_eq!(t.store.audit().head(&ada).await?, head, "what does nothing leaves no event of success");
    Ok(())
}

pub(super) async fn same_key_another_change_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let key = IdempotencyKey::parse("k")?;
    let with = |operation: Operation| Change::new().with(operation).idempotent(key.clone());
    t.store.apply(&ada, with(setting("a", 1)?.into())).await?;
    for other in [setting("a", 2)?, setting("b", 1)?] {
        refused(t.store.apply(&ada, with(other.into())).await, StoreErrorKind::IdempotencyKeyReused);
    }
    let audited = with(setting("a", 1)?.into()).event(AuditRecord::new(Action::HostEvent));
    refused(t.store.apply(&ada, audited).await, StoreErrorKind::IdempotencyKeyReused);
    let required = with(setting("a", 1)?.into()).require(Precondition::NoLegalHold);
    refused(t.store.apply(&ada, required).await, StoreErrorKind::IdempotencyKeyReused);
    let found = t.store.settings().settings(&ada, &PageRequest::default()).await?.items;
    assert_eq!((found.len(), found[0].version), (1, 1));
    Ok(())
}

pub(super) async fn keys_of_two_users_never_meet(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let key = IdempotencyKey::parse("k")?;
    for (n, scope) in [user("ada")?, user("bob")?, tenant_user("other", "ada")?].iter().enumerate() {
        let change = Change::new().with(setting("a", n)?).idempotent(key.clone());
        assert!(!t.store.apply(scope, change).await?.replayed);
    }
    Ok(())
}

pub(super) async fn failed_change_keeps_no_key(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = ConversationId::make(&SystemClock);
    let change = Change::new().with(saying(id, "x")).idempotent(IdempotencyKey::parse("k")?);
    refused(t.store.apply(&ada, change.clone()).await, StoreErrorKind::NotFound);
    apply(&*t.store, &ada, ConversationOp::Create { id, title: String::new() }).await?;
    assert!(!t.store.apply(&ada, change).await?.replayed, "the retry of a failed change is its first time");
    Ok(())
}

pub(super) async fn same_key_at_once_applies_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let change = Change::new().with(saying(id, "once")).idempotent(IdempotencyKey::parse("k")?);
    let receipts = at_once(20, |_| {
        let (store, ada, change) = (t.store.clone(), ada.clone(), change.clone());
        async move { store.apply(&ada, change).await }
    })
    .await?;
    let mut fresh = 0;
    for receipt in receipts {
        let receipt = receipt?;
        assert_eq!(receipt.numbers, [1]);
        fresh += usize::from(!receipt.replayed);
    }
    assert_eq!(fresh, 1);
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 1);
    Ok(())
}

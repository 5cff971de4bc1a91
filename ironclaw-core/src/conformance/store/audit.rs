use std::collections::BTreeSet;
use std::time::Duration;

use super::fixtures::{apply, conversation, saying, setting};
use super::world::World;
use super::{StoreSubject, Tampering, user, with_agent};
use crate::audit::{ChainError, ChainVerifier};
use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::{Clock, SystemClock};
use crate::conformance::check::{Failure, Outcome, Present, all_pages, refused};
use crate::conformance::text::hostile;
use crate::id::{ConversationId, MembershipId};
use crate::model::audit::{
    Action, AuditEntry, AuditFilter, AuditRecord, Outcome as Audited, PrincipalKind, SubjectKind,
};
use crate::model::spaces::SpaceRole;
use crate::page::PageRequest;
use crate::scope::{Principal, RequestContext, Scope};
use crate::store::{Store, StoreError, StoreErrorKind};

/// All events of the owner.
pub(super) async fn events(store: &dyn Store, scope: &Scope) -> Result<Vec<AuditEntry>, Failure> {
    Ok(all_pages!(1_000, |page| store.audit().events(scope, &AuditFilter::default(), page)))
}

/// What ends everything in a world, operation by operation.
pub(super) fn endings(world: &World) -> Vec<Operation> {
    vec![
        WorkspaceOp::Abandon { version: world.staged }.into(),
        WorkspaceOp::DeleteEntry { path: world.path.clone() }.into(),
        JobOp::SetState { job: world.job, state: crate::model::jobs::JobState::Succeeded, error: None }.into(),
        JobOp::Delete { job: world.job }.into(),
        ConversationOp::Delete { id: world.conversation }.into(),
        SecretOp::DestroyVersion { name: world.secret.clone(), number: 1 }.into(),
        SecretOp::Delete { name: world.secret.clone() }.into(),
        AccessOp::RevokePolicy { id: world.policy }.into(),
        AccessOp::RevokeToken { id: world.token }.into(),
        AccessOp::RevokeApiKey { id: world.api_key }.into(),
        AccessOp::RevokeLease { id: world.lease }.into(),
        AccessOp::DecideApproval { id: world.open_approval, approved: false }.into(),
        AccessOp::RevokeToolGrant { id: world.grant }.into(),
        SettingOp::Delete { key: world.setting.clone() }.into(),
    ]
}

pub(super) async fn every_operation_leaves_its_event(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let mut operations = world.operations()?;
    operations.extend(endings(&world));
    let mut receipts = Vec::new();
    let before = SystemClock.now();
    for operation in &operations {
        receipts.push(apply(&*t.store, &ada, operation.clone()).await?);
    }
    let after = SystemClock.now();
    let found = events(&*t.store, &ada).await?;
    assert_eq!(found.len(), operations.len());
    for ((entry, operation), receipt) in found.iter().zip(&operations).zip(&receipts) {
        let record = operation.event();
        assert_eq!(entry.event.action, record.action);
        assert_eq!(entry.event.outcome, Audited::Success);
        assert_eq!(entry.event.subjects, record.subjects);
        assert_eq!(entry.private.as_ref().present()?.details, record.details, "{}", record.action.name());
        // A server keeps the trail by its own clock, whatever clock the rows' time comes from.
        let time = entry.event.time;
        assert!(time == receipt.at || (before..=after).contains(&time), "{time} is not {}", receipt.at);
    }
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    let team = ada.in_space("team")?;
    let [first, second] = [0; 2].map(|_| MembershipId::make(&SystemClock));
    for operation in [
        AccessOp::CreateSpace { membership: first },
        AccessOp::PutMember { id: second, user: "bob".parse()?, role: SpaceRole::Reader },
        AccessOp::RemoveMember { id: second },
    ] {
        apply(&*t.store, &team, operation).await?;
    }
    let mut all = events(&*t.store, &ada).await?;
    all.extend(events(&*t.store, &team).await?);
    let covered: BTreeSet<u16> = all.iter().map(|e| e.event.action.code()).collect();
    let missing: Vec<&str> =
        Action::ALL.iter().filter(|a| a.code() < 800 && !covered.contains(&a.code())).map(|a| a.name()).collect();
    assert_eq!(missing, Vec::<&str>::new(), "this suite tries every operation");
    Ok(())
}

pub(super) async fn failure_is_audited(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = ConversationId::make(&SystemClock);
    let rename = ConversationOp::Rename { id, title: "x".into() };
    let change = Change::new().with(setting("a", 1)?).with(rename);
    refused(t.store.apply(&ada, change.clone()).await, StoreErrorKind::NotFound);
    let found = events(&*t.store, &ada).await?;
    assert!(!found.is_empty() && found.iter().all(|entry| entry.event.outcome != Audited::Success), "{found:?}");
    let actions: Vec<_> = found.iter().map(|entry| entry.event.action).collect();
    assert_eq!(actions, [Action::SettingPut, Action::ConversationRename]);
    assert_eq!(found[1].event.subjects[0].id, *id.as_bytes());
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn events_say_who_and_where(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let request = RequestContext::new(Some(hostile("id")), Some("2001:db8::1".parse()?), Some(hostile("agent")))?;
    let agent = with_agent(&ada, "assistant")?;
    let tool = agent.acting(Principal::tool("calculator")?).in_request(request.clone());
    for scope in [&ada, &agent, &tool, &agent] {
        apply(&*t.store, scope, setting("a", 1)?).await?;
    }
    let found = events(&*t.store, &ada).await?;
    let kinds: Vec<Vec<_>> = found.iter().map(|e| e.event.principals.iter().map(|p| p.kind).collect()).collect();
    let (u, a, l) = (PrincipalKind::User, PrincipalKind::Agent, PrincipalKind::Tool);
    assert_eq!(kinds, [vec![u], vec![u, a], vec![u, a, l], vec![u, a]]);
    let pseudonym = |event: usize, place: usize| found[event].event.principals[place].pseudonym;
    assert_eq!(pseudonym(0, 0), found[0].event.user, "the user acts on their own data");
    assert!((0..4).all(|event| pseudonym(event, 0) == pseudonym(0, 0)), "one user, one pseudonym");
    assert_eq!(pseudonym(1, 1), pseudonym(3, 1), "one agent, one pseudonym");
    assert_ne!(pseudonym(2, 1), pseudonym(2, 2));
    let named = |place: usize| found[place].names.iter().map(|name| name.as_deref().unwrap_or_default()).collect();
    let names: Vec<Vec<&str>> = (0..4).map(named).collect();
    let by_agent = vec!["ada", "assistant"];
    assert_eq!(names, [vec!["ada"], by_agent.clone(), vec!["ada", "assistant", "calculator"], by_agent]);
    assert_eq!(found[2].private.as_ref().present()?.request, request);
    assert_eq!(found[1].private.as_ref().present()?.request, RequestContext::default());
    Ok(())
}

pub(super) async fn further_events_are_kept(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let denied = AuditRecord::new(Action::SecretUse)
        .on(SubjectKind::Lease, [7; 16])
        .detail("secret", hostile("secret"))
        .detail("", "")
        .with_outcome(Audited::Denied);
    t.store.apply(&ada, Change::new().event(denied.clone())).await?;
    let both = Change::new().with(setting("a", 1)?).event(denied.clone());
    t.store.apply(&ada, both).await?;
    let found = events(&*t.store, &ada).await?;
    assert_eq!(found.len(), 3);
    for entry in [&found[0], &found[2]] {
        assert_eq!((entry.event.action, entry.event.outcome), (denied.action, Audited::Denied));
        assert_eq!(entry.event.subjects, denied.subjects);
        assert_eq!(entry.private.as_ref().present()?.details, denied.details);
    }
    Ok(())
}

pub(super) async fn chain_verifies(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    for scope in [&ada, &bob] {
        World::new(t.now())?.seed(&*t.store, scope).await?;
    }
    let mut streams = BTreeSet::new();
    for scope in [&ada, &bob] {
        let found = events(&*t.store, scope).await?;
        let head = t.store.audit().verify(scope).await?.present()?;
        let mut verifier = ChainVerifier::new(head.stream);
        for entry in &found {
            verifier.push(&entry.event)?;
        }
        assert_eq!(verifier.head(), head);
        assert!(found.is_sorted_by_key(|entry| entry.event.time));
        streams.insert(head.stream);
    }
    assert_eq!(streams.len(), 2, "each user has a chain of their own");
    let heads = t.maintenance.verify_audit().await?;
    assert!(streams.iter().all(|stream| heads.iter().any(|head| head.stream == *stream)));
    Ok(())
}

pub(super) async fn head_is_the_last_event(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for n in 1..=3 {
        apply(&*t.store, &ada, setting("a", n)?).await?;
        let (head, found) = (t.store.audit().head(&ada).await?.present()?, events(&*t.store, &ada).await?);
        let last = &found.last().present()?.event;
        assert_eq!((head.stream, head.sequence, head.hash), (last.stream, last.sequence, last.hash));
        assert_eq!(head.sequence, n);
    }
    Ok(())
}

pub(super) async fn filters(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    for n in 0..6 {
        t.clock.advance(Duration::from_secs(1));
        apply(&*t.store, &ada, saying(id, "x")).await?;
        let missing = saying(ConversationId::make(&SystemClock), "x");
        refused(apply(&*t.store, &ada, missing).await, StoreErrorKind::NotFound);
        apply(&*t.store, &ada, setting("a", n)?).await?;
    }
    let all = events(&*t.store, &ada).await?;
    let middle = Some(all[all.len() / 2].event.time);
    let none = AuditFilter::default();
    let filters = [
        none.clone(),
        AuditFilter { action: Some(Action::MessageAppend), ..none.clone() },
        AuditFilter { outcome: Some(Audited::Failed), ..none.clone() },
        AuditFilter { outcome: Some(Audited::Denied), ..none.clone() },
        AuditFilter { action: Some(Action::MessageAppend), outcome: Some(Audited::Success), ..none.clone() },
        AuditFilter { from: middle, ..none.clone() },
        AuditFilter { until: middle, ..none.clone() },
        AuditFilter { action: Some(Action::SettingPut), from: middle, until: middle, ..none },
    ];
    for filter in filters {
        let fits = |entry: &&AuditEntry| {
            let event = &entry.event;
            filter.action.is_none_or(|action| event.action == action)
                && filter.outcome.is_none_or(|outcome| event.outcome == outcome)
                && filter.from.is_none_or(|from| event.time >= from)
                && filter.until.is_none_or(|until| event.time < until)
        };
        let expected: Vec<&AuditEntry> = all.iter().filter(fits).collect();
        let found = all_pages!(4, |page| t.store.audit().events(&ada, &filter, page));
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    Ok(())
}

pub(super) async fn nobody_has_no_chain(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let page = PageRequest::default();
    assert_eq!(t.store.audit().events(&ada, &AuditFilter::default(), &page).await?.items, []);
    assert_eq!(t.store.audit().head(&ada).await?, None);
    assert_eq!(t.store.audit().verify(&ada).await?, None);
    Ok(())
}

/// Whether a [`ChainError`] is among the causes.
fn tells_where(error: &StoreError) -> bool {
    error.cause().is_some_and(|cause| cause.is::<ChainError>() || cause.downcast_ref().is_some_and(tells_where))
}

pub(super) async fn verify_finds_tampering(subject: &StoreSubject) -> Outcome {
    let tamperings = [
        Tampering::ChangeOutcome(2),
        Tampering::ChangeTime(3),
        Tampering::Delete(4),
        Tampering::Swap(2),
        Tampering::ChangePrivate(5),
    ];
    for tampering in tamperings {
        let t = subject.fresh().await?;
        let ada = user("ada")?;
        for n in 0..6 {
            t.clock.advance(Duration::from_secs(2));
            apply(&*t.store, &ada, setting("a", n)?).await?;
        }
        let stream = t.store.audit().verify(&ada).await?.present()?.stream;
        subject.harness.tamper(&t.place, &ada, tampering).await?;
        let error = match t.store.audit().verify(&ada).await {
            Err(error) => error,
            Ok(head) => return Err(Failure::new(format!("{tampering:?} is not noticed: {head:?}"))),
        };
        assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{tampering:?}: {error}");
        assert!(tells_where(&error), "{tampering:?}: no ChainError among the causes of {error}");
        let error = match t.maintenance.verify_audit().await {
            Err(error) => error,
            Ok(heads) => return Err(Failure::new(format!("{tampering:?} is not noticed: {heads:?}"))),
        };
        assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{tampering:?}: {error}");
        let name = format!("{:032x}", u128::from_be_bytes(stream.0));
        assert!(error.to_string().contains(&name), "{tampering:?}: {name} is not named by {error}");
        assert!(tells_where(&error), "{tampering:?}: no ChainError among the causes of {error}");
    }
    Ok(())
}

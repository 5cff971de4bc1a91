//! What an application may write into the audit trail by itself, and how much.

use super::audit::events;
use super::fixtures::{saying, setting};
use super::{StoreSubject, user, with_agent};
use crate::audit::canonical_bytes;
use crate::change::Change;
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, refused, refused_field};
use crate::conformance::random::Random;
use crate::id::{AgentName, ConversationId, ToolName};
use crate::limits::Limits;
use crate::model::audit::{Action, AuditRecord, Outcome as Audited, SubjectKind};
use crate::scope::{Principal, Scope};
use crate::store::StoreErrorKind;

pub(super) async fn only_what_the_host_knows_is_reported(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for &action in Action::ALL {
        for outcome in [Audited::Success, Audited::Denied, Audited::Failed] {
            let category = action.name().split('.').next().unwrap_or_default();
            let is_accepted = match category {
                // What operators do, the store itself tells.
                "system" => false,
                // What was done, the operation that did it tells.
                "conversations" | "workspace" | "jobs" | "secrets" | "access" | "settings" | "privacy" => {
                    outcome != Audited::Success
                }
                "host" => true,
                other => panic!("{other} is a category that this case does not know"),
            };
            let record = AuditRecord::new(action).with_outcome(outcome).on(SubjectKind::Stream, [7; 16]);
            let applied = t.store.apply(&ada, Change::new().with(setting("a", 1)?).event(record)).await;
            let last = events(&*t.store, &ada).await?.pop().present()?;
            if is_accepted {
                applied?;
                assert_eq!((last.event.action, last.event.outcome), (action, outcome));
            } else {
                assert_eq!(refused_field(applied), "audit action", "{} {outcome:?}", action.name());
                assert_ne!(last.event.outcome, Audited::Success, "the refusal is audited");
                assert!(!last.event.action.name().starts_with("system."), "{}", last.event.action.name());
                let details = last.private.present()?.details;
                let named =
                    last.event.action == action || details.get("action").is_some_and(|name| name == action.name());
                assert!(named, "{} is not named", action.name());
            }
        }
    }
    t.store.audit().verify(&ada).await?;
    Ok(())
}

/// A report with so many subjects and details, each detail of so many bytes.
fn report(subjects: usize, details: usize, bytes: usize) -> AuditRecord {
    let id = |n: usize| std::array::from_fn(|place| n.to_be_bytes().get(place).copied().unwrap_or_default());
    let record =
        (0..subjects).fold(AuditRecord::new(Action::HostEvent), |record, n| record.on(SubjectKind::Stream, id(n)));
    (0..details).fold(record, |record, n| record.detail(&format!("{n:04}"), Random::new(n as u64).letters(bytes - 4)))
}

/// A chain of so many principals.
fn chain(scope: &Scope, principals: usize) -> Result<Scope, crate::conformance::Failure> {
    let (agent, tool) = (AgentName::parse("agent")?, ToolName::parse("tool")?);
    Ok((1..principals).fold(scope.clone(), |scope, n| match n % 2 {
        0 => scope.acting(Principal::Agent(agent.clone())),
        _ => scope.acting(Principal::Tool(tool.clone())),
    }))
}

pub(super) async fn size_of_an_event_is_bounded(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (subjects, details, bytes) = (AuditRecord::SUBJECTS, AuditRecord::DETAILS, AuditRecord::DETAIL_BYTES);
    for (field, record) in [
        ("audit subjects", report(subjects + 1, 0, 0)),
        ("audit subjects", report(100_000, 0, 0)),
        ("audit details", report(0, details + 1, 10)),
        ("audit details", report(0, details, bytes / details + 1)),
        ("audit detail", report(0, 1, 100_000)),
    ] {
        let before = t.store.audit().head(&ada).await?.map_or(0, |head| head.sequence);
        assert_eq!(refused_field(t.store.apply(&ada, Change::new().event(record)).await), field);
        let last = events(&*t.store, &ada).await?.pop().present()?.event;
        assert_eq!((last.sequence, last.outcome), (before + 1, Audited::Failed), "the refusal is audited");
        assert!(last.subjects.len() <= subjects);
    }
    let long = chain(&ada, Scope::PRINCIPALS + 1)?;
    let before = t.store.audit().head(&ada).await?.present()?.sequence;
    assert_eq!(refused_field(t.store.apply(&long, Change::new().with(setting("a", 1)?)).await), "principals");
    let last = events(&*t.store, &ada).await?.pop().present()?.event;
    assert_eq!((last.sequence, last.outcome), (before + 1, Audited::Failed), "the refusal is audited");
    assert_eq!(last.principals.len(), Scope::PRINCIPALS);
    let as_bob = with_agent(&ada, "helper")?.acting(Principal::user("bob")?);
    assert_eq!(refused_field(t.store.apply(&as_bob, Change::new().with(setting("a", 1)?)).await), "principals");
    let last = events(&*t.store, &ada).await?.pop().present()?.event;
    assert_eq!((last.outcome, last.principals.len()), (Audited::Failed, 2), "of another user nothing is kept");
    t.store.audit().verify(&ada).await?;
    t.maintenance.verify_audit().await?;
    Ok(())
}

pub(super) async fn the_largest_event_is_kept(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (subjects, details, bytes) = (AuditRecord::SUBJECTS, AuditRecord::DETAILS, AuditRecord::DETAIL_BYTES);
    let record = report(subjects, details, bytes / details);
    t.store.apply(&chain(&ada, Scope::PRINCIPALS)?, Change::new().event(record.clone())).await?;
    let kept = events(&*t.store, &ada).await?.pop().present()?;
    assert_eq!((&kept.event.subjects, kept.event.principals.len()), (&record.subjects, Scope::PRINCIPALS));
    assert_eq!(kept.private.present()?.details, record.details);
    assert!(canonical_bytes(&kept.event).len() <= 65_535, "the length of a leaf fits two bytes");
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn refused_change_leaves_few_events(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let settings = |n: usize| {
        (0..n).try_fold(Change::new(), |change, n| Ok::<_, crate::conformance::Failure>(change.with(setting("a", n)?)))
    };
    let missing = saying(ConversationId::make(&SystemClock), "x");
    let many = Limits::default().operations;
    for operations in [10, 31, 32, 33, 500, many + 1] {
        let before = t.store.audit().head(&ada).await?.map_or(0, |head| head.sequence);
        let applied = t.store.apply(&ada, settings(operations - 1)?.with(missing.clone())).await;
        match operations > many {
            true => assert_eq!(refused_field(applied), "operations"),
            false => refused(applied, StoreErrorKind::NotFound),
        }
        let found = events(&*t.store, &ada).await?.split_off(before as usize);
        assert_eq!(found.len(), operations.min(32), "of {operations} operations");
        assert!(found.iter().all(|entry| entry.event.outcome == Audited::Failed));
        let details = &found.last().present()?.private.as_ref().present()?.details;
        let left_out = details.get("further events left out").map(String::as_str);
        assert_eq!(left_out, (operations > 32).then(|| (operations - 32).to_string()).as_deref());
    }
    t.store.audit().verify(&ada).await?;
    Ok(())
}

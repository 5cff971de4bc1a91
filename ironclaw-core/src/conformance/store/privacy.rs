use std::time::Duration;

use super::fixtures::{File, apply, conversation, job, say, saying, setting};
use super::snapshot::{Snapshot, assert_nothing, assert_same, snapshot};
use super::system::{place_hold, release_hold};
use super::world::World;
use super::{Instance, StoreSubject, tenant_user, user, with_agent};
use crate::change::{Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, refused};
use crate::id::{ConversationId, ErasureId, IdempotencyKey, SecretName};
use crate::limits::Limits;
use crate::maintenance::SystemChange;
use crate::model::audit::{Action, AuditFilter, AuditRecord, Outcome as Audited};
use crate::model::jobs::{JobFilter, JobState};
use crate::model::privacy::RetainedCategory;
use crate::page::PageRequest;
use crate::scope::{Principal, Scope};
use crate::search::TextQuery;
use crate::store::StoreErrorKind;

/// What of a snapshot belongs to these categories.
fn only(mut seen: Snapshot, categories: &[&str]) -> Snapshot {
    seen.retain(|method, _| categories.iter().any(|category| method.starts_with(category)));
    seen
}

const FORGOTTEN: [&str; 3] = ["conversations::", "jobs::", "workspace::"];
const KEPT: [&str; 3] = ["secrets::", "settings::", "access::agent"];

pub(super) async fn forget_removes_all_but_accounts(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    let after = snapshot(&*t.store, &ada, &world).await?;
    let mut forgotten = only(after.clone(), &FORGOTTEN);
    // The models that were registered are no content: either is fine.
    forgotten.remove("workspace::embedding_models");
    assert_nothing(&forgotten);
    assert_same(&only(before, &KEPT), &only(after, &KEPT));
    // It works again afterwards, with the same ids and names.
    let again = conversation(&*t.store, &ada).await?;
    assert_eq!(say(&*t.store, &ada, again, "lighthouse").await?, 1);
    Ok(())
}

pub(super) async fn forgotten_chain_still_verifies(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    World::new(t.now())?.seed(&*t.store, &ada).await?;
    // A refused use of a secret, and a failed change of each kind.
    let denied = AuditRecord::new(Action::SecretUse).detail("secret", "vault door").with_outcome(Audited::Denied);
    t.store.apply(&ada, Change::new().event(denied)).await?;
    let (missing, name) = (ConversationId::make(&SystemClock), SecretName::parse("not there")?);
    refused(apply(&*t.store, &ada, saying(missing, "x")).await, StoreErrorKind::NotFound);
    refused(apply(&*t.store, &ada, SecretOp::Use { name, number: 1 }).await, StoreErrorKind::NotFound);
    let head = t.store.audit().head(&ada).await?.present()?;
    let before = all_pages!(1_000, |page| t.store.audit().events(&ada, &AuditFilter::default(), page));
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    let after = all_pages!(1_000, |page| t.store.audit().events(&ada, &AuditFilter::default(), page));
    assert_eq!(after.len(), before.len() + 1);
    for (old, new) in before.iter().zip(&after) {
        assert!(old.private.is_some());
        assert_eq!(old.event, new.event, "the public part stays");
        let (action, name) = (old.event.action, old.event.action.name());
        let category = name.split('.').next().unwrap_or_default();
        if ["conversations", "workspace", "jobs", "privacy"].contains(&category) {
            assert!(action.is_forgotten() && new.private.is_none(), "the private part of {name} is gone");
        } else {
            assert!(!action.is_forgotten());
            assert_eq!(old.private, new.private, "the private part of {name} stays");
        }
    }
    let kept = |action| after.iter().filter(|e| e.event.action == action && e.private.is_some()).count();
    assert_eq!(kept(Action::SecretUse), 3, "used, refused and failed");
    assert!(kept(Action::PolicyPut) > 0 && kept(Action::SettingPut) > 0);
    // Forgetting again forgets that it was asked for the first time, and nothing that was kept.
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    let again = all_pages!(1_000, |page| t.store.audit().events(&ada, &AuditFilter::default(), page));
    for (old, new) in after.iter().zip(&again) {
        let forgotten = old.event.action.is_forgotten();
        assert_eq!(new.private, old.private.clone().filter(|_| !forgotten), "{}", old.event.action.name());
    }
    let verified = t.store.audit().verify(&ada).await?.present()?;
    assert_eq!(verified.sequence, head.sequence + 2);
    t.maintenance.verify_audit().await?;
    Ok(())
}

pub(super) async fn only_the_user_in_person_forgets(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    let events = || async {
        Ok::<_, Failure>(all_pages!(1_000, |page| t.store.audit().events(&ada, &AuditFilter::default(), page)))
    };
    let trail = events().await?;
    let agent = with_agent(&ada, "assistant")?;
    let tool = agent.acting(Principal::tool("calculator")?);
    for scope in [&agent, &tool] {
        refused(apply(&*t.store, scope, PrivacyOp::Forget).await, StoreErrorKind::Denied);
        let among_others = Change::new().with(setting("x", 1)?).with(PrivacyOp::Forget);
        refused(t.store.apply(scope, among_others).await, StoreErrorKind::Denied);
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    }
    let after = events().await?;
    assert_eq!(after[..trail.len()], trail, "no private part is gone");
    let refusals: Vec<_> = after[trail.len()..].iter().map(|e| (e.event.action, e.event.outcome)).collect();
    let (forget, put) = ((Action::Forget, Audited::Denied), (Action::SettingPut, Audited::Denied));
    assert_eq!(refusals, [forget, put, forget, forget, put, forget]);
    t.store.audit().verify(&ada).await?;
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    assert_eq!(t.store.conversations().conversation(&ada, world.conversation).await?, None);
    Ok(())
}

async fn erase(t: &Instance, scope: &Scope) -> Result<crate::Receipt, crate::store::StoreError> {
    let (tenant, owner) = (scope.tenant().clone(), scope.owner().clone());
    let id = ErasureId::make(&SystemClock);
    t.maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id }).await
}

pub(super) async fn erase_removes_everything(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let stream = t.store.audit().head(&ada).await?.present()?.stream;
    erase(&t, &ada).await?;
    assert_nothing(&snapshot(&*t.store, &ada, &world).await?);
    let page = PageRequest::default();
    assert_eq!(t.store.audit().events(&ada, &AuditFilter::default(), &page).await?.items, []);
    assert_eq!(t.store.audit().head(&ada).await?, None);
    assert!(t.maintenance.users(&page).await?.items.is_empty());
    let erasures = t.maintenance.erasures(&page).await?.items;
    assert_eq!(erasures.len(), 1);
    assert_eq!(erasures[0].stream, stream.0);
    assert!(erasures[0].rows > 0);
    // The public part of the chain is there still, and verifies.
    let heads = t.maintenance.verify_audit().await?;
    assert!(heads.iter().any(|head| head.stream == stream && head.sequence > 0), "{heads:?}");
    // Whoever comes back under the name is another.
    apply(&*t.store, &ada, setting("a", 1)?).await?;
    assert_ne!(t.store.audit().head(&ada).await?.present()?.stream, stream);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn erase_leaves_others(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, others) = (user("ada")?, [user("bob")?, tenant_user("other", "ada")?]);
    let world = World::new(t.now())?;
    let mut before = Vec::new();
    for other in &others {
        world.seed(&*t.store, other).await?;
        before.push(snapshot(&*t.store, other, &world).await?);
    }
    world.seed(&*t.store, &ada).await?;
    erase(&t, &ada).await?;
    for (other, before) in others.iter().zip(before) {
        assert_same(&before, &snapshot(&*t.store, other, &world).await?);
        t.store.audit().verify(other).await?.present()?;
    }
    Ok(())
}

pub(super) async fn unknown_user_is_not_erased(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    apply(&*t.store, &user("ada")?, setting("a", 1)?).await?;
    refused(erase(&t, &user("nobody")?).await, StoreErrorKind::NotFound);
    refused(erase(&t, &tenant_user("other", "ada")?).await, StoreErrorKind::NotFound);
    assert!(t.maintenance.erasures(&PageRequest::default()).await?.items.is_empty());
    Ok(())
}

/// Abandoning is not among them: it gives up what nobody has ever seen.
fn deletions(world: &World) -> [Operation; 6] {
    [
        ConversationOp::Delete { id: world.conversation }.into(),
        WorkspaceOp::DeleteEntry { path: world.path.clone() }.into(),
        JobOp::Delete { job: world.job }.into(),
        SecretOp::Delete { name: world.secret.clone() }.into(),
        SettingOp::Delete { key: world.setting.clone() }.into(),
        PrivacyOp::Forget.into(),
    ]
}

pub(super) async fn hold_stops_every_deletion(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let world = World::new(t.now())?;
    for scope in [&ada, &bob] {
        world.seed(&*t.store, scope).await?;
    }
    place_hold(&t, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    for operation in deletions(&world) {
        refused(apply(&*t.store, &ada, operation.clone()).await, StoreErrorKind::LegalHold);
        let among_others = Change::new().with(setting("x", 1)?).with(operation);
        refused(t.store.apply(&ada, among_others).await, StoreErrorKind::LegalHold);
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    }
    refused(erase(&t, &ada).await, StoreErrorKind::LegalHold);
    assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    t.store.audit().verify(&ada).await?;
    // Writing goes on, and another's data is not held.
    apply(&*t.store, &ada, setting("held", true)?).await?;
    for operation in deletions(&world) {
        apply(&*t.store, &bob, operation).await?;
    }
    Ok(())
}

pub(super) async fn released_hold_stops_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let (first, second) = (place_hold(&t, &ada).await?, place_hold(&t, &ada).await?);
    let forget = || apply(&*t.store, &ada, PrivacyOp::Forget);
    release_hold(&t, first).await?;
    refused(forget().await, StoreErrorKind::LegalHold);
    release_hold(&t, second).await?;
    forget().await?;
    erase(&t, &ada).await?;
    Ok(())
}

const DAY: Duration = Duration::from_secs(86_400);

async fn keep_ten_days(t: &Instance, scope: &Scope) -> Result<(), Failure> {
    for category in [RetainedCategory::Conversations, RetainedCategory::Jobs, RetainedCategory::Workspace] {
        let change = SystemChange::PutRetention { tenant: scope.tenant().clone(), category, days: 10 };
        t.maintenance.apply_system(change).await?;
    }
    Ok(())
}

pub(super) async fn retention_deletes_what_is_old(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, elsewhere) = (user("ada")?, tenant_user("other", "ada")?);
    keep_ten_days(&t, &ada).await?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let (touched, other) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &elsewhere).await?);
    t.clock.advance(9 * DAY);
    assert_eq!(t.maintenance.apply_retention().await?, 0);
    say(&*t.store, &ada, touched, "still used").await?;
    let (new_job, new_file) = (job(&*t.store, &ada).await?, File::new("new.md", "new")?);
    new_file.write(&*t.store, &ada).await?;
    t.clock.advance(2 * DAY);
    assert!(t.maintenance.apply_retention().await? > 0);
    let read = t.store.conversations();
    assert_eq!(read.conversation(&ada, world.conversation).await?, None);
    assert_eq!(read.messages(&ada, world.conversation, &PageRequest::default()).await?.items, []);
    assert_eq!(t.store.jobs().job(&ada, world.job).await?, None);
    assert_eq!(t.store.workspace().entry(&ada, &world.path).await?, None);
    assert!(read.conversation(&ada, touched).await?.is_some(), "what changed lately is kept");
    assert!(t.store.jobs().job(&ada, new_job).await?.is_some());
    assert!(t.store.workspace().entry(&ada, &new_file.path).await?.is_some());
    assert!(read.conversation(&elsewhere, other).await?.is_some(), "another tenant has no such policy");
    assert!(t.store.secrets().secret(&ada, &world.secret).await?.is_some());
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    t.maintenance.verify_audit().await?;
    Ok(())
}

pub(super) async fn retention_respects_holds(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    keep_ten_days(&t, &ada).await?;
    let world = World::new(t.now())?;
    for scope in [&ada, &bob] {
        world.seed(&*t.store, scope).await?;
    }
    let hold = place_hold(&t, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    t.clock.advance(20 * DAY);
    assert!(t.maintenance.apply_retention().await? > 0);
    assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    assert_eq!(t.store.conversations().conversation(&bob, world.conversation).await?, None);
    release_hold(&t, hold).await?;
    assert!(t.maintenance.apply_retention().await? > 0);
    assert_eq!(t.store.conversations().conversation(&ada, world.conversation).await?, None);
    Ok(())
}

pub(super) async fn idle_retention_leaves_no_event(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    keep_ten_days(&t, &ada).await?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let events = system_events(&t).await?;
    assert_eq!(t.maintenance.apply_retention().await?, 0);
    assert_eq!(system_events(&t).await?, events, "nothing was deleted");
    t.clock.advance(20 * DAY);
    conversation(&*t.store, &bob).await?;
    let deleted = t.maintenance.apply_retention().await?;
    let after = system_events(&t).await?;
    assert!(deleted > 0 && after > events, "{deleted} were deleted, with {} events", after - events);
    assert_eq!(t.maintenance.apply_retention().await?, 0);
    assert_eq!(system_events(&t).await?, after, "nothing was deleted");
    Ok(())
}

/// How many events there are of operators.
async fn system_events(t: &Instance) -> Result<usize, Failure> {
    let mut page = PageRequest::first(PageRequest::MAX)?;
    let mut events = 0;
    loop {
        let found = t.maintenance.system_events(&page).await?;
        events += found.items.len();
        match found.next {
            Some(next) => page = page.after(next),
            None => return Ok(events),
        }
    }
}

/// Whoever was looked at is found again when something else of theirs gets old, and so is who forgot everything.
pub(super) async fn retention_finds_what_gets_old_later(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob, eve) = (user("ada")?, user("bob")?, user("eve")?);
    keep_ten_days(&t, &ada).await?;
    long_conversation(&t, &eve).await?;
    apply(&*t.store, &eve, PrivacyOp::Forget).await?;
    let (mut kept, mut files) = (Vec::new(), 0);
    for scope in [&ada, &bob, &eve, &ada, &bob, &eve] {
        let id = conversation(&*t.store, scope).await?;
        job(&*t.store, scope).await?;
        files += 1;
        File::new(&format!("{files}.md"), "old")?.write(&*t.store, scope).await?;
        kept.push((scope, id));
        t.clock.advance(3 * DAY);
    }
    // What is used is kept, and what was begun after it goes first.
    let (scope, used) = kept[2];
    say(&*t.store, scope, used, "still used").await?;
    for left in (0..=4_u64).rev() {
        t.clock.advance(3 * DAY);
        t.maintenance.apply_retention().await?;
        let now = t.now();
        for (place, (scope, id)) in kept.iter().enumerate() {
            let found = t.store.conversations().conversation(scope, *id).await?;
            let is_old = |found: &crate::model::conversations::Conversation| found.updated_at < now.before(10 * DAY);
            assert!(!found.as_ref().is_some_and(is_old), "conversation {place} is kept, with {left} rounds to come");
        }
    }
    let page = PageRequest::default();
    for scope in [&ada, &bob, &eve] {
        let jobs = t.store.jobs().jobs(scope, &JobFilter::default(), &page).await?.items;
        let files = t.store.workspace().entries(scope, None, &page).await?.items;
        assert!(jobs.is_empty() && files.is_empty(), "{jobs:?} {files:?}");
    }
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

/// What was written while a clock ran ahead, and changed after it was put right, goes when its time has come.
pub(super) async fn retention_bears_a_clock_that_goes_back(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    keep_ten_days(&t, &ada).await?;
    let right = t.now();
    t.clock.advance(365 * DAY);
    let talk = conversation(&*t.store, &ada).await?;
    let work = job(&*t.store, &ada).await?;
    let file = File::new("plan.md", "Begin")?;
    file.write(&*t.store, &ada).await?;
    t.clock.set(right);
    say(&*t.store, &ada, talk, "still used").await?;
    let ended = JobOp::SetState { job: work, state: JobState::Cancelled, error: None };
    apply(&*t.store, &ada, ended).await?;
    File::new("plan.md", "Go on")?.write(&*t.store, &ada).await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    t.clock.advance(9 * DAY);
    assert_eq!(t.maintenance.apply_retention().await?, 0);
    t.clock.advance(2 * DAY);
    assert_eq!(t.maintenance.apply_retention().await?, 3);
    let page = PageRequest::default();
    assert_eq!(t.store.conversations().conversation(&ada, talk).await?, None);
    assert_eq!(t.store.jobs().jobs(&ada, &JobFilter::default(), &page).await?.items, []);
    assert_eq!(t.store.workspace().entry(&ada, &file.path).await?, None);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn scrub_is_clean(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    World::new(t.now())?.seed(&*t.store, &ada).await?;
    let kept = conversation(&*t.store, &user("bob")?).await?;
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    assert_eq!(t.maintenance.scrub().await?.pending, Vec::<String>::new());
    assert!(t.store.conversations().conversation(&user("bob")?, kept).await?.is_some());
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    conversation(&*t.store, &ada).await?;
    Ok(())
}

/// A conversation of so many words that no store should delete them all in one small step.
async fn long_conversation(t: &Instance, scope: &Scope) -> Result<ConversationId, Failure> {
    let id = conversation(&*t.store, scope).await?;
    let mut change = Change::new();
    for number in 0..150 {
        let words: Vec<String> = (0..10).map(|word| format!("word{}", number * 3 + word)).collect();
        change = change.with(saying(id, words.join(" ")));
    }
    t.store.apply(scope, change).await?;
    Ok(id)
}

pub(super) async fn much_is_forgotten_as_little_is(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let id = long_conversation(&t, &ada).await?;
    let others = long_conversation(&t, &bob).await?;
    let key = IdempotencyKey::parse("forget once")?;
    let kept = setting("kept", 1)?;
    let forget = || Change::new().with(kept.clone()).with(PrivacyOp::Forget).idempotent(key.clone());
    let receipt = t.store.apply(&ada, forget()).await?;
    assert!(receipt.numbers[1] > 150, "{receipt:?}");
    let replayed = t.store.apply(&ada, forget()).await?;
    assert!(replayed.replayed && replayed.numbers == receipt.numbers, "{replayed:?} of {receipt:?}");
    assert_eq!(t.store.conversations().conversation(&ada, id).await?, None);
    assert_eq!(t.store.conversations().messages(&ada, id, &PageRequest::default()).await?.items, []);
    let filter = AuditFilter { action: Some(Action::Forget), ..AuditFilter::default() };
    let told = t.store.audit().events(&ada, &filter, &PageRequest::default()).await?.items;
    assert_eq!(told.len(), 1, "one event says that it is done");
    t.store.audit().verify(&ada).await?.present()?;
    // Ids and names are free, and searching works on what is new alone.
    apply(&*t.store, &ada, ConversationOp::Create { id, title: "again".into() }).await?;
    say(&*t.store, &ada, id, "word3").await?;
    let query = TextQuery::new("word3", &Limits::default());
    assert_eq!(t.store.conversations().search_messages(&ada, &query, 10).await?.len(), 1);
    let page = PageRequest::first(1_000)?;
    assert_eq!(t.store.conversations().messages(&bob, others, &page).await?.items.len(), 150, "another's stay");
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn much_is_erased_as_little_is(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = long_conversation(&t, &ada).await?;
    let receipt = erase(&t, &ada).await?;
    let erasures = t.maintenance.erasures(&PageRequest::default()).await?.items;
    assert_eq!(erasures.iter().map(|erasure| erasure.rows).collect::<Vec<_>>(), receipt.numbers);
    assert!(receipt.numbers[0] > 150, "{receipt:?}");
    assert!(t.maintenance.users(&PageRequest::default()).await?.items.is_empty());
    let told = t.maintenance.system_events(&PageRequest::default()).await?.items;
    assert_eq!(told.iter().filter(|entry| entry.event.action == Action::UserErase).count(), 1);
    // Whoever comes under the name is another.
    apply(&*t.store, &ada, ConversationOp::Create { id, title: "again".into() }).await?;
    assert_eq!(t.store.conversations().messages(&ada, id, &PageRequest::default()).await?.items, []);
    t.maintenance.verify_audit().await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn a_long_conversation_is_deleted_as_a_short_one_is(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (id, other) = (long_conversation(&t, &ada).await?, conversation(&*t.store, &ada).await?);
    say(&*t.store, &ada, other, "word3 word4").await?;
    assert_eq!(apply(&*t.store, &ada, ConversationOp::Delete { id }).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, ConversationOp::Delete { id }).await?.numbers, [0]);
    refused(say(&*t.store, &ada, id, "late").await, StoreErrorKind::NotFound);
    let query = TextQuery::new("word3", &Limits::default());
    let hits = t.store.conversations().search_messages(&ada, &query, 10).await?;
    assert_eq!(hits.iter().map(|hit| hit.message.conversation).collect::<Vec<_>>(), [other]);
    apply(&*t.store, &ada, ConversationOp::Create { id, title: "again".into() }).await?;
    assert_eq!(t.store.conversations().messages(&ada, id, &PageRequest::default()).await?.items, []);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

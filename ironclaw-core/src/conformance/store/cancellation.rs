use std::time::Duration;

use super::fixtures::{File, apply, conversation, saying, setting, words};
use super::snapshot::{assert_nothing, assert_same, snapshot};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp, PrivacyOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, at_once, poll_at_most};
use crate::id::{ConversationId, ErasureId, SettingKey, TenantId};
use crate::maintenance::SystemChange;
use crate::model::audit::{AuditEntry, AuditFilter, SubjectKind};
use crate::model::privacy::RetainedCategory;
use crate::model::workspace::WorkspacePath;
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::{SearchFilter, Store};

/// More polls than any call needs; one that needs them all is one that never ends.
const POLLS: usize = 1_000;

/// A change of several categories under a new id.
fn change(id: ConversationId, path: &str) -> Result<Change, Failure> {
    let file = File::new(path, "lighthouse")?.change();
    let change = Change::new()
        .with(ConversationOp::Create { id, title: "dropped".into() })
        .with(saying(id, "lighthouse"))
        .with(saying(id, "lighthouse"))
        .with(setting(path, 1)?);
    Ok(file.operations().iter().cloned().fold(change, Change::with))
}

/// Whether the change is there; that it is there in part is a failure.
async fn is_whole(store: &dyn Store, scope: &Scope, id: ConversationId, path: &str) -> Result<bool, Failure> {
    let found = store.conversations().conversation(scope, id).await?;
    let messages = store.conversations().messages(scope, id, &PageRequest::default()).await?.items.len();
    let hits = store.conversations().search_messages(scope, &words("lighthouse"), 1_000).await?;
    let searched = hits.iter().filter(|hit| hit.message.conversation == id).count();
    let setting = store.settings().setting(scope, &SettingKey::parse(path)?).await?;
    let file = store.workspace().content(scope, &WorkspacePath::parse(path)?, 0, 100).await?;
    // Its events: one for each of the seven operations.
    let all = all_pages!(1_000, |page| store.audit().events(scope, &AuditFilter::default(), page));
    let mut events: Vec<&AuditEntry> = Vec::new();
    for entry in &all {
        let named = entry.private.as_ref().is_some_and(|private| private.details.values().any(|value| value == path));
        let after_begin = events.last().is_some_and(|last| {
            last.event.subjects.iter().any(|s| s.kind == SubjectKind::Version && entry.event.subjects.contains(s))
        });
        if named || after_begin || entry.event.subjects.iter().any(|s| s.id == *id.as_bytes()) {
            events.push(entry);
        }
    }
    let rows = (
        found.map(|c| c.messages),
        messages,
        searched,
        setting.map(|setting| setting.version),
        file.map(|bytes| bytes.len()),
        events.len(),
    );
    match rows {
        (Some(2), 2, 2, Some(1), Some(10), 7) => Ok(true),
        (None, 0, 0, None, None, 0) => Ok(false),
        _ => Err(Failure::new(format!("half a change is there: {rows:?}"))),
    }
}

pub(super) async fn dropped_at_every_await(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    conversation(&*t.store, &ada).await?;
    for polls in 0..POLLS {
        let (id, path) = (ConversationId::make(&SystemClock), format!("file{polls}"));
        let result = poll_at_most(polls, t.store.apply(&ada, change(id, &path)?)).await;
        // A later write is behind the dropped one, so that what was begun is done when it is.
        apply(&*t.store, &ada, setting("later", polls)?).await?;
        let whole = is_whole(&*t.store, &ada, id, &path).await?;
        assert!(!(polls == 0 && whole), "a future that was never polled did something");
        t.store.audit().verify(&ada).await?;
        if let Some(result) = result {
            result?;
            assert!(whole, "what was acknowledged is there");
            assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
            return Ok(());
        }
    }
    Err(Failure::new("the call never ended"))
}

pub(super) async fn dropped_reads(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &world).await?;
    let (page, filter) = (PageRequest::default(), SearchFilter::default());
    for polls in 0..POLLS {
        let query = words("lighthouse");
        let done = [
            poll_at_most(polls, t.store.conversations().messages(&ada, world.conversation, &page)).await.is_some(),
            poll_at_most(polls, t.store.workspace().search_text(&ada, &query, &filter, 10)).await.is_some(),
            poll_at_most(polls, t.store.jobs().job_events(&ada, world.job, &page)).await.is_some(),
            poll_at_most(polls, t.store.audit().verify(&ada)).await.is_some(),
            poll_at_most(polls, snapshot(&*t.store, &ada, &world)).await.is_some(),
        ];
        if done == [true; 5] {
            assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
            apply(&*t.store, &ada, setting("later", 1)?).await?;
            return Ok(());
        }
    }
    Err(Failure::new("a read never ended"))
}

pub(super) async fn dropped_among_others(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let results = at_once(60, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move {
            let (id, path) = (ConversationId::make(&SystemClock), format!("file{n}"));
            let polls = if n % 3 == 0 { POLLS } else { 1 + n % 4 };
            let result = poll_at_most(polls, store.apply(&ada, change(id, &path)?)).await;
            Ok::<_, Failure>((id, path, result.transpose()?.is_some()))
        }
    })
    .await?;
    apply(&*t.store, &ada, setting("later", 1)?).await?;
    for result in results {
        let (id, path, acknowledged) = result?;
        let whole = is_whole(&*t.store, &ada, id, &path).await?;
        assert!(whole || !acknowledged, "what was acknowledged is gone");
    }
    t.store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn dropped_erasures(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let world = World::new(t.now())?;
    for polls in 0..POLLS {
        let scope = user(&format!("{polls}"))?;
        world.seed(&*t.store, &scope).await?;
        let before = snapshot(&*t.store, &scope, &world).await?;
        let (tenant, owner, id) = (scope.tenant().clone(), scope.owner().clone(), ErasureId::make(&SystemClock));
        let erasure = SystemChange::EraseUser { tenant, owner, id };
        let result = poll_at_most(polls, t.maintenance.apply_system(erasure)).await;
        apply(&*t.store, &user("later")?, setting("later", polls)?).await?;
        // A dropped call may go on: what is read must be all from before its end, or all from after it.
        let (erasures, after, audited) = loop {
            let erasures = all_pages!(1_000, |page| t.maintenance.erasures(page));
            let after = snapshot(&*t.store, &scope, &world).await?;
            let audited = all_pages!(1_000, |page| t.maintenance.system_events(page));
            if all_pages!(1_000, |page| t.maintenance.erasures(page)).len() == erasures.len() {
                break (erasures, after, audited);
            }
        };
        let erased = erasures.iter().any(|erasure| erasure.id == id);
        match erased {
            true => assert_nothing(&after),
            false => assert_same(&before, &after),
        }
        assert_eq!(audited.len(), erasures.len(), "each erasure has its event");
        assert!(!(polls == 0 && erased), "a future that was never polled did something");
        t.maintenance.verify_audit().await?;
        if let Some(result) = result {
            result?;
            assert!(erased, "what was acknowledged is done");
            assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
            return Ok(());
        }
    }
    Err(Failure::new("the call never ended"))
}

pub(super) async fn dropped_retention(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let put = SystemChange::PutRetention {
        tenant: TenantId::default_tenant(),
        category: RetainedCategory::Conversations,
        days: 1,
    };
    t.maintenance.apply_system(put).await?;
    for polls in 0..POLLS {
        // More than a store may delete at once, so that it can be dropped between.
        let ids: Vec<ConversationId> = (0..120).map(|_| ConversationId::make(&SystemClock)).collect();
        let change = ids.iter().fold(Change::new(), |change, &id| {
            change.with(ConversationOp::Create { id, title: "old".into() }).with(saying(id, "old"))
        });
        t.store.apply(&ada, change).await?;
        t.clock.advance(Duration::from_secs(2 * 86_400));
        let result = poll_at_most(polls, t.maintenance.apply_retention()).await;
        apply(&*t.store, &ada, setting("later", polls)?).await?;
        let mut left = 0;
        for &id in &ids {
            // A dropped call may go on: a conversation that is there afterwards was there with its message.
            let messages = t.store.conversations().messages(&ada, id, &PageRequest::default()).await?.items.len();
            let found = t.store.conversations().conversation(&ada, id).await?;
            assert!(messages == 1 || found.is_none(), "a message is deleted without its conversation");
            if messages == 1 && found.is_none() {
                let messages = t.store.conversations().messages(&ada, id, &PageRequest::default()).await?;
                assert_eq!(messages.items, [], "a conversation is deleted without its message");
            }
            left += messages;
        }
        assert!(polls > 0 || left == ids.len(), "a future that was never polled did something");
        t.maintenance.verify_audit().await?;
        assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
        if let Some(result) = result {
            result?;
            assert_eq!(left, 0, "what was acknowledged is done");
            return Ok(());
        }
        // What was left is deleted the next time.
        t.maintenance.apply_retention().await?;
        assert_eq!(t.store.conversations().conversations(&ada, &PageRequest::default()).await?.items, []);
    }
    Err(Failure::new("the call never ended"))
}

pub(super) async fn dropped_scrubs(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let world = World::new(t.now())?;
    world.seed(&*t.store, &bob).await?;
    let before = snapshot(&*t.store, &bob, &world).await?;
    for polls in 0..POLLS {
        File::new("a.md", "lighthouse")?.write(&*t.store, &ada).await?;
        apply(&*t.store, &ada, PrivacyOp::Forget).await?;
        let result = poll_at_most(polls, t.maintenance.scrub()).await;
        // Writing and reading go on, and nothing else is gone.
        apply(&*t.store, &ada, setting("later", polls)?).await?;
        assert_same(&before, &snapshot(&*t.store, &bob, &world).await?);
        assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
        if let Some(result) = result {
            assert_eq!(result?.pending, Vec::<String>::new(), "an earlier scrub that was dropped is in the way");
            return Ok(());
        }
    }
    Err(Failure::new("the call never ended"))
}

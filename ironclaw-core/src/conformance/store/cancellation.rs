use super::fixtures::{File, apply, conversation, saying, setting, words};
use super::snapshot::{assert_same, snapshot};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, at_once, poll_at_most};
use crate::id::{ConversationId, SettingKey};
use crate::model::audit::{Action, AuditFilter};
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
    let setting = store.settings().setting(scope, &SettingKey::parse(path)?).await?.is_some();
    let file = store.workspace().entry(scope, &crate::model::workspace::WorkspacePath::parse(path)?).await?.is_some();
    let filter = AuditFilter { action: Some(Action::ConversationCreate), ..AuditFilter::default() };
    let created = store.audit().events(scope, &filter, &PageRequest::first(1_000)?).await?.items;
    let audited = created.iter().any(|entry| entry.event.subjects.iter().any(|subject| subject.id == *id.as_bytes()));
    let parts = [found.is_some(), found.is_some_and(|c| c.messages == 2), messages == 2, setting, file, audited];
    match parts {
        [true, true, true, true, true, true] => Ok(true),
        [false, false, false, false, false, false] if messages == 0 => Ok(false),
        _ => Err(Failure::new(format!("half a change is there: {parts:?}, {messages} messages"))),
    }
}

pub(super) async fn dropped_at_every_await(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    conversation(&*t.store, &ada).await?;
    for polls in 0..POLLS {
        let (id, path) = (ConversationId::make(&SystemClock), format!("{polls}"));
        let result = poll_at_most(polls, t.store.apply(&ada, change(id, &path)?)).await;
        // A later write is behind the dropped one, so that what was begun is done when it is.
        apply(&*t.store, &ada, setting("later", polls)?).await?;
        let whole = is_whole(&*t.store, &ada, id, &path).await?;
        assert!(whole || polls > 0 || result.is_none());
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
            let (id, path) = (ConversationId::make(&SystemClock), format!("{n}"));
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

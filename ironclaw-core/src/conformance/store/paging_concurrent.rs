use std::collections::BTreeMap;

use super::fixtures::{File, apply, conversation, say, setting};
use super::{StoreSubject, user};
use crate::change::{ConversationOp, SettingOp, WorkspaceOp};
use crate::conformance::check::{Failure, Outcome, Present, all_pages};
use crate::id::{ConversationId, SettingKey};
use crate::model::workspace::WorkspacePath;
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::Store;

/// An id that sorts as `n` does.
fn id(n: u8) -> ConversationId {
    let mut bytes = [n; 16];
    (bytes[6], bytes[8]) = (0x70, 0x80);
    ConversationId::from_bytes(bytes)
}

async fn create(store: &dyn Store, scope: &Scope, n: u8) -> Result<(), Failure> {
    apply(store, scope, ConversationOp::Create { id: id(n), title: n.to_string() }).await?;
    Ok(())
}

/// Reads on to the end, doing something before each page, and counts how often each conversation came.
async fn read_on(
    store: &dyn Store,
    scope: &Scope,
    mut between: impl FnMut(usize) -> Option<ConversationOp> + Send,
) -> Result<BTreeMap<ConversationId, usize>, Failure> {
    let mut seen = BTreeMap::new();
    let mut request = PageRequest::first(3)?;
    for page in 0.. {
        let found = store.conversations().conversations(scope, &request).await?;
        for conversation in found.items {
            *seen.entry(conversation.id).or_default() += 1;
        }
        match found.next {
            Some(next) => request = request.after(next),
            None => break,
        }
        if let Some(operation) = between(page) {
            apply(store, scope, operation).await?;
        }
        assert!(page < 100, "a listing that does not end");
    }
    Ok(seen)
}

pub(super) async fn rows_before_the_cursor_come_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for n in (10..=200).step_by(10) {
        create(&*t.store, &ada, n).await?;
    }
    // Rows come before and after where the reading stands, and rows change while it goes on.
    let mut new = 15;
    let seen = read_on(&*t.store, &ada, |page| {
        new += 20;
        Some(match page % 3 {
            0 => ConversationOp::Create { id: id(new), title: String::new() },
            1 => ConversationOp::Create { id: id(253 - new), title: String::new() },
            _ => ConversationOp::Rename { id: id(10), title: page.to_string() },
        })
    })
    .await?;
    for n in (10..=200).step_by(10) {
        assert_eq!(seen.get(&id(n)), Some(&1), "conversation {n}");
    }
    assert!(seen.values().all(|&times| times == 1), "{seen:?}");
    Ok(())
}

pub(super) async fn late_rows_with_lower_ids(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for n in [100, 110, 120, 130, 140, 150] {
        create(&*t.store, &ada, n).await?;
    }
    let mut late = 145;
    let seen = read_on(&*t.store, &ada, |_| {
        late -= 10;
        Some(ConversationOp::Create { id: id(late), title: String::new() })
    })
    .await?;
    for n in [100, 110, 120, 130, 140, 150] {
        assert_eq!(seen.get(&id(n)), Some(&1), "conversation {n}");
    }
    // The same in a listing from the lowest on: settings by key.
    for key in ["d", "e", "f", "g"] {
        apply(&*t.store, &ada, setting(key, 1)?).await?;
    }
    let first = t.store.settings().settings(&ada, &PageRequest::first(2)?).await?;
    for key in ["a", "ea", "fa"] {
        apply(&*t.store, &ada, setting(key, 1)?).await?;
    }
    let rest = PageRequest::first(100)?.after(first.next.present()?);
    let rest = t.store.settings().settings(&ada, &rest).await?.items;
    let keys: Vec<&str> = rest.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys, ["ea", "f", "fa", "g"]);
    Ok(())
}

pub(super) async fn deleted_between_pages(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for n in (10..=120).step_by(10) {
        create(&*t.store, &ada, n).await?;
    }
    // The row at which the first page ended goes, and one that is still to come.
    let mut gone = [100, 20, 110].into_iter();
    let seen = read_on(&*t.store, &ada, |_| gone.next().map(|n| ConversationOp::Delete { id: id(n) })).await?;
    for n in [10, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120] {
        assert_eq!(seen.get(&id(n)), Some(&1), "conversation {n}");
    }
    assert_eq!(seen.get(&id(20)), None);

    for n in 0..6 {
        File::new(&format!("{n}"), "text")?.write(&*t.store, &ada).await?;
        apply(&*t.store, &ada, setting(&format!("{n}"), n)?).await?;
    }
    let files = t.store.workspace().entries(&ada, None, &PageRequest::first(3)?).await?;
    let settings = t.store.settings().settings(&ada, &PageRequest::first(3)?).await?;
    apply(&*t.store, &ada, WorkspaceOp::DeleteEntry { path: WorkspacePath::parse("2")? }).await?;
    apply(&*t.store, &ada, SettingOp::Delete { key: SettingKey::parse("2")? }).await?;
    let request = |next| Ok::<_, Failure>(PageRequest::first(100)?.after(next));
    let rest = t.store.workspace().entries(&ada, None, &request(files.next.present()?)?).await?.items;
    assert_eq!(rest.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["3", "4", "5"]);
    let rest = t.store.settings().settings(&ada, &request(settings.next.present()?)?).await?.items;
    assert_eq!(rest.iter().map(|setting| setting.key.as_str()).collect::<Vec<_>>(), ["3", "4", "5"]);
    Ok(())
}

pub(super) async fn messages_while_appending(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    for _ in 0..10 {
        say(&*t.store, &ada, id, "before").await?;
    }
    let (store, scope) = (t.store.clone(), ada.clone());
    let writer = tokio::spawn(async move {
        for _ in 0..30 {
            say(&*store, &scope, id, "meanwhile").await?;
        }
        Ok::<_, Failure>(())
    });
    for _ in 0..5 {
        let seen = all_pages!(2, |page| t.store.conversations().messages(&ada, id, page));
        let sequences: Vec<u64> = seen.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
        assert!(sequences.len() >= 10);
    }
    writer.await??;
    Ok(())
}

use std::collections::BTreeMap;

use super::fixtures::{apply, conversation, say, setting};
use super::listings::{Listed, each_listing, fill, keys};
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages};
use crate::id::{ConversationId, ErasureId};
use crate::maintenance::SystemChange;
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
    Ok(())
}

pub(super) async fn every_listing_while_rows_come(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut lists = fill(&t, &ada).await?;
    // Before all others, after all others, and between two, in turns.
    let mut new = 0;
    let mut place = move || {
        new += 1;
        match new % 3 {
            0 => 99 - new % 99,
            1 => 800 + new,
            _ => 100 * (1 + new % 6) + new % 100,
        }
    };
    each_listing!(t, ada, lists, |name, page, read| {
        let before = keys(name, &read!(&PageRequest::first(PageRequest::MAX)?)?.items);
        let (mut seen, mut request) = (Vec::new(), PageRequest::first(3)?);
        for pages in 0.. {
            let found = read!(&request)?;
            seen.extend(found.items);
            let Some(next) = found.next else {
                break;
            };
            request = request.after(next);
            // New rows after the place of reading may go on for ever; the listing need not.
            if pages < 3 {
                lists.add(&t, &ada, place()).await?;
            }
            assert!(pages < 1_000, "{name} does not end");
        }
        let seen = keys(name, &seen);
        let missing: Vec<_> = before.iter().filter(|key| !seen.contains(key)).collect();
        assert!(missing.is_empty(), "{name} left out {missing:?}");
        let order: Vec<_> = seen.iter().filter(|key| before.contains(key)).collect();
        assert_eq!(order, before.iter().collect::<Vec<_>>(), "{name} changed its order");
    });
    Ok(())
}

pub(super) async fn every_listing_while_rows_go(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let lists = fill(&t, &ada).await?;
    let mut deleted = Vec::new();
    each_listing!(t, ada, lists, |name, page, read| {
        let whole = read!(&PageRequest::first(PageRequest::MAX)?)?.items;
        let first = read!(&PageRequest::first(3)?)?;
        assert_eq!(keys(name, &first.items), keys(name, &whole[..3]));
        // The row at which the page ended goes, and one that is still to come.
        if let (Some(at_the_end), Some(to_come)) = (whole[2].deletion(), whole[4].deletion()) {
            t.store.apply(&ada, Change::new().with(at_the_end).with(to_come)).await?;
            deleted.push(name);
            let rest = read!(&PageRequest::first(PageRequest::MAX)?.after(first.next.present()?))?.items;
            let mut expected = keys(name, &whole[3..]);
            expected.remove(1);
            assert_eq!(keys(name, &rest), expected, "{name}");
        }
    });
    assert_eq!(deleted, ["conversations", "entries", "jobs", "secrets", "settings"]);
    Ok(())
}

pub(super) async fn users_come_and_go(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for name in ["b", "d", "f", "h", "j", "l"] {
        apply(&*t.store, &user(name)?, setting("a", 1)?).await?;
    }
    let first = t.maintenance.users(&PageRequest::first(3)?).await?;
    assert_eq!(first.items.iter().map(|(_, user)| user.id.as_str()).collect::<Vec<_>>(), ["b", "d", "f"]);
    for name in ["a", "e", "i"] {
        apply(&*t.store, &user(name)?, setting("a", 1)?).await?;
    }
    for name in ["f", "j"] {
        let (scope, id) = (user(name)?, ErasureId::make(&SystemClock));
        let (tenant, owner) = (scope.tenant().clone(), scope.owner().clone());
        t.maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id }).await?;
    }
    let rest = t.maintenance.users(&PageRequest::first(100)?.after(first.next.present()?)).await?.items;
    assert_eq!(rest.iter().map(|(_, user)| user.id.as_str()).collect::<Vec<_>>(), ["h", "i", "l"]);
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

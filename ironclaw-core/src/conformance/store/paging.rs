use std::collections::BTreeSet;

use super::fixtures::{File, apply, data_key, secret_op, setting, words};
use super::listings::{ROWS, each_listing, fill};
use super::{StoreSubject, user};
use crate::change::WorkspaceOp;
use crate::conformance::check::{Outcome, Present, all_pages};
use crate::conformance::random::{Random, letters};
use crate::id::SecretName;
use crate::model::workspace::WorkspacePath;
use crate::page::{Cursor, PageRequest};
use crate::store::{SearchFilter, StoreErrorKind};

pub(super) async fn every_listing_in_pages(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let lists = fill(&t, &ada).await?;
    fill(&t, &user("bob")?).await?;
    each_listing!(t, ada, lists, |name, page, read| {
        let whole = read!(&PageRequest::first(PageRequest::MAX)?)?;
        assert!(whole.items.len() >= ROWS, "{name} lists {} rows", whole.items.len());
        assert_eq!(whole.next, None, "{name} promises more than all");
        for limit in [1, 2, 3, ROWS as u32, 100] {
            let in_pages = all_pages!(limit, |request| async { read!(request) });
            assert_eq!(in_pages, whole.items, "{name} in pages of {limit}");
        }
    });
    let users = all_pages!(1, |page| t.maintenance.users(page));
    assert_eq!(users.len(), 2);
    Ok(())
}

/// What a store can't read it refuses. A listing that is ordered by a text may read any text as a place in it; then it
/// shows the owner's rows after that place, and nothing else.
pub(super) async fn cursors_of_nonsense_are_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let lists = fill(&t, &ada).await?;
    fill(&t, &user("bob")?).await?;
    let long = letters(100_000);
    let never = ["", "\0", "a\0b", long.as_str()];
    for text in ["x", "0", "-1", "1.5", "%", "' OR 1=1 --", "🦀", "AAAA", "{}", "null", "ffff"].iter().chain(&never) {
        each_listing!(t, ada, lists, |name, page, read| {
            let whole = read!(&PageRequest::first(PageRequest::MAX)?)?.items;
            let request = PageRequest::first(100)?.after(Cursor::new(*text));
            let by_text = ["entries", "secrets", "agents", "settings"].contains(&name);
            match read!(&request) {
                Err(error) => match error.kind() {
                    StoreErrorKind::InvalidInput(input) => assert_eq!(input.field(), "cursor", "{name}: {error}"),
                    _ => panic!("{name} with {text:?}: {error}"),
                },
                Ok(found) => {
                    let number = text.parse::<u64>().is_ok();
                    assert!((by_text || number) && !never.contains(text), "{name} takes {text:.40?} for a cursor");
                    assert!(found.items.iter().all(|row| whole.contains(row)), "{name} with {text:?}");
                }
            }
        });
    }
    Ok(())
}

pub(super) async fn cursors_of_other_listings_do_no_harm(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let (lists, others) = (fill(&t, &ada).await?, fill(&t, &bob).await?);
    let mut cursors = BTreeSet::new();
    each_listing!(t, bob, others, |name, page, read| {
        let next = read!(&PageRequest::first(2)?)?.next.present()?;
        cursors.insert((name, next.as_str().to_owned()));
    });
    each_listing!(t, ada, lists, |name, page, read| {
        let whole = read!(&PageRequest::first(PageRequest::MAX)?)?.items;
        for (of, cursor) in &cursors {
            let request = PageRequest::first(100)?.after(Cursor::new(cursor.as_str()));
            match read!(&request) {
                // Only rows of one's own, whatever the cursor says.
                Ok(found) => {
                    let own = found.items.iter().all(|row| whole.contains(row));
                    assert!(own, "{name} with the cursor of {of} shows another's rows");
                }
                Err(error) => {
                    let refused =
                        matches!(error.kind(), StoreErrorKind::InvalidInput(input) if input.field() == "cursor");
                    assert!(refused, "{name} with the cursor of {of}: {error}");
                }
            }
        }
    });
    Ok(())
}

pub(super) async fn a_full_last_page(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for n in 0..6 {
        apply(&*t.store, &ada, setting(&format!("{n}"), n)?).await?;
    }
    let first = t.store.settings().settings(&ada, &PageRequest::first(3)?).await?;
    let second = t.store.settings().settings(&ada, &PageRequest::first(3)?.after(first.next.present()?)).await?;
    assert_eq!((first.items.len(), second.items.len()), (3, 3));
    if let Some(next) = second.next {
        let third = t.store.settings().settings(&ada, &PageRequest::first(3)?.after(next)).await?;
        assert_eq!((third.items.len(), third.next), (0, None));
    }
    for limit in [0, PageRequest::MAX + 1, u32::MAX] {
        assert!(PageRequest::first(limit).is_err());
    }
    Ok(())
}

pub(super) async fn prefixed_listings(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut names: Vec<String> = (0..25).map(|n| format!("folder/{}", "x".repeat(n + 1))).collect();
    for name in names.iter().chain(&["folde".to_owned(), "folder0".to_owned(), "g".to_owned()]) {
        File::new(name, "text")?.write(&*t.store, &ada).await?;
    }
    names.sort_unstable();
    let prefix = WorkspacePath::parse("folder")?;
    for limit in [1, 4, 25] {
        let found = all_pages!(limit, |page| t.store.workspace().entries(&ada, Some(&prefix), page));
        assert_eq!(found.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), names);
    }
    let key = data_key(&*t.store, &ada).await?;
    apply(&*t.store, &ada, secret_op(&SecretName::parse("s")?, 1, key)).await?;
    assert_eq!(t.store.secrets().secrets(&ada, &PageRequest::first(1)?).await?.items.len(), 1);
    Ok(())
}

/// Paths that differ only far from their beginning, of characters of one and of four bytes, in the order of their bytes.
pub(super) async fn long_paths(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let mut random = Random::new(3);
    let narrow = random.letters(4_000);
    let wide: String = (0..1_000).map(|_| char::from_u32(0x1_f300 + random.below(200) as u32).unwrap_or('x')).collect();
    let mut below: Vec<String> = Vec::new();
    for folder in [&narrow[..599], &narrow[..600], narrow.as_str(), wide.as_str()] {
        below.extend(["", "-", "0", "/0", "/1", "/1/x", "/é"].map(|end| format!("f/{folder}{end}")));
        let whole = format!("f/{folder}/");
        let end = random.letters(WorkspacePath::BYTES - whole.len());
        below.push(whole + &end);
    }
    let mut names = below.clone();
    names.extend(["f", "f!", "f0", "e", "g"].map(str::to_owned));
    for name in &names {
        File::new(name, "lighthouse")?.write(&*t.store, &ada).await?;
    }
    File::new(&below[0], "lighthouse")?.write(&*t.store, &bob).await?;
    names.sort_unstable();
    let read = t.store.workspace();
    for limit in [1, 5, 100] {
        let found = all_pages!(limit, |page| read.entries(&ada, None, page));
        assert!(found.iter().map(|entry| entry.path.as_str()).eq(names.iter().map(String::as_str)), "pages of {limit}");
    }
    for prefix in names.iter().chain([&format!("f/{}", &narrow[..300])]) {
        let prefix = WorkspacePath::parse(prefix.as_str())?;
        let mut within = Vec::new();
        for name in &names {
            let path = WorkspacePath::parse(name.as_str())?;
            if path.is_within(&prefix) {
                within.push(path);
            }
        }
        let found = all_pages!(3, |page| read.entries(&ada, Some(&prefix), page));
        assert!(found.iter().map(|entry| &entry.path).eq(&within), "below {prefix:.40}");
        let filter = SearchFilter { prefix: Some(prefix) };
        let hits = read.search_text(&ada, &words("lighthouse"), &filter, 100).await?;
        assert_eq!(hits.len(), within.len());
    }
    for name in &below {
        let path = WorkspacePath::parse(name.as_str())?;
        let first = read.entry(&ada, &path).await?.present()?;
        let second = File::new(name, "replaced")?;
        second.write(&*t.store, &ada).await?;
        let replaced = read.entry(&ada, &path).await?.present()?;
        assert!(replaced.version != first.version && replaced.created_at == first.created_at);
        assert!(read.content(&ada, &path, 0, u64::MAX).await?.present()? == b"replaced");
        apply(&*t.store, &ada, WorkspaceOp::DeleteEntry { path: path.clone() }).await?;
        assert_eq!(read.entry(&ada, &path).await?, None);
    }
    assert_eq!(all_pages!(100, |page| read.entries(&ada, None, page)).len(), names.len() - below.len());
    assert_eq!(all_pages!(100, |page| read.entries(&bob, None, page)).len(), 1);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

use serde_json::{Value, json};

use super::MemorySubject;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, at_once, poll_at_most};
use crate::conformance::store::user;
use crate::conformance::text::{HOSTILE, hostile_json, long_text};
use crate::memory::{MemoryErrorKind, SearchQuery};
use crate::model::workspace::{ContentHash, WorkspacePath};
use crate::page::PageRequest;

fn path(text: &str) -> Result<WorkspacePath, Failure> {
    Ok(WorkspacePath::parse(text)?)
}

pub(super) async fn absent_is_none(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("none.md")?);
    assert_eq!(memory.entry(&ada, &path).await?, None);
    assert_eq!(memory.read(&ada, &path, 0, 10).await?, None);
    assert_eq!(memory.list(&ada, None, &PageRequest::default()).await?.items, []);
    assert!(!memory.delete(&ada, &path).await?);
    Ok(())
}

pub(super) async fn write_then_read(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, text) = (user("ada")?, "# Plan\n\nThe launch is on Friday.\n");
    let path = path("notes/ünïcode 日本 '; --.md")?;
    let written = memory.write(&ada, &path, text.as_bytes(), Value::Null).await?;
    assert!(written.changed);
    assert_eq!((&written.entry.path, written.entry.size), (&path, text.len() as u64));
    assert_eq!(written.entry.content_hash, ContentHash::of(text.as_bytes()));
    assert!(written.entry.chunks > 0);
    assert_eq!(memory.entry(&ada, &path).await?.present()?, written.entry);
    assert_eq!(memory.read(&ada, &path, 0, u64::MAX).await?.present()?, text.as_bytes());
    Ok(())
}

pub(super) async fn any_bytes(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let ada = user("ada")?;
    let mut contents: Vec<Vec<u8>> = HOSTILE.iter().map(|text| text.as_bytes().to_vec()).collect();
    contents.extend([vec![0], vec![0xff, 0xfe, 0], (0..=255).collect(), b"text and \xff no text".to_vec()]);
    contents.extend(["\u{feff}with a mark".into(), "\r\n\r\n".into(), b"a\0b".to_vec(), " ".repeat(5_000).into()]);
    for (n, content) in contents.iter().enumerate() {
        let path = path(&format!("{n}.md"))?;
        memory.write(&ada, &path, content, Value::Null).await?;
        assert_eq!(memory.read(&ada, &path, 0, u64::MAX).await?.as_ref(), Some(content), "content {n}");
    }
    Ok(())
}

pub(super) async fn unchanged_is_not_written_again(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("a.md")?);
    let first = memory.write(&ada, &path, b"the same text", Value::Null).await?;
    let again = memory.write(&ada, &path, b"the same text", Value::Null).await?;
    assert_eq!((again.changed, again.embedded), (false, 0));
    assert_eq!(again.entry, first.entry);
    Ok(())
}

pub(super) async fn changed_replaces(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("a.md")?);
    let long = long_text(50_000);
    for text in ["short", long.as_str(), "another", "", "last"] {
        let written = memory.write(&ada, &path, text.as_bytes(), Value::Null).await?;
        assert!(written.changed);
        assert!(memory.read(&ada, &path, 0, u64::MAX).await?.present()? == text.as_bytes());
    }
    assert_eq!(memory.list(&ada, None, &PageRequest::default()).await?.items.len(), 1);
    Ok(())
}

pub(super) async fn ranges_are_cut(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("a.md")?);
    memory.write(&ada, &path, b"0123456789", Value::Null).await?;
    for (start, end, expected) in
        [(0, 4, "0123"), (3, 3, ""), (8, 100, "89"), (10, 11, ""), (99, 100, ""), (0, u64::MAX, "0123456789")]
    {
        assert_eq!(memory.read(&ada, &path, start, end).await?.present()?, expected.as_bytes(), "{start}..{end}");
    }
    let kind = memory.read(&ada, &path, 5, 4).await.map_err(|error| error.kind().clone());
    assert_eq!(kind, Err(MemoryErrorKind::InvalidInput));
    Ok(())
}

pub(super) async fn listed_in_order(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let ada = user("ada")?;
    let mut paths = ["b/c", "a", "a/b", "ab", "a b", "ä", "B"];
    for name in paths {
        memory.write(&ada, &path(name)?, name.as_bytes(), Value::Null).await?;
    }
    paths.sort_unstable();
    for limit in [1, 3, 100] {
        let found = all_pages!(limit, |page| memory.list(&ada, None, page));
        assert_eq!(found.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), paths);
    }
    let below = path("a")?;
    let found = all_pages!(1, |page| memory.list(&ada, Some(&below), page));
    assert_eq!(found.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["a", "a/b"]);
    Ok(())
}

pub(super) async fn deleted_is_gone(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, gone, kept) = (user("ada")?, path("gone.md")?, path("kept.md")?);
    for path in [&gone, &kept] {
        memory.write(&ada, path, b"text", Value::Null).await?;
    }
    assert!(memory.delete(&ada, &gone).await?);
    assert!(!memory.delete(&ada, &gone).await?);
    assert_eq!(memory.entry(&ada, &gone).await?, None);
    assert_eq!(memory.read(&ada, &gone, 0, 10).await?, None);
    assert_eq!(memory.list(&ada, None, &PageRequest::default()).await?.items.len(), 1);
    assert!(memory.write(&ada, &gone, b"text", Value::Null).await?.changed, "it can be written again");
    Ok(())
}

pub(super) async fn large_file(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("large.md")?);
    let mut text = long_text(1 << 20);
    text.push_str("\n\nThe pelican sleeps on the jetty.\n");
    let written = memory.write(&ada, &path, text.as_bytes(), Value::Null).await?;
    assert!(written.entry.chunks > 10);
    assert!(memory.read(&ada, &path, 0, u64::MAX).await?.present()? == text.as_bytes(), "another text came back");
    let found = memory.search(&ada, &SearchQuery::new("Where does the pelican sleep?")).await?.passages;
    assert!(found.first().present()?.text.contains("pelican"), "its end is found as well");
    Ok(())
}

pub(super) async fn empty_file(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("empty.md")?);
    let written = memory.write(&ada, &path, b"", Value::Null).await?;
    assert!(written.changed);
    assert_eq!((written.entry.size, written.entry.chunks), (0, 0));
    assert_eq!(memory.read(&ada, &path, 0, 10).await?.present()?, b"");
    Ok(())
}

pub(super) async fn metadata_is_kept(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("a.md")?);
    memory.write(&ada, &path, b"text", hostile_json("metadata")).await?;
    assert_eq!(memory.entry(&ada, &path).await?.present()?.metadata, hostile_json("metadata"));
    for refused in [json!([]), json!("text"), json!({"a": "\0"})] {
        let kind = memory.write(&ada, &path, b"other", refused).await.map_err(|error| error.kind().clone());
        assert!(matches!(kind, Err(MemoryErrorKind::InvalidInput)), "{kind:?}");
    }
    assert_eq!(memory.read(&ada, &path, 0, 10).await?.present()?, b"text", "the old file stays");
    Ok(())
}

pub(super) async fn written_at_once(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, shared) = (user("ada")?, path("shared.md")?);
    let texts: Vec<String> = (0..12).map(|n| format!("{n} ").repeat(2_000)).collect();
    let results = at_once(texts.len(), |n| {
        let (memory, ada, shared, text) = (memory.clone(), ada.clone(), shared.clone(), texts[n].clone());
        async move {
            memory.write(&ada, &shared, text.as_bytes(), Value::Null).await?;
            memory.write(&ada, &path(&format!("{n}.md"))?, text.as_bytes(), Value::Null).await?;
            Ok::<_, Failure>(())
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    let content = memory.read(&ada, &shared, 0, u64::MAX).await?.present()?;
    assert!(texts.iter().any(|text| text.as_bytes() == content), "a mixture of two texts");
    assert_eq!(memory.list(&ada, None, &PageRequest::default()).await?.items.len(), 13);
    Ok(())
}

pub(super) async fn dropped_at_every_await(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, path("a.md")?);
    let (old, new) = ("old text ".repeat(500), "new text ".repeat(500));
    memory.write(&ada, &path, old.as_bytes(), Value::Null).await?;
    for polls in 0..1_000 {
        let write = memory.write(&ada, &path, new.as_bytes(), Value::Null);
        let done = poll_at_most(polls, write).await.transpose()?.is_some();
        let content = memory.read(&ada, &path, 0, u64::MAX).await?.present()?;
        assert!(content == new.as_bytes() || (!done && content == old.as_bytes()), "a part of a file");
        if done {
            return Ok(());
        }
        memory.write(&ada, &path, old.as_bytes(), Value::Null).await?;
        assert!(memory.read(&ada, &path, 0, u64::MAX).await?.present()? == old.as_bytes());
    }
    Err(Failure::new("writing never ended"))
}

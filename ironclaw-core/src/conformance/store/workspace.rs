use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixtures::{File, apply, model, words};
use super::world::{FILE, SPLIT, World};
use super::{StoreSubject, user};
use crate::change::{Change, WorkspaceOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, refused, refused_field};
use crate::conformance::text::hostile_json;
use crate::embedder::EmbeddingModel;
use crate::id::{ChunkId, VersionId};
use crate::model::workspace::{ChunkText, ContentHash, Entry, NewVersion, Part, WorkspacePath};
use crate::page::PageRequest;
use crate::store::{SearchFilter, StoreErrorKind, VectorQuery};

fn part(offset: u64, bytes: &[u8]) -> Part {
    Part { offset, bytes: bytes.to_vec(), chunks: Vec::new() }
}

fn begin(path: &WorkspacePath) -> (VersionId, WorkspaceOp) {
    let (id, metadata) = (VersionId::make(&SystemClock), serde_json::Value::Null);
    let version = NewVersion { id, path: path.clone(), metadata, embedding_model: None };
    (id, WorkspaceOp::BeginVersion { version })
}

fn publish(version: VersionId, content: &[u8]) -> WorkspaceOp {
    WorkspaceOp::Publish { version, size: content.len() as u64, content_hash: ContentHash::of(content) }
}

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, path) = (user("ada")?, WorkspacePath::parse("nothing.md")?);
    let read = t.store.workspace();
    assert_eq!(read.entry(&ada, &path).await?, None);
    assert_eq!(read.entries(&ada, Some(&path), &PageRequest::default()).await?.items, []);
    assert_eq!(read.content(&ada, &path, 0, 1).await?, None);
    assert_eq!(read.embedding_models(&ada).await?, []);
    assert_eq!(read.chunks(&ada, &[ChunkId::make(&SystemClock)]).await?, []);
    assert_eq!(read.chunks(&ada, &[]).await?, []);
    let filter = SearchFilter::default();
    assert_eq!(read.search_text(&ada, &words("anything"), &filter, 10).await?, []);
    let query = VectorQuery { model: World::new(t.now())?.model, vector: vec![1.0] };
    assert_eq!(read.search_vectors(&ada, &query, &filter, 10).await?, [], "an unknown model finds nothing");
    Ok(())
}

pub(super) async fn round_trips_every_field(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let world = World::new(t.now())?;
    world.seed(store, &ada).await?;
    let read = store.workspace();
    let found = read.entry(&ada, &world.path).await?.present()?;
    let expected = Entry {
        path: world.path.clone(),
        version: world.version,
        size: FILE.len() as u64,
        content_hash: ContentHash::of(FILE.as_bytes()),
        metadata: hostile_json("entry"),
        embedding_model: Some(world.model.clone()),
        chunks: 2,
        created_at: found.created_at,
        updated_at: found.updated_at,
    };
    assert_eq!(found, expected);
    assert_eq!(read.entries(&ada, None, &PageRequest::default()).await?.items, [expected]);
    let content = read.content(&ada, &world.path, 0, FILE.len() as u64).await?.present()?;
    assert_eq!(String::from_utf8(content)?, FILE);
    let model = EmbeddingModel { id: world.model.clone(), dimensions: 3, lexical: true };
    assert_eq!(read.embedding_models(&ada).await?, [model]);
    let chunk = |chunk, start: u64, end: u64| ChunkText {
        chunk,
        path: world.path.clone(),
        start,
        end,
        text: FILE[start as usize..end as usize].to_owned(),
    };
    let expected = [chunk(world.chunks[0], 0, SPLIT), chunk(world.chunks[1], SPLIT, FILE.len() as u64)];
    assert_eq!(read.chunks(&ada, &world.chunks).await?, expected);
    Ok(())
}

pub(super) async fn staged_version_is_invisible(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let model = model(store, &ada, "m", 2).await?;
    let file = File::new("a/plan.md", "lighthouse")?.embedded(&model, [1.0, 0.0]);
    let version = VersionId::make(&SystemClock);
    apply(store, &ada, file.begin(version)).await?;
    apply(store, &ada, file.put(version)).await?;
    let read = store.workspace();
    let (everywhere, query) = (SearchFilter::default(), VectorQuery { model, vector: vec![1.0, 0.0] });
    assert_eq!(read.entry(&ada, &file.path).await?, None);
    assert_eq!(read.entries(&ada, None, &PageRequest::default()).await?.items, []);
    assert_eq!(read.content(&ada, &file.path, 0, 10).await?, None);
    assert_eq!(read.chunks(&ada, &[file.chunk]).await?, []);
    assert_eq!(read.search_text(&ada, &words("lighthouse"), &everywhere, 10).await?, []);
    assert_eq!(read.search_vectors(&ada, &query, &everywhere, 10).await?, []);
    apply(store, &ada, file.publish(version)).await?;
    assert_eq!(read.entry(&ada, &file.path).await?.present()?.version, version);
    assert_eq!(read.search_text(&ada, &words("lighthouse"), &everywhere, 10).await?.len(), 1);
    assert_eq!(read.search_vectors(&ada, &query, &everywhere, 10).await?.len(), 1);
    Ok(())
}

pub(super) async fn publish_replaces_at_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let (old, new) = (File::new("a.md", "old lighthouse")?, File::new("a.md", "new harbour, longer")?);
    old.write(store, &ada).await?;
    let created = store.workspace().entry(&ada, &old.path).await?.present()?;
    t.clock.advance(std::time::Duration::from_secs(3));
    new.write(store, &ada).await?;
    let replaced = store.workspace().entry(&ada, &old.path).await?.present()?;
    assert_eq!(replaced.created_at, created.created_at);
    assert!(replaced.updated_at >= created.updated_at);
    assert_eq!((replaced.size, replaced.chunks), (new.text.len() as u64, 1));
    assert_eq!(store.workspace().content(&ada, &old.path, 0, 100).await?.present()?, new.text.as_bytes());
    assert_eq!(store.workspace().chunks(&ada, &[old.chunk, new.chunk]).await?.len(), 1);
    let filter = SearchFilter::default();
    assert_eq!(store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?, []);
    assert_eq!(store.workspace().search_text(&ada, &words("harbour"), &filter, 10).await?[0].chunk, new.chunk);
    Ok(())
}

pub(super) async fn parts_must_follow_each_other(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let (version, begin) = begin(&WorkspacePath::parse("a.bin")?);
    apply(store, &ada, begin).await?;
    let put = |parts| WorkspaceOp::PutParts { version, parts };
    refused_field(apply(store, &ada, put(vec![part(1, b"gap")])).await);
    apply(store, &ada, put(vec![part(0, b"0123"), part(4, b"4567")])).await?;
    for (wrong, why) in [
        (vec![part(9, b"x")], "a gap"),
        (vec![part(7, b"x")], "an overlap"),
        (vec![part(0, b"0123")], "again"),
        (vec![part(8, b"89"), part(11, b"x")], "a gap within one change"),
    ] {
        let result = apply(store, &ada, put(wrong)).await;
        assert!(
            matches!(result.as_ref().map_err(|e| e.kind()), Err(StoreErrorKind::InvalidInput(_))),
            "{why}: {result:?}"
        );
    }
    apply(store, &ada, put(vec![part(8, b"89")])).await?;
    apply(store, &ada, publish(version, b"0123456789")).await?;
    Ok(())
}

pub(super) async fn publish_checks_size_and_hash(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let path = WorkspacePath::parse("a.bin")?;
    let (version, begin) = begin(&path);
    apply(store, &ada, begin).await?;
    apply(store, &ada, WorkspaceOp::PutParts { version, parts: vec![part(0, b"abc")] }).await?;
    let wrong_size = WorkspaceOp::Publish { version, size: 4, content_hash: ContentHash::of(b"abc") };
    refused_field(apply(store, &ada, wrong_size).await);
    assert_eq!(store.workspace().entry(&ada, &path).await?, None);
    apply(store, &ada, publish(version, b"abc")).await?;
    refused(apply(store, &ada, publish(VersionId::make(&SystemClock), b"abc")).await, StoreErrorKind::NotFound);
    Ok(())
}

pub(super) async fn published_version_takes_no_parts(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let path = WorkspacePath::parse("a.bin")?;
    let (version, begin) = begin(&path);
    apply(store, &ada, begin).await?;
    apply(store, &ada, WorkspaceOp::PutParts { version, parts: vec![part(0, b"abc")] }).await?;
    apply(store, &ada, publish(version, b"abc")).await?;
    let more = WorkspaceOp::PutParts { version, parts: vec![part(3, b"def")] };
    refused(apply(store, &ada, more).await, StoreErrorKind::NotFound);
    refused(apply(store, &ada, publish(version, b"abc")).await, StoreErrorKind::NotFound);
    apply(store, &ada, WorkspaceOp::Abandon { version }).await?;
    assert_eq!(store.workspace().content(&ada, &path, 0, 10).await?.present()?, b"abc");
    Ok(())
}

pub(super) async fn abandoned_version_is_gone(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let (version, begin) = begin(&WorkspacePath::parse("a.bin")?);
    apply(store, &ada, begin.clone()).await?;
    refused(apply(store, &ada, begin).await, StoreErrorKind::AlreadyExists);
    assert_eq!(apply(store, &ada, WorkspaceOp::Abandon { version }).await?.numbers, [1]);
    assert_eq!(apply(store, &ada, WorkspaceOp::Abandon { version }).await?.numbers, [0]);
    let put = WorkspaceOp::PutParts { version, parts: vec![part(0, b"abc")] };
    refused(apply(store, &ada, put).await, StoreErrorKind::NotFound);
    refused(apply(store, &ada, publish(version, b"")).await, StoreErrorKind::NotFound);
    Ok(())
}

pub(super) async fn content_is_cut_at_the_end(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let path = WorkspacePath::parse("a.bin")?;
    let (version, begin) = begin(&path);
    apply(store, &ada, begin).await?;
    let parts = vec![part(0, b"0123"), part(4, b"4"), part(5, b"56789")];
    apply(store, &ada, WorkspaceOp::PutParts { version, parts }).await?;
    apply(store, &ada, publish(version, b"0123456789")).await?;
    let whole = b"0123456789";
    for start in 0..=12_u64 {
        for end in start..=12 {
            let (from, to) = (start.min(10) as usize, end.min(10) as usize);
            let found = store.workspace().content(&ada, &path, start, end).await?.present()?;
            assert_eq!(found, &whole[from..to], "{start}..{end}");
        }
    }
    assert_eq!(store.workspace().content(&ada, &path, 8, u64::MAX).await?.present()?, b"89");
    assert_eq!(store.workspace().content(&ada, &path, u64::MAX, u64::MAX).await?.present()?, b"");
    refused_field(store.workspace().content(&ada, &path, 5, 4).await);
    Ok(())
}

pub(super) async fn empty_file_is_kept(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let path = WorkspacePath::parse("empty")?;
    let (version, begin) = begin(&path);
    store.apply(&ada, Change::new().with(begin).with(publish(version, b""))).await?;
    let entry = store.workspace().entry(&ada, &path).await?.present()?;
    assert_eq!((entry.size, entry.chunks), (0, 0));
    assert_eq!(store.workspace().content(&ada, &path, 0, 10).await?.present()?, b"");
    Ok(())
}

pub(super) async fn keeps_any_bytes(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let path = WorkspacePath::parse("blob")?;
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (version, begin) = begin(&path);
    let (first, second) = content.split_at(200_001);
    let put = |offset: usize, bytes| WorkspaceOp::PutParts { version, parts: vec![part(offset as u64, bytes)] };
    apply(store, &ada, begin).await?;
    apply(store, &ada, put(0, first)).await?;
    apply(store, &ada, put(first.len(), second)).await?;
    apply(store, &ada, publish(version, &content)).await?;
    let found = store.workspace().content(&ada, &path, 0, u64::MAX).await?.present()?;
    assert!(found == content, "the bytes came back others");
    let across = store.workspace().content(&ada, &path, 199_990, 200_010).await?.present()?;
    assert_eq!(across, &content[199_990..200_010]);
    Ok(())
}

pub(super) async fn model_must_be_registered(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let unknown = World::new(t.now())?.model;
    let file = File::new("a.md", "text")?.embedded(&unknown, [1.0]);
    refused(file.write(store, &ada).await, StoreErrorKind::NotFound);
    assert_eq!(store.workspace().entry(&ada, &file.path).await?, None);
    Ok(())
}

pub(super) async fn model_dimensions_never_change(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let id = model(store, &ada, "m", 3).await?;
    model(store, &ada, "m", 3).await?;
    let other = EmbeddingModel { id, dimensions: 4, lexical: false };
    refused(apply(store, &ada, WorkspaceOp::RegisterModel { model: other }).await, StoreErrorKind::Conflict);
    model(store, &ada, "a", 2).await?;
    let models = store.workspace().embedding_models(&ada).await?;
    let seen: Vec<_> = models.iter().map(|m| (m.id.as_str(), m.dimensions)).collect();
    assert_eq!(seen, [("a", 2), ("m", 3)]);
    Ok(())
}

pub(super) async fn prefix_ends_at_a_slash(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let paths = ["a", "a b/x", "a%b/x", "a-b", "a/b/c", "a/ä", "a_b/x", "aXb/x", "ab", "\u{10ffff}"];
    for path in paths {
        // A path can be both a file and a folder: the store knows paths only.
        File::new(path, "text")?.write(store, &ada).await?;
    }
    let mut sorted = paths.to_vec();
    sorted.sort_unstable();
    for prefix in [None, Some("a"), Some("a/b"), Some("a%b"), Some("a_b"), Some("zzz"), Some("a/b/c")] {
        let parsed = prefix.map(WorkspacePath::parse).transpose()?;
        let found = all_pages!(2, |page| store.workspace().entries(&ada, parsed.as_ref(), page));
        let found: Vec<&str> = found.iter().map(|entry| entry.path.as_str()).collect();
        let within = |path: &str| {
            prefix.is_none_or(|p| path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        let expected: Vec<&str> = sorted.iter().copied().filter(|path| within(path)).collect();
        assert_eq!(found, expected, "prefix {prefix:?}");
    }
    Ok(())
}

pub(super) async fn delete_removes_chunks(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let world = World::new(t.now())?;
    world.seed(store, &ada).await?;
    let delete = WorkspaceOp::DeleteEntry { path: world.path.clone() };
    assert_eq!(apply(store, &ada, delete.clone()).await?.numbers, [1]);
    assert_eq!(apply(store, &ada, delete).await?.numbers, [0]);
    let read = store.workspace();
    assert_eq!(read.entry(&ada, &world.path).await?, None);
    assert_eq!(read.content(&ada, &world.path, 0, 1).await?, None);
    assert_eq!(read.chunks(&ada, &world.chunks).await?, []);
    Ok(())
}

pub(super) async fn chunks_come_in_the_order_asked(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let mut chunks = Vec::new();
    for n in 0..5 {
        let file = File::new(&format!("{n}"), &format!("text {n}"))?;
        file.write(store, &ada).await?;
        chunks.push(file.chunk);
    }
    let gone = ChunkId::make(&SystemClock);
    let asked = [chunks[3], gone, chunks[0], chunks[4], chunks[1]];
    let found = store.workspace().chunks(&ada, &asked).await?;
    let texts: Vec<&str> = found.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts, ["text 3", "text 0", "text 4", "text 1"]);
    let many: Vec<ChunkId> = (0..1_000).map(|_| ChunkId::make(&SystemClock)).collect();
    assert_eq!(store.workspace().chunks(&ada, &many).await?, []);
    refused_field(store.workspace().chunks(&ada, &[many, vec![gone]].concat()).await);
    Ok(())
}

pub(super) async fn replaced_atomically_for_readers(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let texts = ["aaaa lighthouse", "bb harbour"];
    File::new("a.md", texts[0])?.write(&*t.store, &ada).await?;
    let done = Arc::new(AtomicBool::new(false));
    let (store, scope, stop) = (t.store.clone(), ada.clone(), done.clone());
    let reader = tokio::spawn(async move {
        let path = WorkspacePath::parse("a.md")?;
        let mut reads = 0;
        while !stop.load(Ordering::Relaxed) || reads == 0 {
            let content = store.workspace().content(&scope, &path, 0, 100).await?.present()?;
            assert!(texts.iter().any(|text| text.as_bytes() == content), "half a file: {content:?}");
            let entry = store.workspace().entry(&scope, &path).await?.present()?;
            let whole = texts.iter().any(|text| ContentHash::of(text.as_bytes()) == entry.content_hash);
            assert!(whole && entry.chunks == 1, "half an entry: {entry:?}");
            let query = words("lighthouse harbour");
            let found = store.workspace().search_text(&scope, &query, &SearchFilter::default(), 10).await?;
            assert_eq!(found.len(), 1, "the old and the new, or none of them");
            reads += 1;
        }
        Ok::<_, Failure>(())
    });
    for n in 1..=20 {
        File::new("a.md", texts[n % 2])?.write(&*t.store, &ada).await?;
    }
    done.store(true, Ordering::Relaxed);
    reader.await?
}

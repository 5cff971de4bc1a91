//! A hybrid memory on a real store: what is written is kept, found and replaced.

use std::io::Cursor;
use std::sync::Arc;

use crate::common::{Counting, ada, bob, hybrid, path};
use ironclaw_core::memory::{MemoryErrorKind, SearchQuery};
use ironclaw_core::model::workspace::ContentHash;
use ironclaw_core::{Embedder, Memory, PageRequest};
use ironclaw_memory::{HashEmbedder, HybridMemory, NewFile, Options};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

async fn found(memory: &HybridMemory, query: &str) -> Vec<String> {
    let results = memory.search(&ada(), &SearchQuery::new(query)).await.unwrap();
    results.passages.into_iter().map(|passage| passage.path.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_file_is_read_as_it_was_written() {
    let memory = hybrid().await;
    let content = "# Plan\n\nWe launch in March. Grüße, 東京!".as_bytes();
    let metadata = json!({"tags": ["launch"], "n": 1});
    let written = memory.write(&ada(), &path("notes/plan.md"), content, metadata.clone()).await.unwrap();
    assert!(written.changed);
    assert_eq!(written.embedded, 1);
    assert_eq!(written.entry.content_hash, ContentHash::of(content));
    assert_eq!(written.entry.metadata, metadata);
    assert_eq!(memory.entry(&ada(), &path("notes/plan.md")).await.unwrap(), Some(written.entry));
    assert_eq!(memory.read(&ada(), &path("notes/plan.md"), 0, u64::MAX).await.unwrap().as_deref(), Some(content));
    assert_eq!(memory.read(&ada(), &path("notes/plan.md"), 2, 6).await.unwrap().as_deref(), Some(&b"Plan"[..]));
    assert_eq!(memory.read(&ada(), &path("notes/other.md"), 0, 1).await.unwrap(), None);
    let refused = memory.read(&ada(), &path("notes/plan.md"), 2, 1).await.unwrap_err();
    assert_eq!(refused.kind(), &MemoryErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_unchanged_file_is_not_embedded_again() {
    let embedder = Arc::new(Counting::default());
    let memory = HybridMemory::new(LibsqlStore::in_memory().await.unwrap(), Arc::clone(&embedder));
    let text = "The launch is in March. ".repeat(200);
    let write = |text: String, metadata| {
        let memory = memory.clone();
        async move { memory.write(&ada(), &path("a.txt"), text.as_bytes(), metadata).await.unwrap() }
    };
    let first = write(text.clone(), Value::Null).await;
    assert!(first.changed && first.embedded > 1);
    assert_eq!(embedder.texts(), first.embedded);

    let again = write(text.clone(), Value::Null).await;
    assert!(!again.changed);
    assert_eq!(again.embedded, 0);
    assert_eq!(again.entry, first.entry);
    let many = vec![NewFile::of(path("a.txt"), text.clone().into_bytes())];
    assert!(!memory.write_many(&ada(), many).await.unwrap()[0].changed);
    let source = Cursor::new(text.clone().into_bytes());
    assert!(!memory.write_from(&ada(), &path("a.txt"), Value::Null, source).await.unwrap().changed);
    assert_eq!(embedder.texts(), first.embedded, "nothing was embedded again");

    let changed = write(format!("{text} Or April."), Value::Null).await;
    assert!(changed.changed);
    assert_eq!(changed.entry.created_at, first.entry.created_at);
    assert_ne!(changed.entry.version, first.entry.version);
    let labelled = write(format!("{text} Or April."), json!({"label": 1})).await;
    assert!(labelled.changed, "new metadata is not dropped");
    assert_eq!(memory.entry(&ada(), &path("a.txt")).await.unwrap().unwrap().metadata, json!({"label": 1}));
}

#[tokio::test]
async fn another_model_embeds_again_and_does_not_mix() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let small = HybridMemory::new(store.clone(), HashEmbedder::with_dimensions(64).unwrap());
    let large: Arc<dyn Embedder> = Arc::new(HashEmbedder::with_dimensions(512).unwrap());
    let large = HybridMemory::new(store, large);
    let text = b"Donaudampfschiff";
    small.write(&ada(), &path("a.txt"), text, Value::Null).await.unwrap();
    small.write(&ada(), &path("b.txt"), b"Kapitaensmuetze", Value::Null).await.unwrap();
    // A part of the word is near in vectors only: files of the other model are not compared with it.
    assert_eq!(found(&small, "Dampfschiffe").await[0], "a.txt");
    assert!(found(&large, "Dampfschiffe").await.is_empty());
    // Full text finds them all the same.
    assert_eq!(found(&large, "Donaudampfschiff").await, ["a.txt"]);

    assert!(large.write(&ada(), &path("a.txt"), text, Value::Null).await.unwrap().changed);
    assert_eq!(found(&large, "Dampfschiffe").await, ["a.txt"]);
    assert_eq!(found(&small, "Dampfschiffe").await, ["b.txt"]);
}

#[tokio::test]
async fn a_replaced_files_old_text_is_not_found() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("a.txt"), b"The venue is the harbour.", Value::Null).await.unwrap();
    memory.write(&ada(), &path("a.txt"), b"The place is a castle.", Value::Null).await.unwrap();
    let results = memory.search(&ada(), &SearchQuery::new("harbour venue")).await.unwrap();
    assert!(results.passages.iter().all(|passage| !passage.text.contains("harbour")), "{results:?}");
    assert_eq!(found(&memory, "castle").await, ["a.txt"]);
}

#[tokio::test]
async fn a_deleted_file_is_gone() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("a.txt"), b"The venue is the harbour.", Value::Null).await.unwrap();
    assert!(memory.delete(&ada(), &path("a.txt")).await.unwrap());
    assert!(!memory.delete(&ada(), &path("a.txt")).await.unwrap());
    assert_eq!(memory.entry(&ada(), &path("a.txt")).await.unwrap(), None);
    assert_eq!(memory.read(&ada(), &path("a.txt"), 0, 9).await.unwrap(), None);
    assert!(found(&memory, "harbour").await.is_empty());
    assert!(memory.write(&ada(), &path("a.txt"), b"The venue is the harbour.", Value::Null).await.unwrap().changed);
}

#[tokio::test]
async fn bytes_that_are_not_text_are_kept_without_chunks() {
    let memory = hybrid().await;
    for (name, content) in [("b.bin", &b"\x89PNG harbour \xff\x00"[..]), ("empty", b""), ("blank.txt", b" \n\t\n")] {
        let written = memory.write(&ada(), &path(name), content, Value::Null).await.unwrap();
        assert_eq!((written.entry.chunks, written.entry.embedding_model.clone()), (0, None), "{name}");
        assert_eq!(memory.read(&ada(), &path(name), 0, u64::MAX).await.unwrap().as_deref(), Some(content), "{name}");
        assert!(!memory.write(&ada(), &path(name), content, Value::Null).await.unwrap().changed, "{name}");
    }
    assert!(found(&memory, "harbour").await.is_empty());
}

#[tokio::test]
async fn files_are_listed_by_path() {
    let memory = hybrid().await;
    for name in ["b.txt", "a/z.txt", "a/b/c.txt", "ab.txt"] {
        memory.write(&ada(), &path(name), name.as_bytes(), Value::Null).await.unwrap();
    }
    let page = PageRequest::first(3).unwrap();
    let first = memory.list(&ada(), None, &page).await.unwrap();
    let names = |page: &ironclaw_core::Page<ironclaw_core::model::workspace::Entry>| {
        page.items.iter().map(|entry| entry.path.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["a/b/c.txt", "a/z.txt", "ab.txt"]);
    let rest = memory.list(&ada(), None, &page.after(first.next.unwrap())).await.unwrap();
    assert_eq!(names(&rest), ["b.txt"]);
    let below = memory.list(&ada(), Some(&path("a")), &page).await.unwrap();
    assert_eq!(names(&below), ["a/b/c.txt", "a/z.txt"]);
    assert!(memory.list(&bob(), None, &page).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn many_files_are_written_together() {
    let mut options = Options::default();
    options.limits.part_bytes = 2_048;
    options.batch_bytes = 4_096;
    options.batch_files = 7;
    let memory = hybrid().await.with_options(options).unwrap();
    let file = |n: usize| {
        // Every tenth is larger than a batch; every seventh is not text.
        let mut content = format!("File number{n} speaks of subject{n}. ").repeat(if n % 10 == 3 { 300 } else { 3 });
        if n % 7 == 5 {
            content.push('\u{fffd}');
        }
        let mut content = content.into_bytes();
        if n % 7 == 5 {
            content.push(0xff);
        }
        NewFile::of(path(&format!("d/{n:03}.txt")), content).metadata(json!({"n": n}))
    };
    let files: Vec<NewFile> = (0..60).map(file).collect();
    let written = memory.write_many(&ada(), files.clone()).await.unwrap();
    assert_eq!(written.len(), 60);
    for (file, written) in files.iter().zip(&written) {
        assert!(written.changed);
        assert_eq!(memory.entry(&ada(), &file.path).await.unwrap().as_ref(), Some(&written.entry));
        let kept = memory.read(&ada(), &file.path, 0, u64::MAX).await.unwrap();
        assert_eq!(kept.as_ref(), Some(&file.content), "{}", file.path);
    }
    for n in [0, 13, 41] {
        assert_eq!(found(&memory, &format!("subject{n}")).await[0], format!("d/{n:03}.txt"));
    }
    assert!(memory.write_many(&ada(), files).await.unwrap().iter().all(|written| !written.changed));
    let twice = vec![file(1), file(1)];
    assert_eq!(memory.write_many(&ada(), twice).await.unwrap_err().kind(), &MemoryErrorKind::InvalidInput);
    assert!(memory.write_many(&ada(), Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_large_file_is_streamed_and_found_at_its_place() {
    let memory = hybrid().await;
    let mut text = "filler words of no consequence ".repeat(100_000);
    let needle = "The password hint is Rumpelstiltskin.";
    let at = text.len() / 2 + 17;
    text.insert_str(at, needle);
    let written =
        memory.write_from(&ada(), &path("big.txt"), Value::Null, Cursor::new(text.clone().into_bytes())).await.unwrap();
    assert_eq!(written.entry.size, text.len() as u64);
    assert_eq!(written.embedded as u64, written.entry.chunks);
    assert_eq!(memory.entry(&ada(), &path("big.txt")).await.unwrap(), Some(written.entry));
    let results = memory.search(&ada(), &SearchQuery::new("Rumpelstiltskin")).await.unwrap();
    let best = &results.passages[0];
    assert!(best.start <= at as u64 && best.text.contains("Rumpelstiltskin"), "{best:?}");
    let range = memory.read(&ada(), &path("big.txt"), best.start, best.end).await.unwrap().unwrap();
    assert_eq!(range, best.text.as_bytes());
    let all = memory.read(&ada(), &path("big.txt"), 0, u64::MAX).await.unwrap().unwrap();
    assert!(all == text.as_bytes());
}

#[tokio::test]
async fn sizes_over_the_limit_are_refused_before_anything_is_embedded() {
    let embedder = Arc::new(Counting::default());
    let mut options = Options::default();
    options.limits.entry_bytes = 3_000_000;
    let store = LibsqlStore::in_memory().await.unwrap();
    let memory = HybridMemory::new(store, Arc::clone(&embedder)).with_options(options).unwrap();
    let large = vec![b'x'; 3_000_001];
    let refused = memory.write(&ada(), &path("a"), &large, Value::Null).await.unwrap_err();
    assert_eq!(refused.kind(), &MemoryErrorKind::InvalidInput);
    let refused = memory.write_from(&ada(), &path("a"), Value::Null, Cursor::new(large)).await.unwrap_err();
    assert_eq!(refused.kind(), &MemoryErrorKind::InvalidInput);
    let refused = memory.write(&ada(), &path("a"), b"x", json!([1])).await.unwrap_err();
    assert_eq!(refused.kind(), &MemoryErrorKind::InvalidInput);
    let refused = memory.write(&ada(), &path("a"), b"x", json!({"a": "b\0"})).await.unwrap_err();
    assert_eq!(refused.kind(), &MemoryErrorKind::InvalidInput);
    assert_eq!(embedder.texts(), 0);
    assert!(memory.list(&ada(), None, &PageRequest::default()).await.unwrap().items.is_empty());
}

//! What fails leaves the old file; what runs at once does not mix.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Broken, Counting, ada, hybrid, path};
use futures::future::join_all;
use ironclaw_core::memory::{MemoryErrorKind, SearchQuery};
use ironclaw_core::{Memory, PageRequest};
use ironclaw_memory::{HashEmbedder, HybridMemory, NewFile};
use ironclaw_store::LibsqlStore;
use serde_json::Value;

#[tokio::test]
async fn a_failed_embedding_leaves_the_old_file() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let good = HybridMemory::new(store.clone(), HashEmbedder::default());
    good.write(&ada(), &path("a.txt"), b"The harbour is the venue.", Value::Null).await.unwrap();
    for broken in [Broken::Fails, Broken::TooFew, Broken::WrongDimensions, Broken::NotFinite] {
        let memory = HybridMemory::new(store.clone(), broken);
        let large = Cursor::new(b"A castle is the venue. ".repeat(100_000));
        let errors = [
            memory.write(&ada(), &path("a.txt"), b"A castle is the venue.", Value::Null).await.unwrap_err(),
            memory.write_from(&ada(), &path("a.txt"), Value::Null, large).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), &MemoryErrorKind::Embedding, "{broken:?}");
        }
        let kept = good.read(&ada(), &path("a.txt"), 0, u64::MAX).await.unwrap().unwrap();
        assert_eq!(kept, b"The harbour is the venue.");
        assert_eq!(good.search(&ada(), &SearchQuery::new("harbour")).await.unwrap().passages.len(), 1);
        // Bytes that are not text need no embedder.
        assert!(memory.write(&ada(), &path("b.bin"), &[0xff, broken as u8], Value::Null).await.unwrap().changed);
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_embedded_is_searched_by_words() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let good = HybridMemory::new(store.clone(), HashEmbedder::default());
    good.write(&ada(), &path("a.txt"), b"The harbour is the venue.", Value::Null).await.unwrap();
    for broken in [Broken::Fails, Broken::TooFew, Broken::WrongDimensions, Broken::NotFinite] {
        let memory = HybridMemory::new(store.clone(), broken);
        let results = memory.search(&ada(), &SearchQuery::new("Where is the harbour?")).await.unwrap();
        assert_eq!(results.passages.len(), 1, "{broken:?}");
        assert!(results.degraded.len() == 1 && results.degraded[0].contains("full text"), "{:?}", results.degraded);
    }
    assert_eq!(good.search(&ada(), &SearchQuery::new("harbour")).await.unwrap().degraded, Vec::<String>::new());
}

/// Text when it is first read, and something else later.
struct Changing {
    inner: Cursor<Vec<u8>>,
    rewinds: usize,
}

impl Read for Changing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.rewinds > 1 && self.inner.position() > 2_000_000 {
            buffer[..read].fill(0xff);
        }
        Ok(read)
    }
}

impl Seek for Changing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.rewinds += 1;
        self.inner.seek(to)
    }
}

#[tokio::test]
async fn a_source_that_changes_or_fails_leaves_the_old_file() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("a.txt"), b"old", Value::Null).await.unwrap();
    let source = Changing { inner: Cursor::new(b"some text ".repeat(400_000)), rewinds: 0 };
    let error = memory.write_from(&ada(), &path("a.txt"), Value::Null, source).await.unwrap_err();
    assert_eq!(error.kind(), &MemoryErrorKind::InvalidInput);
    assert_eq!(memory.read(&ada(), &path("a.txt"), 0, 9).await.unwrap().as_deref(), Some(&b"old"[..]));

    let directory = tempfile::tempdir().unwrap();
    if let Ok(unreadable) = std::fs::File::open(directory.path()) {
        let error = memory.write_from(&ada(), &path("a.txt"), Value::Null, unreadable).await.unwrap_err();
        assert_eq!(error.kind(), &MemoryErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_dropped_write_leaves_the_old_file() {
    let embedder = Arc::new(Counting::default());
    let memory = HybridMemory::new(LibsqlStore::in_memory().await.unwrap(), Arc::clone(&embedder));
    memory.write(&ada(), &path("a.txt"), b"The old harbour.", Value::Null).await.unwrap();
    let large = Cursor::new(b"A new castle stands here. ".repeat(400_000));
    let (scope, name) = (ada(), path("a.txt"));
    let write = memory.write_from(&scope, &name, Value::Null, large);
    let some = embedder.reached(3_000);
    tokio::select! {
        done = write => panic!("the write ended before it could be dropped: {done:?}"),
        () = some => {}
    }
    assert_eq!(memory.read(&ada(), &path("a.txt"), 0, 99).await.unwrap().as_deref(), Some(&b"The old harbour."[..]));
    let results = memory.search(&ada(), &SearchQuery::new("castle harbour")).await.unwrap();
    assert_eq!(results.passages.len(), 1, "{results:?}");
    assert!(memory.write(&ada(), &path("a.txt"), b"The newest.", Value::Null).await.unwrap().changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_do_not_disturb_each_other() {
    let memory = hybrid().await;
    let write = |n: usize| {
        let memory = memory.clone();
        tokio::spawn(async move {
            let own = path(&format!("own/{n}.txt"));
            memory.write(&ada(), &own, format!("writer{n} has a file").as_bytes(), Value::Null).await.unwrap();
            let text = format!("shared by writer{n} ").repeat(50);
            memory.write(&ada(), &path("shared.txt"), text.as_bytes(), Value::Null).await.unwrap();
        })
    };
    for done in join_all((0..50).map(write)).await {
        done.unwrap();
    }
    let files = memory.list(&ada(), Some(&path("own")), &PageRequest::default()).await.unwrap();
    assert_eq!(files.items.len(), 50);
    for n in [0, 17, 49] {
        let mut query = SearchQuery::new(format!("writer{n}"));
        query.prefix = Some(path("own"));
        assert_eq!(memory.search(&ada(), &query).await.unwrap().passages[0].path, path(&format!("own/{n}.txt")));
    }
    // The shared file is one writer's, whole: its entry, its bytes and its chunks.
    let bytes = memory.read(&ada(), &path("shared.txt"), 0, u64::MAX).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let winner = text.split_whitespace().nth(2).unwrap();
    assert_eq!(text, format!("shared by {winner} ").repeat(50));
    let mut query = SearchQuery::new("shared by");
    query.prefix = Some(path("shared.txt"));
    let passages = memory.search(&ada(), &query).await.unwrap().passages;
    let entry = memory.entry(&ada(), &path("shared.txt")).await.unwrap().unwrap();
    assert_eq!(passages.len() as u64, entry.chunks);
    assert!(passages.iter().all(|passage| passage.text.contains(winner)), "{passages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_replaced_is_found_all_the_time() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("a.txt"), b"harbour 0", Value::Null).await.unwrap();
    let searches = Arc::new(AtomicUsize::new(0));
    let (writer, seen) = (memory.clone(), Arc::clone(&searches));
    let writing = tokio::spawn(async move {
        for n in 1..60 {
            // One replacement for each search: more could outrun any number of attempts.
            let before = seen.load(Ordering::SeqCst);
            writer.write(&ada(), &path("a.txt"), format!("harbour {n}").as_bytes(), Value::Null).await.unwrap();
            while seen.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
        }
    });
    while !writing.is_finished() {
        let results = memory.search(&ada(), &SearchQuery::new("harbour")).await.unwrap();
        assert_eq!(results.passages.len(), 1);
        searches.fetch_add(1, Ordering::SeqCst);
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn two_files_of_one_batch_may_not_have_one_path() {
    let memory = hybrid().await;
    let file = |content: &[u8]| NewFile::of(path("a"), content.to_vec());
    let error = memory.write_many(&ada(), vec![file(b"x"), file(b"y")]).await.unwrap_err();
    assert_eq!(error.kind(), &MemoryErrorKind::InvalidInput);
    assert_eq!(memory.entry(&ada(), &path("a")).await.unwrap(), None);
}

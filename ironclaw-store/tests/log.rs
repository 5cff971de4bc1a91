//! The write-ahead log: who moves it into the file, and how large it becomes.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::search::TextQuery;
use ironclaw_core::{AgentStore, Limits, Maintenance, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

const MIB: u64 = 1 << 20;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn open(path: &Path, log_limit: u64) -> (LibsqlStore, ConversationId) {
    let store = LibsqlStore::builder().log_limit(log_limit).open(path).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    (store, id)
}

async fn say(store: &LibsqlStore, conversation: ConversationId, bytes: usize) {
    let text = "lighthouse harbour ".repeat(bytes / 19);
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, text);
    store.append_message(&ada(), conversation, message).await.unwrap();
}

fn log_size(path: &Path) -> u64 {
    std::fs::metadata(path.with_extension("db-wal")).map_or(0, |found| found.len())
}

/// A connection of its own, as another program would have.
async fn behind(path: impl AsRef<Path>) -> libsql::Connection {
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

/// Takes the write lock again and again, and looks whether the database file changes while it has it.
#[tokio::test]
async fn child_watches_the_file_under_its_lock() {
    let Some(path) = Process::asked("child_watches_the_file_under_its_lock") else {
        return;
    };
    let connection = behind(&path).await;
    let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
    println!("watching");
    let end = std::thread::spawn(|| std::io::stdin().read_line(&mut String::new()));
    let (mut held, mut changed) = (0, 0);
    while !end.is_finished() {
        connection.execute("BEGIN IMMEDIATE", ()).await.unwrap();
        let before = modified();
        std::thread::sleep(Duration::from_millis(10));
        changed += u32::from(modified() != before);
        held += 1;
        connection.execute("ROLLBACK", ()).await.unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("changed {changed} times of {held}");
}

/// A checkpoint that another process can write during may take frames of the next log for ones it has moved: what was
/// committed is lost.
#[tokio::test]
async fn nothing_is_moved_into_the_file_under_anothers_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let (store, conversation) = open(&path, MIB).await;
    let mut watching = Process::start("child_watches_the_file_under_its_lock", &path);
    watching.line("watching");
    for _ in 0..200 {
        say(&store, conversation, 30_000).await;
    }
    assert!(std::fs::metadata(&path).unwrap().len() > 4 * MIB, "nothing was moved into the file");
    watching.tell("end");
    let line = watching.line("changed");
    assert!(line.contains("changed 0 times"), "{line}");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_that_overlap_do_not_let_the_log_grow() {
    const LIMIT: u64 = 2 * MIB;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let (store, conversation) = open(&path, LIMIT).await;
    say(&store, conversation, 10_000).await;
    let end = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (store, end) = (store.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let query = TextQuery::new("lighthouse harbour", &Limits::default());
                while !end.load(Ordering::Relaxed) {
                    store.conversations().search_messages(&ada(), &query, 20).await.unwrap();
                    store.conversations().recent_messages(&ada(), conversation, 50).await.unwrap();
                }
            })
        })
        .collect();
    let mut largest = 0;
    for _ in 0..400 {
        say(&store, conversation, 30_000).await;
        largest = largest.max(log_size(&path));
    }
    end.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    // The last change before the limit may go beyond it.
    assert!(largest <= LIMIT + MIB, "{largest}");
    let health = store.health().await.unwrap();
    assert_eq!((health.log_stuck_since, health.oversized_changes, health.log_limit), (None, 0, LIMIT));
    store.close().await.unwrap();
}

#[tokio::test]
async fn child_reads_without_end() {
    let Some(path) = Process::asked("child_reads_without_end") else {
        return;
    };
    let connection = behind(&path).await;
    connection.execute("BEGIN", ()).await.unwrap();
    let mut rows = connection.query("SELECT count(*) FROM messages", ()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    println!("reading");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test]
async fn anothers_reading_that_does_not_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let (store, conversation) = open(&path, MIB).await;
    let mut reading = Process::start("child_reads_without_end", &path);
    reading.line("reading");
    for _ in 0..100 {
        say(&store, conversation, 30_000).await;
    }
    let health = store.health().await.unwrap();
    assert!(health.log_stuck_since.is_some() && health.log_bytes > health.log_limit, "{health:?}");
    // What was written meanwhile is there, and the log is emptied once the other has ended.
    reading.tell("end");
    reading.wait();
    loop {
        say(&store, conversation, 100).await;
        let health = store.health().await.unwrap();
        if health.log_stuck_since.is_none() {
            assert!(log_size(&path) < MIB, "{health:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_change_larger_than_the_log_may_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut limits = Limits::default();
    limits.message_bytes = 4 << 20;
    let store = LibsqlStore::builder().limits(limits).log_limit(MIB).open(&path).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    say(&store, id, 3 << 20).await;
    // The log is looked at after a change was answered and before the next.
    say(&store, id, 100).await;
    let health = store.health().await.unwrap();
    assert_eq!(health.oversized_changes, 1);
    assert_eq!(health.mode, Some(0o600));
    assert!(health.free_bytes.unwrap() > 0 && !health.read_only && !health.mode_mended);
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

/// Large changes alone are no other process's reading, and each that is too large is counted.
#[tokio::test]
async fn large_changes_are_told_from_readings_of_others() {
    for (bytes, oversized) in [(700 << 10, 0), (3 << 20, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let mut limits = Limits::default();
        limits.message_bytes = 4 << 20;
        let store = LibsqlStore::builder().limits(limits).log_limit(2 * MIB).open(&path).await.unwrap();
        let id = ConversationId::make(&SystemClock);
        store.create_conversation(&ada(), id, "Launch").await.unwrap();
        for _ in 0..5 {
            say(&store, id, bytes).await;
            // Looked at after a change was answered and before the next.
            say(&store, id, 100).await;
            assert_eq!(store.health().await.unwrap().log_stuck_since, None, "{bytes}");
        }
        for _ in 0..5 {
            say(&store, id, 700 << 10).await;
            assert_eq!(store.health().await.unwrap().log_stuck_since, None, "{bytes}");
        }
        say(&store, id, 100).await;
        let health = store.health().await.unwrap();
        assert_eq!((health.oversized_changes, health.log_stuck_since), (oversized, None), "{bytes}");
        store.close().await.unwrap();
    }
}

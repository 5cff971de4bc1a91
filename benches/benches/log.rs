//! The write-ahead log with busy readers: its size, and readings per second, over time. Then how long callers wait whose
//! change another process's lock keeps from being made.
//!
//! `cargo bench --bench log -- 110` runs for 110 seconds; without a number it is 10.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ironclaw_benches::{prose, runtime, scope};
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::search::TextQuery;
use ironclaw_core::{AgentStore, Limits, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;

/// How many tasks search without pause.
const READERS: usize = 6;

/// How many callers wait for one lock, and for how long they are told to.
const CALLERS: usize = 20;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(10);
    runtime().block_on(async {
        busy_readers(seconds).await;
        held_lock().await;
    });
}

async fn store(folder: &std::path::Path) -> (LibsqlStore, ConversationId) {
    let builder = LibsqlStore::builder().busy_timeout(BUSY_TIMEOUT);
    let store = builder.open(folder.join("agent.db")).await.expect("a store");
    let conversation = ConversationId::make(&SystemClock);
    store.create_conversation(&scope(), conversation, "bench").await.expect("a conversation");
    (store, conversation)
}

fn message(i: u64) -> NewMessage {
    NewMessage::text(MessageId::make(&SystemClock), Role::User, prose(i, 1_200))
}

async fn busy_readers(seconds: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, conversation) = store(folder.path()).await;
    for i in 0..400 {
        store.append_message(&scope(), conversation, message(i)).await.expect("appended");
    }
    let (end, readings) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (store, end, readings) = (store.clone(), Arc::clone(&end), Arc::clone(&readings));
            tokio::spawn(async move {
                // Words that the messages hold.
                let query = TextQuery::new(&prose(1_000, 80), &Limits::default());
                while !end.load(Ordering::Relaxed) {
                    store.conversations().search_messages(&scope(), &query, 20).await.expect("searched");
                    readings.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let (start, mut next, mut before, mut written) = (Instant::now(), 1, (0, 0), 0);
    let (mut largest, mut slowest) = (0, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(seconds) {
        let begun = Instant::now();
        store.append_message(&scope(), conversation, message(1_000 + written)).await.expect("appended");
        slowest = slowest.max(begun.elapsed());
        written += 1;
        let log = std::fs::metadata(folder.path().join("agent.db-wal")).map_or(0, |log| log.len());
        largest = largest.max(log);
        if start.elapsed().as_secs() >= next * seconds.div_ceil(10) {
            let now = (written, readings.load(Ordering::Relaxed));
            let per_second = |before, now: u64| (now - before) / seconds.div_ceil(10);
            println!(
                "{:>4} s: log {:>4} MiB, {:>5} readings and {:>4} changes per second",
                start.elapsed().as_secs(),
                log >> 20,
                per_second(before.1, now.1),
                per_second(before.0, now.0)
            );
            (next, before) = (next + 1, now);
        }
    }
    end.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("a reader");
    }
    let file = std::fs::metadata(folder.path().join("agent.db")).map_or(0, |file| file.len());
    println!("largest log {} MiB, file {} MiB, slowest change {slowest:?}", largest >> 20, file >> 20);
    store.close().await.expect("closed");
}

async fn held_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, conversation) = store(folder.path()).await;
    // A connection of its own stands for another process: SQLite's locks are the same.
    let database = libsql::Builder::new_local(folder.path().join("agent.db")).build().await.expect("a database");
    let holder = database.connect().expect("a connection");
    holder.execute("BEGIN IMMEDIATE", ()).await.expect("the lock");
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS as u64)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let _ = store.append_message(&scope(), conversation, message(i)).await.expect_err("busy");
                start.elapsed()
            })
        })
        .collect();
    let mut answered = Vec::new();
    for caller in callers {
        answered.push(caller.await.expect("a caller"));
    }
    answered.sort();
    println!(
        "{CALLERS} callers, {BUSY_TIMEOUT:?}: first answer after {:?}, last after {:?}",
        answered[0],
        answered[CALLERS - 1]
    );
    holder.execute("ROLLBACK", ()).await.expect("released");
    store.close().await.expect("closed");
}

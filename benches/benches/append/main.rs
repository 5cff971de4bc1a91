//! Durable message appends per second, with audit events and full-text index, beside the same rows written by hand.

mod by_hand;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironclaw_benches::{prose, runtime, scope};
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::{Scope, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;

use by_hand::ByHand;

/// The length of a message's text, in bytes.
const MESSAGE_BYTES: usize = 200;

fn message(i: u64) -> NewMessage {
    NewMessage::text(MessageId::make(&SystemClock), Role::User, prose(i, MESSAGE_BYTES))
}

/// A store on disk with a conversation in it.
async fn store(folder: &std::path::Path) -> (LibsqlStore, Scope, ConversationId) {
    let store = LibsqlStore::open(folder.join("agent.db")).await.expect("a store");
    let (scope, conversation) = (scope(), ConversationId::make(&SystemClock));
    store.create_conversation(&scope, conversation, "bench").await.expect("a conversation");
    (store, scope, conversation)
}

/// The time that `tasks` tasks take for `appends` appends together, each waiting for its own before the next.
async fn concurrently(store: &LibsqlStore, scope: &Scope, id: ConversationId, tasks: u64, appends: u64) -> Duration {
    let messages: Vec<Vec<NewMessage>> =
        (0..tasks).map(|task| (0..appends.div_ceil(tasks)).map(|i| message(task * appends + i)).collect()).collect();
    let start = Instant::now();
    let running: Vec<_> = messages
        .into_iter()
        .map(|messages| {
            let (store, scope) = (store.clone(), scope.clone());
            tokio::spawn(async move {
                for message in messages {
                    store.append_message(&scope, id, message).await.expect("appended");
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("a task");
    }
    start.elapsed()
}

fn append(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(8));
    for tasks in [1, 8, 64] {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, scope, conversation) = runtime.block_on(store(folder.path()));
        group.bench_with_input(BenchmarkId::new("LibsqlStore, tasks", tasks), &tasks, |b, &tasks| {
            b.iter_custom(|appends| {
                let took = runtime.block_on(concurrently(&store, &scope, conversation, tasks, appends));
                // Whole rounds of all tasks are made: the time is scaled to what was asked for.
                took.mul_f64(appends as f64 / (appends.div_ceil(tasks) * tasks) as f64)
            });
        });
    }
    for size in [1, 8, 64] {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _, conversation) = runtime.block_on(store(folder.path()));
        runtime.block_on(ironclaw_core::Store::close(&store)).expect("closed");
        let mut hand = ByHand::open(&folder.path().join("agent.db"), conversation);
        group.bench_with_input(BenchmarkId::new("by hand, rows of a transaction", size), &size, |b, &size| {
            b.iter_custom(|appends| {
                let messages: Vec<_> = (0..appends).map(|i| hand.prepare(message(i))).collect();
                let start = Instant::now();
                for messages in messages.chunks(size) {
                    hand.append(messages);
                }
                start.elapsed()
            });
        });
        // The connection lives as long as the process: the crate frees a connection twice when it is dropped.
        std::mem::forget(hand);
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);

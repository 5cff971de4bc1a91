//! Durable message appends per second on PostgreSQL, with audit events and full-text index, beside the same statements
//! with sqlx alone; and whether writers of different users wait for each other.

mod by_hand;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ironclaw_benches::{APPLICATION, Postgres, prose, runtime};
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::{Scope, StoreExt, SystemClock};
use ironclaw_store::PostgresStore;
use sqlx::{Connection, PgConnection};

use by_hand::{ByHand, Prepared};

/// The length of a message's text, in bytes.
const MESSAGE_BYTES: usize = 200;
/// How often the store and the other take turns, and how many messages each writes at a turn.
const TURNS: usize = 7;
const APPENDS: usize = 640;
const CONNECTIONS: u32 = 10;
const WRITERS: usize = 32;

fn main() {
    runtime().block_on(async {
        let postgres = Postgres::start().await;
        beside_sqlx(&postgres).await;
        of_many_users(&postgres).await;
    });
}

/// A user with a conversation.
#[derive(Clone)]
struct Writer {
    scope: Scope,
    conversation: ConversationId,
}

impl Writer {
    async fn new(store: &PostgresStore, name: String) -> Self {
        let scope = Scope::user(name).expect("a user");
        let conversation = ConversationId::make(&SystemClock);
        store.create_conversation(&scope, conversation, "bench").await.expect("a conversation");
        Self { scope, conversation }
    }

    async fn many(store: &PostgresStore, prefix: &str, count: usize) -> Vec<Self> {
        futures::future::join_all((0..count).map(|i| Self::new(store, format!("{prefix}-{i}")))).await
    }
}

fn messages(turn: usize, task: usize, count: usize) -> Vec<NewMessage> {
    let seed = ((turn as u64) << 40) | ((task as u64) << 20);
    let text = |i| prose(seed | i as u64, MESSAGE_BYTES);
    (0..count).map(|i| NewMessage::text(MessageId::make(&SystemClock), Role::User, text(i))).collect()
}

/// Appends per second of tasks that each wait for an append before the next; task n writes for writer n, and over again.
async fn with_store(store: &PostgresStore, writers: &[Writer], tasks: usize, appends: usize, turn: usize) -> f64 {
    let own = appends.div_ceil(tasks);
    let prepared: Vec<_> = (0..tasks).map(|task| messages(turn, task, own)).collect();
    let start = Instant::now();
    let running = prepared.into_iter().zip(writers.iter().cycle()).map(|(messages, writer)| {
        let (store, Writer { scope, conversation }) = (store.clone(), writer.clone());
        tokio::spawn(async move {
            for message in messages {
                store.append_message(&scope, conversation, message).await.expect("appended");
            }
        })
    });
    futures::future::try_join_all(running.collect::<Vec<_>>()).await.expect("done");
    (own * tasks) as f64 / start.elapsed().as_secs_f64()
}

async fn with_sqlx(hand: &ByHand, writers: &[Writer], tasks: usize, appends: usize, turn: usize) -> f64 {
    let own = appends.div_ceil(tasks);
    let prepare = |task: usize| -> Vec<Prepared> {
        let conversation = writers[task % writers.len()].conversation;
        let messages = messages(TURNS + turn, task, own).into_iter();
        messages.map(|message| ByHand::prepare(conversation, message)).collect()
    };
    let prepared: Vec<_> = (0..tasks).map(prepare).collect();
    let start = Instant::now();
    let running = prepared.into_iter().zip(writers.iter().cycle()).map(|(messages, writer)| {
        let (hand, Writer { scope, conversation }) = (hand.clone(), writer.clone());
        tokio::spawn(async move {
            for message in messages {
                hand.append(scope.person().as_str(), conversation, &message).await;
            }
        })
    });
    futures::future::try_join_all(running.collect::<Vec<_>>()).await.expect("done");
    (own * tasks) as f64 / start.elapsed().as_secs_f64()
}

async fn beside_sqlx(postgres: &Postgres) {
    let store = postgres.store(PostgresStore::builder().max_connections(CONNECTIONS)).await;
    let hand = ByHand::connect(&postgres.url(), CONNECTIONS).await;
    println!("| tasks | of | `PostgresStore` | by hand with sqlx | ratio |");
    println!("|---|---|---|---|---|");
    for (tasks, users) in [(1, 1), (8, 1), (8, 8), (64, 1), (64, 64)] {
        let writers = Writer::many(&store, &format!("of-{tasks}-{users}"), users).await;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        // The first turn opens connections and prepares statements.
        for turn in 0..=TURNS {
            let a = with_store(&store, &writers, tasks, APPENDS, turn).await;
            let b = with_sqlx(&hand, &writers, tasks, APPENDS, turn).await;
            if turn > 0 {
                ours.push(a);
                theirs.push(b);
                ratios.push(a / b);
            }
        }
        let (ours, theirs, ratio) = (median(ours), median(theirs), median(ratios));
        println!("| {tasks} | {users} users | {ours:.0}/s | {theirs:.0}/s | {ratio:.2} |");
    }
}

async fn of_many_users(postgres: &Postgres) {
    let store = postgres.store(PostgresStore::builder().max_connections(WRITERS as u32)).await;
    println!("\n| writers | of | appends | waiting for another's row, on average | at most |");
    println!("|---|---|---|---|---|");
    for (tasks, users) in [(1, 1), (WRITERS, 1), (WRITERS, WRITERS)] {
        let writers = Writer::many(&store, &format!("waits-{tasks}-{users}"), users).await;
        with_store(&store, &writers, tasks, APPENDS / 3, 0).await;
        let stop = Arc::new(AtomicBool::new(false));
        let sampling = tokio::spawn(sample(postgres.superuser_url(), Arc::clone(&stop)));
        let mut rates = Vec::new();
        for turn in 1..=TURNS {
            rates.push(with_store(&store, &writers, tasks, APPENDS, turn).await);
        }
        stop.store(true, Ordering::Relaxed);
        let waiting = sampling.await.expect("samples");
        let average = waiting.iter().sum::<i64>() as f64 / waiting.len() as f64;
        let most = waiting.iter().max().copied().unwrap_or_default();
        println!("| {tasks} | {users} users | {:.0}/s | {average:.2} | {most} |", median(rates));
    }
}

/// How many of the application's sessions wait for a row or transaction of another, again and again until it is stopped.
async fn sample(url: String, stop: Arc<AtomicBool>) -> Vec<i64> {
    let mut connection = PgConnection::connect(&url).await.expect("a server");
    let mut waiting = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock' \
             AND wait_event IN ('tuple', 'transactionid')",
        );
        waiting.push(count.bind(APPLICATION).fetch_one(&mut connection).await.expect("a count"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waiting
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

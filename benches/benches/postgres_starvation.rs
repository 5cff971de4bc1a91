//! How long one user waits on PostgreSQL while another does as much as they can: 64 writers, 64 readers, and changes that wait
//! for a row that somebody else holds. Prints the median and the 95th percentile of reads and of writes.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ironclaw_benches::{Postgres, runtime};
use ironclaw_core::change::SettingOp;
use ironclaw_core::store::{Apply, Store};
use ironclaw_core::{Change, Scope};
use ironclaw_store::PostgresStore;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

/// How many tasks the busy user has.
const TASKS: usize = 64;
/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(10);

fn main() {
    runtime().block_on(async {
        let postgres = Postgres::start().await;
        let store = postgres.store(PostgresStore::builder()).await;
        for name in ["ada", "bob"] {
            write(&store, &user(name)).await;
        }
        println!("| meanwhile | calls of hers | his reads, p50 | p95 | his writes, p50 | p95 |");
        println!("|---|---|---|---|---|---|");
        for busy in [Busy::Quiet, Busy::Writers, Busy::Readers, Busy::Held, Busy::Quiet] {
            measure(&postgres, &store, busy).await;
        }
    });
}

/// What the other user does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Busy {
    Quiet,
    Writers,
    Readers,
    /// Writers wait for her row, which another process holds.
    Held,
}

async fn measure(postgres: &Postgres, store: &PostgresStore, busy: Busy) {
    let mut holder = PgConnection::connect(&postgres.superuser_url()).await.unwrap();
    if busy == Busy::Held {
        holder.execute("BEGIN; SELECT FROM ironclaw.users WHERE owner = 'ada' FOR NO KEY UPDATE").await.unwrap();
    }
    let (ends, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..if busy == Busy::Quiet { 0 } else { TASKS } {
        let (store, ends, calls) = (store.clone(), Arc::clone(&ends), Arc::clone(&calls));
        tasks.spawn(async move {
            let ada = user("ada");
            while !ends.load(Ordering::Relaxed) {
                match busy {
                    Busy::Readers => read(&store, &ada).await,
                    // What waits for the row gives up in the end.
                    _ => drop(store.apply(&ada, put()).await),
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (begun, bob) = (Instant::now(), user("bob"));
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    while begun.elapsed() < MEASURED || writes.is_empty() {
        let call = Instant::now();
        read(store, &bob).await;
        reads.push(call.elapsed());
        let call = Instant::now();
        write(store, &bob).await;
        writes.push(call.elapsed());
    }
    let hers = calls.load(Ordering::Relaxed);
    ends.store(true, Ordering::Relaxed);
    if busy == Busy::Held {
        holder.execute("ROLLBACK").await.unwrap();
    }
    tasks.join_all().await;
    let [r50, r95] = percentiles(reads);
    let [w50, w95] = percentiles(writes);
    println!("| {busy:?} | {hers} | {r50:.2?} | {r95:.2?} | {w50:.2?} | {w95:.2?} |");
}

fn percentiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    [50, 95].map(|share| times[(times.len() - 1) * share / 100])
}

async fn read(store: &PostgresStore, scope: &Scope) {
    // Behind others it may wait for longer than it is allowed to: that is a wait as well.
    let _ = store.settings().setting(scope, &"a".parse().unwrap()).await;
}

async fn write(store: &PostgresStore, scope: &Scope) {
    let _ = store.apply(scope, put()).await;
}

fn put() -> Change {
    Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: 1.into() })
}

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

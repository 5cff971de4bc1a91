//! Search on PostgreSQL: words, vectors and both, with ten users of different sizes in one database, and how many of the
//! nearest vectors the index finds.
//!
//! The number of chunks is the argument: 10000 and 100000 by default. Other arguments measure something else instead:
//!
//! - `threshold`: from how many vectors on an index is faster than comparing all;
//! - `crowd`: what another user's vectors change of what a user finds;
//! - `indexes`: what the indexes of others cost.

mod crowd;
mod indexes;
mod space;
mod threshold;
mod user;

use std::time::Instant;

use ironclaw_benches::{Postgres, runtime};
use ironclaw_store::PostgresStore;

use space::Space;
use user::{User, percentiles};

/// The users' parts of all chunks, in thousandths.
const USERS: [usize; 10] = [500, 10, 62, 61, 61, 61, 61, 61, 61, 62];

fn main() {
    let is_asked = |mode: &str| std::env::args().any(|argument| argument == mode);
    if is_asked("threshold") {
        return runtime().block_on(threshold::measure());
    }
    if is_asked("crowd") {
        return runtime().block_on(crowd::measure());
    }
    if is_asked("indexes") {
        return runtime().block_on(indexes::measure());
    }
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 100_000] } else { sizes };
    for chunks in sizes {
        runtime().block_on(measure(chunks));
    }
}

/// Users who have so many chunks together, and their index.
async fn filled(postgres: &Postgres, store: &PostgresStore, space: &Space, chunks: usize) -> Vec<User> {
    let start = Instant::now();
    let mut users = Vec::new();
    for (number, thousandths) in USERS.into_iter().enumerate() {
        users.push(User::fill(store, space, number as u64, chunks * thousandths / 1_000).await);
    }
    println!("\n{chunks} chunks written in {:.1?}", start.elapsed());
    let start = Instant::now();
    let made = postgres.maintenance().await.index_vectors().await.expect("indexes").made;
    println!("{made} index made in {:.1?}", start.elapsed());
    postgres.execute("VACUUM (ANALYZE)").await;
    users
}

async fn measure(chunks: usize) {
    let postgres = Postgres::start().await;
    let store = postgres.store(PostgresStore::builder()).await;
    let space = Space::new();
    let users = filled(&postgres, &store, &space, chunks).await;
    println!("\n| user's chunks | words p50 / p95 | vectors p50 / p95 | both p50 / p95 | recall@10 | rows |");
    println!("|---|---|---|---|---|---|");
    let (mut all, mut all_vectors) = (Vec::new(), Vec::new());
    for user in &users {
        let measured = user.search(&store, &space).await;
        println!(
            "| {} | {} | {} | {} | {:.4} | {} |",
            user.vectors.len(),
            percentiles(measured.words),
            percentiles(measured.vectors.clone()),
            percentiles(measured.both.clone()),
            measured.recall,
            measured.rows,
        );
        all.extend(measured.both);
        all_vectors.extend(measured.vectors);
    }
    println!("| all | | {} | {} | | |", percentiles(all_vectors), percentiles(all));
}

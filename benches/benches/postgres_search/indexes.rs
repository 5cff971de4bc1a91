//! What the indexes over other users' vectors cost a user who has none.

use std::time::{Duration, Instant};

use ironclaw_benches::{Postgres, Random};
use ironclaw_store::{PostgresStore, PostgresStoreBuilder};

use crate::space::{DIMENSIONS, Space};
use crate::user::{User, percentiles};

const INDEXES: [usize; 5] = [0, 16, 64, 256, 1_024];
const WRITES: usize = 200;
const VECTORS: usize = 1_000;

pub(crate) async fn measure() {
    let space = Space::new();
    println!("| indexes | a file of 20 chunks p50 / p95 | search p50 / p95 | through a pooler p50 / p95 |");
    println!("|---|---|---|---|");
    for indexes in INDEXES {
        let postgres = Postgres::start().await;
        for owner in 1..=indexes {
            // Nobody has these numbers: what an index costs whoever is not in it does not depend on its rows.
            let owner = 1_000_000 + owner;
            postgres
                .execute(&format!(
                    "CREATE INDEX chunk_vectors_{owner} ON ironclaw.chunk_vectors \
                     USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops) \
                     WHERE owner_no = {owner} AND model_key = 1"
                ))
                .await;
        }
        let store = postgres.store(PostgresStore::builder()).await;
        let user = User::fill(&store, &space, 1, VECTORS).await;
        let mut writer = User::of_vectors(&store, 2, Vec::new()).await;
        let mut random = Random::new(3);
        let mut wrote: Vec<Duration> = Vec::new();
        for _ in 0..WRITES {
            let vectors = (0..20).map(|_| space.vector(&mut random)).collect();
            let start = Instant::now();
            writer.write(&store, vectors).await;
            wrote.push(start.elapsed());
        }
        let (direct, _) = user.search_vectors(&store, &space).await;
        let pooled = postgres.store(PostgresStoreBuilder::default().transaction_pooling()).await;
        let (pooled, _) = user.search_vectors(&pooled, &space).await;
        println!("| {indexes} | {} | {} | {} |", percentiles(wrote), percentiles(direct), percentiles(pooled));
    }
}

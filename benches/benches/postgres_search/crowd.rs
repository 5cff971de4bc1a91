//! What a user finds through an index before and after another user crowds the queries and the user's vectors.

use std::time::Instant;

use ironclaw_benches::{Postgres, Random};
use ironclaw_core::id::ChunkId;
use ironclaw_store::PostgresStore;

use crate::space::{DIMENSIONS, Space};
use crate::user::{User, percentiles};

const SIZES: [usize; 2] = [30_000, 100_000];

pub(crate) async fn measure() {
    println!("| user's vectors | others' | p50 / p95 | recall@10 | queries answered otherwise |");
    println!("|---|---|---|---|---|");
    for vectors in SIZES {
        let postgres = Postgres::start().await;
        let store = postgres.store(PostgresStore::builder()).await;
        let space = Space::new();
        let user = User::fill(&store, &space, 0, vectors).await;
        index(&postgres).await;
        let alone = row(&store, &space, &user, 0, None).await;
        User::fill_with(&store, 1, vectors, crowd(&user.queries(&space), &user.vectors)).await;
        index(&postgres).await;
        row(&store, &space, &user, vectors, Some(&alone)).await;
    }
}

async fn index(postgres: &Postgres) {
    let start = Instant::now();
    let made = postgres.maintenance().await.index_vectors().await.expect("indexes").made;
    postgres.execute("VACUUM (ANALYZE)").await;
    eprintln!("{made} index made in {:.1?}", start.elapsed());
}

async fn row(
    store: &PostgresStore,
    space: &Space,
    user: &User,
    others: usize,
    before: Option<&[Vec<ChunkId>]>,
) -> Vec<Vec<ChunkId>> {
    let (took, recall, found) = user.search_vectors(store, space).await;
    let changed = before.map_or_else(String::new, |before| {
        format!("{} of {}", before.iter().zip(&found).filter(|(a, b)| a != b).count(), found.len())
    });
    println!("| {} | {others} | {} | {recall:.4} | {changed} |", user.vectors.len(), percentiles(took));
    found
}

/// Vectors nearer to the queries than any of the user's, and others beside the user's own, in turns.
fn crowd(queries: &[Vec<f32>], own: &[(ChunkId, Vec<f32>)]) -> impl FnMut() -> Vec<f32> + use<> {
    let queries = queries.to_vec();
    let own: Vec<Vec<f32>> = own.iter().step_by(7).map(|(_, vector)| vector.clone()).collect();
    let mut random = Random::new(77);
    let mut number = 0;
    move || {
        number += 1;
        let near = match number % 2 {
            0 => &queries[number / 2 % queries.len()],
            _ => &own[number / 2 % own.len()],
        };
        let noise = || (random.below(2_000) as f32 - 1_000.0) / 1_000.0 * 0.002;
        near.iter().zip(std::iter::repeat_with(noise).take(DIMENSIONS)).map(|(axis, noise)| axis + noise).collect()
    }
}

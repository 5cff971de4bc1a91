//! From how many vectors on the index is faster than comparing all.

use ironclaw_benches::Postgres;
use ironclaw_store::PostgresStore;

use crate::filled;
use crate::space::Space;
use crate::user::{User, percentiles};

const ALONE: [usize; 6] = [2_000, 4_000, 6_000, 8_000, 12_000, 16_000];
const SHARED: usize = 100_000;

pub(crate) async fn measure() {
    let space = Space::new();
    println!("| vectors | in the index | compared p50 / p95 | index p50 / p95 | recall@10 |");
    println!("|---|---|---|---|---|");
    for (number, vectors) in ALONE.into_iter().enumerate() {
        let postgres = Postgres::start().await;
        let store = postgres.store(PostgresStore::builder()).await;
        let user = User::fill(&store, &space, number as u64, vectors).await;
        claim(&postgres, 1_000_000_000).await;
        postgres.maintenance().await.index_vectors().await.expect("an index");
        postgres.execute("VACUUM (ANALYZE)").await;
        both_ways(&postgres, &store, &space, &user, vectors).await;
    }
    let postgres = Postgres::start().await;
    let store = postgres.store(PostgresStore::builder()).await;
    for user in filled(&postgres, &store, &space, SHARED).await.iter().take(4) {
        both_ways(&postgres, &store, &space, user, SHARED).await;
    }
}

/// Which way a search goes depends on how many chunks a user is said to have.
async fn claim(postgres: &Postgres, chunks: u64) {
    postgres.execute(&format!("UPDATE ironclaw.embedding_models SET chunks = {chunks}")).await;
}

async fn both_ways(postgres: &Postgres, store: &PostgresStore, space: &Space, user: &User, indexed: usize) {
    claim(postgres, 1).await;
    let (compared, _, _) = user.search_vectors(store, space).await;
    claim(postgres, 1_000_000_000).await;
    let (found, recall, _) = user.search_vectors(store, space).await;
    let (compared, found) = (percentiles(compared), percentiles(found));
    println!("| {} | {indexed} | {compared} | {found} | {recall:.4} |", user.vectors.len());
}

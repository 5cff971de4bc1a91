//! What the indexes of others cost: a statement on the table of vectors opens all of them.

use ironclaw_benches::Postgres;
use ironclaw_store::PostgresStore;

use crate::space::Space;
use crate::user::{User, percentiles};

const INDEXES: [usize; 7] = [0, 16, 64, 128, 256, 512, 1_024];

pub(crate) async fn measure() {
    let postgres = Postgres::start_with(&[("max_locks_per_transaction", "2048")]).await;
    let store = postgres.store(PostgresStore::builder()).await;
    let space = Space::new();
    let many = User::fill(&store, &space, 0, 10_000).await;
    let mut writer = User::fill(&store, &space, 2, 1_000).await;
    let few = User::fill(&store, &space, 1, 1_000).await;
    postgres.maintenance().await.index_vectors().await.expect("an index");
    println!("| indexes of others | a file of 20 chunks | search of 1,000, compared | search of 10,000, own index |");
    println!("|---|---|---|---|");
    let mut made = 0;
    for indexes in INDEXES {
        // Those of users who don't exist: what is in them costs nobody else anything.
        for number in made..indexes {
            postgres
                .execute(&format!(
                    "CREATE INDEX others_{number} ON ironclaw.chunk_vectors USING hnsw \
                     ((embedding::public.halfvec(384)) public.halfvec_cosine_ops) \
                     WITH (m = 16, ef_construction = 128) \
                     WHERE owner_no = {}::bigint AND model_key = {number}",
                    1_000_000 + number
                ))
                .await;
        }
        made = indexes;
        postgres.execute("VACUUM (ANALYZE)").await;
        // Connections that have not seen the indexes before would pay for learning of them.
        let store = postgres.store(PostgresStore::builder()).await;
        let writes = writer.write_files(&store, &space, 300).await;
        let (compared, _, _) = few.search_vectors(&store, &space).await;
        let (found, _, _) = many.search_vectors(&store, &space).await;
        println!("| {indexes} | {} | {} | {} |", percentiles(writes), percentiles(compared), percentiles(found));
    }
}

//! How many of the nearest a user finds beside as many vectors of another, who puts them in the way: through an index over
//! all users' vectors, made and asked by hand, and through one of the user's own, as the store has it.

use ironclaw_benches::{Postgres, Random};
use ironclaw_core::store::Apply;
use ironclaw_store::PostgresStore;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::space::{DIMENSIONS, Space};
use crate::user::{NEAREST, User, percentiles};

const SIZES: [usize; 2] = [30_000, 100_000];

/// What the other writes.
#[derive(Clone, Copy)]
enum Crowd {
    /// Nothing.
    Nobody,
    /// What the user could have written.
    Alike,
    /// Near the topics' centres: nearer to a query than most of the user's own.
    Topics,
    /// The same few vectors again and again.
    Copies,
}

pub(crate) async fn measure() {
    let space = Space::new();
    println!("| all vectors | the other's | written | index of all: recall@10 | fewest | own: recall@10 | p50 / p95 |");
    println!("|---|---|---|---|---|---|---|");
    for vectors in SIZES {
        for (crowd, says) in [
            (Crowd::Nobody, "none"),
            (Crowd::Alike, "alike"),
            (Crowd::Topics, "around topics"),
            (Crowd::Copies, "few, repeated"),
        ] {
            for first in [true, false] {
                // Without another there is no order.
                if first || !matches!(crowd, Crowd::Nobody) {
                    beside(&space, vectors, crowd, says, first).await;
                }
            }
        }
    }
}

/// Fills a database, and measures both ways.
async fn beside(space: &Space, vectors: usize, crowd: Crowd, says: &str, first: bool) {
    let postgres = Postgres::start().await;
    let store = postgres.store(ironclaw_store::PostgresStore::builder()).await;
    let mut random = Random::new(77);
    let own: Vec<Vec<f32>> = (0..vectors / 2).map(|_| space.vector(&mut random)).collect();
    let mut user = None;
    for turn in [first, !first] {
        if turn {
            write(&store, space, crowd, vectors / 2).await;
        } else {
            user = Some(User::of_vectors(&store, 1, own.clone()).await);
        }
    }
    let user = user.expect("it was written");
    let (shared, fewest) = shared(&postgres, space, &user, vectors).await;
    let made = postgres.maintenance().await.index_vectors().await.expect("indexes");
    assert!(made >= 1, "no index was made");
    postgres.execute("VACUUM (ANALYZE) ironclaw.chunk_vectors").await;
    let (took, recall) = user.search_vectors(&store, space).await;
    let order = if first { "before" } else { "after" };
    let took = percentiles(took);
    println!("| {vectors} | {says} | {order} | {shared:.4} | {fewest} of 10 | {recall:.4} | {took} |");
    store.close().await.expect("closed");
}

async fn write(store: &PostgresStore, space: &Space, crowd: Crowd, count: usize) {
    let mut random = Random::new(4_242);
    let few: Vec<Vec<f32>> = (0..20).map(|_| space.vector(&mut random)).collect();
    let vectors = (0..count).map(|n| match crowd {
        Crowd::Alike => space.vector(&mut random),
        Crowd::Topics => space.near_topic(&mut random),
        Crowd::Nobody | Crowd::Copies => few[n % few.len()].clone(),
    });
    if !matches!(crowd, Crowd::Nobody) {
        User::of_vectors(store, 2, vectors.collect()).await;
    }
}

/// The mean recall through an index over all users' vectors, and the fewest that a query found.
async fn shared(postgres: &Postgres, space: &Space, user: &User, vectors: usize) -> (f64, usize) {
    let mut connection = PgConnection::connect(&postgres.superuser_url()).await.expect("a server");
    let key: i64 = sqlx::query_scalar("SELECT model_key FROM ironclaw.chunk_vectors LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .expect("vectors");
    let owner: i64 = sqlx::query_scalar("SELECT owner_no FROM ironclaw.users WHERE owner = $1")
        .bind(user.scope.owner().as_str())
        .fetch_one(&mut connection)
        .await
        .expect("the user");
    let index = format!(
        "CREATE INDEX shared ON ironclaw.chunk_vectors USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops) \
         WITH (m = 16, ef_construction = 128) WHERE model_key = {key}; VACUUM (ANALYZE) ironclaw.chunk_vectors; \
         SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = {}; SET enable_sort = off",
        (2 * 30 * vectors / user.vectors.len()).clamp(100, 1_000)
    );
    for statement in index.split("; ") {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.expect("done");
    }
    let sql = format!(
        "WITH near AS MATERIALIZED (SELECT id, embedding FROM ironclaw.chunk_vectors \
            WHERE owner_no = {owner} AND model_key = {key} \
            ORDER BY embedding::halfvec({DIMENSIONS}) <=> $1::real[]::vector::halfvec({DIMENSIONS}) LIMIT 30) \
         SELECT id FROM near ORDER BY embedding <=> $1::real[]::vector, id LIMIT 10"
    );
    let (mut found, mut fewest) = (0, NEAREST);
    let queries = user.queries(space);
    for query in &queries {
        let rows = sqlx::query(AssertSqlSafe(sql.clone())).bind(query).fetch_all(&mut connection).await.expect("rows");
        // With less than asked, all were compared.
        let right = match rows.len() {
            NEAREST => {
                let nearest = user.nearest(query);
                let is_nearest =
                    |id: sqlx::types::Uuid| nearest.iter().any(|chunk| *chunk.as_bytes() == id.into_bytes());
                rows.iter().filter(|row| is_nearest(row.get(0))).count()
            }
            _ => NEAREST,
        };
        (found, fewest) = (found + right, fewest.min(right));
    }
    (found as f64 / (queries.len() * NEAREST) as f64, fewest)
}

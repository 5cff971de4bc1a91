//! Indexes over vectors: each has one user's rows, and which there are.

use ironclaw_core::Scope;
use ironclaw_core::change::{PrivacyOp, WorkspaceOp};
use ironclaw_core::id::OperatorName;
use ironclaw_store::PostgresStore;
use sqlx::PgConnection;

use crate::database::{Database, operator_url};
use crate::library::{Chunk, Random, apply, path, register, user};
use crate::raw::must;
use crate::vectors::{COMPARED_ONE_BY_ONE, DIMENSIONS, MODEL, comparison, fill, found, indexes, opened, search};
use crate::watched::Watched;

ironclaw_testing::tests![
    each_user_is_looked_up_in_an_index_of_their_own,
    the_largest_are_indexed_and_nothing_else_is_left,
    an_index_that_all_share_does_not_outlast_the_migration,
];

/// The index over a user's vectors of the model.
async fn index_of(database: &mut PgConnection, scope: &Scope) -> Option<String> {
    let sql = "SELECT 'chunk_vectors_' || owner_no || '_' FROM ironclaw.users WHERE owner = $1";
    let name: String = sqlx::query_scalar(sql).bind(scope.owner().as_str()).fetch_one(&mut *database).await.unwrap();
    indexes(database).await.into_iter().find(|index| index.starts_with(&name))
}

/// An index over the vectors of all users, as it once was.
const SHARED: &str = "CREATE INDEX chunk_vectors_0123456789abcdef ON ironclaw.chunk_vectors \
                      USING hnsw ((embedding::halfvec(8)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 128)";

async fn each_user_is_looked_up_in_an_index_of_their_own() {
    let mut watched = Watched::start().await;
    let direct = watched.store(PostgresStore::builder()).await;
    let pooled = watched.store(PostgresStore::builder().transaction_pooling()).await;
    let maintenance = watched.maintenance().await;
    let users = [user("ada"), user("bob"), user("eve")];
    let mut random = Random(29);
    let mut chunks = Vec::new();
    for scope in &users {
        register(&direct, scope, MODEL, DIMENSIONS as u32).await;
        chunks.push(fill(&direct, scope, &mut random, "all", COMPARED_ONE_BY_ONE + 50).await);
    }
    assert_eq!(maintenance.index_vectors().await.unwrap(), 3);
    let mut superuser = watched.superuser().await;
    let mut of_each = Vec::new();
    for scope in &users {
        of_each.push(index_of(&mut superuser, scope).await.unwrap());
    }
    for sql in ["SELECT 1", "ANALYZE", "ALTER ROLE watched_app SET plan_cache_mode = force_generic_plan"] {
        watched.execute(sql).await;
        let later = watched.store(PostgresStore::builder()).await;
        for store in [&direct, &pooled, &later] {
            // In turns, and more often than the server makes plans for the very values.
            for turn in 0..18 {
                let at = turn % 3;
                let query = random.vector(DIMENSIONS);
                let (hits, statements) = watched.during(search(store, &users[at], MODEL, &query, 10)).await;
                let scan = comparison(&statements).scan(&of_each[at]).expect("a scan of their own index");
                assert!(scan["Rows Removed by Filter"].as_f64().unwrap_or_default() == 0.0, "it has others' rows");
                assert!(comparison(&statements).is_bound(), "row-level security does not bind it");
                assert!(found(&hits, chunks[at].iter(), &query, 10) >= 9);
            }
        }
    }
}

async fn the_largest_are_indexed_and_nothing_else_is_left() {
    let (database, store, _) = opened().await;
    let with = async |most| {
        let operator = OperatorName::parse("root").unwrap();
        let builder = PostgresStore::builder().vector_indexes(most);
        builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap()
    };
    let (ada, bob) = (user("ada"), user("bob"));
    let mut random = Random(31);
    for scope in [&ada, &bob] {
        register(&store, scope, MODEL, DIMENSIONS as u32).await;
    }
    let adas = fill(&store, &ada, &mut random, "all", COMPARED_ONE_BY_ONE + 20).await;
    let mut bobs = fill(&store, &bob, &mut random, "all", COMPARED_ONE_BY_ONE + 10).await;
    let mut superuser = database.superuser().await;
    let check = async |random: &mut Random, bobs: &[Chunk]| {
        for (scope, chunks) in [(&ada, adas.as_slice()), (&bob, bobs)] {
            let query = random.vector(DIMENSIONS);
            assert!(found(&search(&store, scope, MODEL, &query, 10).await, chunks.iter(), &query, 10) >= 9);
        }
    };
    assert_eq!(with(1).await.index_vectors().await.unwrap(), 1);
    assert!(index_of(&mut superuser, &ada).await.is_some() && index_of(&mut superuser, &bob).await.is_none());
    check(&mut random, &bobs).await;
    bobs.extend(fill(&store, &bob, &mut random, "more", 20).await);
    assert_eq!(with(1).await.index_vectors().await.unwrap(), 1);
    assert!(index_of(&mut superuser, &ada).await.is_none() && index_of(&mut superuser, &bob).await.is_some());
    check(&mut random, &bobs).await;
    // One that somebody made by hand, through which the server would search for anybody.
    must(&mut superuser, SHARED).await;
    assert_eq!(with(64).await.index_vectors().await.unwrap(), 1);
    assert_eq!(indexes(&mut superuser).await.len(), 2);
    assert!(index_of(&mut superuser, &ada).await.is_some() && index_of(&mut superuser, &bob).await.is_some());
    assert_eq!(with(64).await.index_vectors().await.unwrap(), 0);
    check(&mut random, &bobs).await;
    // Who has few again, or nothing, has none.
    apply(&store, &bob, vec![WorkspaceOp::DeleteEntry { path: path("all") }.into()]).await;
    apply(&store, &ada, vec![PrivacyOp::Forget.into()]).await;
    assert_eq!(with(64).await.index_vectors().await.unwrap(), 0);
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
    fill(&store, &bob, &mut random, "all", COMPARED_ONE_BY_ONE).await;
    assert_eq!(with(64).await.index_vectors().await.unwrap(), 1);
    assert_eq!(with(0).await.index_vectors().await.unwrap(), 0);
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
}

async fn an_index_that_all_share_does_not_outlast_the_migration() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, SHARED).await;
    assert_eq!(indexes(&mut superuser).await.len(), 1);
    must(&mut superuser, include_str!("../../src/postgres/schema/0003/vectors.sql")).await;
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
}

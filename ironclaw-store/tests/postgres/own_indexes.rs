//! Indexes over vectors: each has one user's rows, and which there are.

use ironclaw_core::Scope;
use ironclaw_core::change::{PrivacyOp, WorkspaceOp};
use ironclaw_core::id::OperatorName;
use ironclaw_core::store::StoreErrorKind;
use ironclaw_store::{DropReason, IndexedVectors, PostgresStore};
use sqlx::PgConnection;

use crate::database::{Database, operator_url};
use crate::library::{Chunk, Random, apply, path, register, user};
use crate::raw::must;
use crate::vectors::{COMPARED_ONE_BY_ONE, DIMENSIONS, MODEL, comparison, fill, found, indexes, opened, search};
use crate::watched::Watched;

ironclaw_testing::tests![
    each_user_is_looked_up_in_an_index_of_their_own,
    the_largest_are_indexed_and_nothing_else_is_left,
    every_user_comes_before_anybodys_second,
    who_has_an_index_keeps_it_at_the_border,
    an_index_that_somebody_made_is_no_way_to_search,
    vectors_that_no_index_takes_keep_none_from_others,
    an_index_that_all_share_does_not_outlast_the_migration,
];

/// The index over a user's vectors of the model.
async fn index_of(database: &mut PgConnection, scope: &Scope) -> Option<String> {
    let sql = "SELECT 'chunk_vectors_' || owner_no || '_' FROM ironclaw.users WHERE owner = $1";
    let name: String = sqlx::query_scalar(sql).bind(scope.person().as_str()).fetch_one(&mut *database).await.unwrap();
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
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 3);
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
    assert_eq!(with(1).await.index_vectors().await.unwrap().made, 1);
    assert!(index_of(&mut superuser, &ada).await.is_some() && index_of(&mut superuser, &bob).await.is_none());
    check(&mut random, &bobs).await;
    // By more than a quarter.
    bobs.extend(fill(&store, &bob, &mut random, "more", 1_100).await);
    assert_eq!(with(1).await.index_vectors().await.unwrap().made, 1);
    assert!(index_of(&mut superuser, &ada).await.is_none() && index_of(&mut superuser, &bob).await.is_some());
    check(&mut random, &bobs).await;
    // One that somebody made by hand, through which the server would search for anybody.
    must(&mut superuser, SHARED).await;
    let done = with(64).await.index_vectors().await.unwrap();
    assert_eq!((done.made, done.kept), (1, 1));
    assert_eq!(reasons(&done), [DropReason::Foreign]);
    assert_eq!(indexes(&mut superuser).await.len(), 2);
    assert!(index_of(&mut superuser, &ada).await.is_some() && index_of(&mut superuser, &bob).await.is_some());
    assert_eq!(with(64).await.index_vectors().await.unwrap().made, 0);
    check(&mut random, &bobs).await;
    // Who has few again, or nothing, has none.
    apply(&store, &bob, vec![WorkspaceOp::DeleteEntry { path: path("all") }.into()]).await;
    apply(&store, &ada, vec![PrivacyOp::Forget.into()]).await;
    assert_eq!(with(64).await.index_vectors().await.unwrap().made, 0);
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
    fill(&store, &bob, &mut random, "all", COMPARED_ONE_BY_ONE).await;
    assert_eq!(with(64).await.index_vectors().await.unwrap().made, 1);
    let done = with(0).await.index_vectors().await.unwrap();
    assert_eq!((done.made, done.kept), (0, 0));
    assert_eq!(reasons(&done), [DropReason::BeyondLimit { limit: 0 }]);
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
}

/// Why indexes were dropped.
fn reasons(done: &IndexedVectors) -> Vec<DropReason> {
    done.dropped.iter().map(|dropped| dropped.reason).collect()
}

/// Makes it look as if a user had so many vectors of a model.
async fn pretend(superuser: &mut PgConnection, scope: &Scope, model: &str, chunks: usize) {
    let sql = format!(
        "UPDATE ironclaw.embedding_models m SET chunks = {chunks} FROM ironclaw.users u \
         WHERE u.owner_no = m.owner_no AND u.owner = '{}' AND m.id = '{model}'",
        scope.person().as_str()
    );
    assert_eq!(must(superuser, &sql).await, 1);
}

async fn every_user_comes_before_anybodys_second() {
    let (database, store, maintenance) = opened().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let mut superuser = database.superuser().await;
    // More models than there are indexes.
    for number in 0..70 {
        let model = format!("test/{number}");
        register(&store, &ada, &model, DIMENSIONS as u32).await;
        pretend(&mut superuser, &ada, &model, 900_000 + number).await;
    }
    for (model, chunks) in [("small", 4_001), ("large", 4_002)] {
        register(&store, &bob, model, DIMENSIONS as u32).await;
        pretend(&mut superuser, &bob, model, chunks).await;
    }
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 64);
    let names = indexes(&mut superuser).await;
    let sql = "SELECT 'chunk_vectors_' || owner_no || '_' FROM ironclaw.users WHERE owner = 'bob'";
    let bobs: String = sqlx::query_scalar(sql).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with(&bobs)).count(), 2, "a user with many models has all");
}

async fn who_has_an_index_keeps_it_at_the_border() {
    let (database, store, _) = opened().await;
    let operator = OperatorName::parse("root").unwrap();
    let builder = PostgresStore::builder().vector_indexes(1);
    let maintenance = builder.connect_maintenance(&operator_url(database.name()), operator).await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let mut superuser = database.superuser().await;
    for scope in [&ada, &bob] {
        register(&store, scope, MODEL, DIMENSIONS as u32).await;
    }
    let mut made = 0;
    for (adas, bobs, has) in [
        (5_000, 4_900, &ada),
        // Now one has more, now the other.
        (5_000, 5_100, &ada),
        (4_999, 6_248, &ada),
        (4_999, 6_249, &bob),
        (7_811, 6_249, &bob),
        // Few, but not so few that it does not pay any more.
        (4_000, 3_999, &bob),
        (4_000, 3_201, &bob),
    ] {
        pretend(&mut superuser, &ada, MODEL, adas).await;
        pretend(&mut superuser, &bob, MODEL, bobs).await;
        made += maintenance.index_vectors().await.unwrap().made;
        assert!(index_of(&mut superuser, has).await.is_some(), "{adas} {bobs}");
    }
    assert_eq!(made, 2);
    pretend(&mut superuser, &bob, MODEL, 3_200).await;
    let done = maintenance.index_vectors().await.unwrap();
    assert_eq!((done.made, reasons(&done)), (0, vec![DropReason::TooFew]));
}

/// The server takes whatever index fits for a search. What another gave is no answer.
async fn an_index_that_somebody_made_is_no_way_to_search() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let maintenance = watched.maintenance().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let mut random = Random(37);
    let mut chunks = Vec::new();
    for (scope, count) in [(&ada, 500), (&bob, COMPARED_ONE_BY_ONE + 500)] {
        register(&store, scope, MODEL, DIMENSIONS as u32).await;
        chunks = fill(&store, scope, &mut random, "all", count).await;
    }
    maintenance.index_vectors().await.unwrap();
    let mut superuser = watched.superuser().await;
    let own = index_of(&mut superuser, &bob).await.unwrap();
    let sql = format!("SELECT pg_get_indexdef('ironclaw.{own}'::regclass)");
    let definition: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
    let (_, condition) = definition.split_once(" WHERE ").unwrap();
    let inverted = "USING ivfflat ((embedding::halfvec(8)) halfvec_cosine_ops) WITH (lists = 1000)";
    let graph = "USING hnsw ((embedding::halfvec(8)) halfvec_cosine_ops) WITH (m = 4, ef_construction = 8)";
    let mut taken = 0;
    for by_hand in [
        format!("by_hand ON ironclaw.chunk_vectors {inverted}"),
        format!("by_hand ON ironclaw.chunk_vectors {inverted} WHERE {condition}"),
        format!("by_hand ON ironclaw.chunk_vectors {graph}"),
        format!("by_hand ON ironclaw.chunk_vectors {graph} WHERE {condition}"),
        "by_hand ON ironclaw.chunk_vectors USING btree ((embedding::halfvec(8)))".to_owned(),
        "by_hand ON ironclaw.chunk_vectors (chunk_no) WHERE vector_norm(embedding) > 0".to_owned(),
        // Under the name of the user's own.
        format!("{own} ON ironclaw.chunk_vectors {graph}"),
    ] {
        let name = by_hand.split(' ').next().unwrap();
        let both = name != own;
        if !both {
            watched.execute(&format!("DROP INDEX ironclaw.{own}")).await;
        }
        watched.execute(&format!("CREATE INDEX {by_hand}; ANALYZE ironclaw.chunk_vectors")).await;
        for with_own in if both { &[true, false][..] } else { &[false] } {
            if both && !with_own {
                watched.execute(&format!("DROP INDEX ironclaw.{own}")).await;
            }
            for _ in 0..3 {
                let query = random.vector(DIMENSIONS);
                let (hits, statements) = watched.during(search(&store, &bob, MODEL, &query, 10)).await;
                let compared: Vec<_> = statements.iter().filter(|statement| statement.text.contains("<=>")).collect();
                taken += compared.iter().filter(|statement| statement.scan(name).is_some()).count();
                assert!(compared.last().unwrap().scan(name).is_none(), "the answer is from {by_hand}");
                let found = found(&hits, chunks.iter(), &query, 10);
                assert!(found == 10 || *with_own && found == 9, "{found} with {by_hand}");
            }
        }
        let done = maintenance.index_vectors().await.unwrap();
        let dropped = done.dropped.iter().map(|dropped| (dropped.name.as_str(), dropped.reason));
        assert_eq!(dropped.collect::<Vec<_>>(), [(name, DropReason::Foreign)], "{by_hand}");
        assert_eq!((done.made, indexes(&mut superuser).await), (1, vec![own.clone()]));
    }
    assert!(taken > 0, "the server took none of them: this test shows nothing");
}

async fn an_index_that_all_share_does_not_outlast_the_migration() {
    let database = Database::fresh().await;
    let mut superuser = database.superuser().await;
    must(&mut superuser, SHARED).await;
    assert_eq!(indexes(&mut superuser).await.len(), 1);
    must(&mut superuser, include_str!("../../src/postgres/schema/0003/vectors.sql")).await;
    assert_eq!(indexes(&mut superuser).await, Vec::<String>::new());
}

/// One user's row is damaged: the server can make no index of it.
async fn vectors_that_no_index_takes_keep_none_from_others() {
    let (database, store, maintenance) = opened().await;
    let mut superuser = database.superuser().await;
    let mut random = Random(41);
    for name in ["ada", "bob", "eve"] {
        register(&store, &user(name), MODEL, DIMENSIONS as u32).await;
        fill(&store, &user(name), &mut random, "all", 3).await;
    }
    must(&mut superuser, "UPDATE ironclaw.embedding_models SET chunks = 5000").await;
    let damage = "UPDATE ironclaw.chunk_vectors SET embedding = '[1,2]' WHERE owner_no = \
                  (SELECT u.owner_no FROM ironclaw.users u WHERE u.owner = 'ada')";
    assert_eq!(must(&mut superuser, damage).await, 3);
    let error = maintenance.index_vectors().await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("check_integrity"), "{error}");
    for name in ["bob", "eve"] {
        let index = index_of(&mut superuser, &user(name)).await.unwrap();
        let valid = format!("SELECT FROM pg_index WHERE indexrelid = 'ironclaw.{index}'::regclass AND indisvalid");
        assert_eq!(must(&mut superuser, &valid).await, 1, "{name}");
    }
}

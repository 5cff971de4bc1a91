//! Vector search: which way it goes, and that either way gives what was asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::id::{ChunkId, HoldId, OperatorName};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::model::workspace::{ChunkHit, WorkspacePath};
use ironclaw_core::search::VECTOR_TOLERANCE;
use ironclaw_core::store::{SearchFilter, Store, StoreErrorKind, Workspace};
use ironclaw_core::{Clock, Maintenance, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

use crate::database::{Database, app_url, operator_url};
use crate::library::{Chunk, File, Random, apply, near, nearest, path, register, user, write};
use crate::raw::must;
use crate::watched::{Statement, Watched};

ironclaw_testing::tests![
    few_vectors_are_compared_and_many_are_looked_up,
    what_is_below_a_path_is_compared,
    a_search_gives_as_many_as_asked_whoever_else_has_vectors,
    models_of_any_dimensions_live_side_by_side,
    an_index_is_made_while_writers_go_on,
    an_index_that_was_broken_off_is_made_anew,
];

/// Up to so many chunks of a user are compared one by one (docs/benchmarks.md).
pub(crate) const COMPARED_ONE_BY_ONE: usize = 4_000;

pub(crate) const DIMENSIONS: usize = 8;
pub(crate) const MODEL: &str = "test/8";

pub(crate) async fn opened() -> (Database, PostgresStore, PostgresMaintenance) {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    (database, store, maintenance)
}

fn below(prefix: &str) -> SearchFilter {
    SearchFilter::default().prefix(path(prefix))
}

pub(crate) async fn search(
    store: &dyn Store,
    scope: &Scope,
    name: &str,
    vector: &[f32],
    limit: usize,
) -> Vec<ChunkHit> {
    store.workspace().search_vectors(scope, &near(name, vector), &SearchFilter::default(), limit as u32).await.unwrap()
}

/// How many of the nearest were found. All hits must be as many as there can be, each once, with the right scores, best
/// first.
pub(crate) fn found<'a>(
    hits: &[ChunkHit],
    chunks: impl Iterator<Item = &'a Chunk> + Clone,
    query: &[f32],
    limit: usize,
) -> usize {
    let chunks: Vec<_> = chunks.collect();
    let expected = nearest(chunks.iter().copied(), query, chunks.len());
    assert_eq!(hits.len(), limit.min(chunks.len()));
    let scores: HashMap<ChunkId, f64> = expected.iter().copied().collect();
    for hit in hits {
        let score = scores.get(&hit.chunk).expect("a visible chunk of the user");
        assert!((hit.score - score).abs() <= VECTOR_TOLERANCE, "{} instead of {score}", hit.score);
    }
    assert!(hits.is_sorted_by(|a, b| a.score > b.score || a.score == b.score && a.chunk < b.chunk));
    let Some((_, last)) = expected.get(hits.len().saturating_sub(1)) else {
        return 0;
    };
    hits.iter().filter(|hit| hit.score >= last - VECTOR_TOLERANCE).count()
}

/// Writes files of vectors, and gives all their chunks.
pub(crate) async fn fill(store: &dyn Store, scope: &Scope, random: &mut Random, at: &str, count: usize) -> Vec<Chunk> {
    let file = File::of_vectors(at, MODEL, random.vectors(DIMENSIONS, count));
    write(store, scope, &file).await;
    file.chunks
}

/// Places a legal hold on a user: nothing of theirs is swept.
async fn hold(maintenance: &PostgresMaintenance, scope: &Scope) {
    let hold = Hold::new(
        HoldId::make(&SystemClock),
        scope.tenant().clone(),
        scope.owner().clone(),
        "a test",
        SystemClock.now(),
    );
    maintenance.apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
}

/// The names of all indexes over vectors.
pub(crate) async fn indexes(database: &mut sqlx::PgConnection) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
               JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'hnsw' AND i.indisvalid ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(database).await.unwrap()
}

/// The name of the only index over vectors, if there is one.
async fn index(database: &mut sqlx::PgConnection) -> Option<String> {
    let names = indexes(database).await;
    assert!(names.len() <= 1, "{names:?}");
    names.into_iter().next()
}

/// The statement that compared vectors. There must be one, of a user whom row-level security binds.
pub(crate) fn comparison(statements: &[Statement]) -> &Statement {
    let mut compared = statements.iter().filter(|statement| statement.text.contains("<=>"));
    let (Some(statement), None) = (compared.next(), compared.next()) else {
        panic!("{:?}", statements.iter().map(|statement| &statement.text).collect::<Vec<_>>());
    };
    statement
}

async fn few_vectors_are_compared_and_many_are_looked_up() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let maintenance = watched.maintenance().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let mut random = Random(7);
    for scope in [&ada, &bob] {
        register(&store, scope, MODEL, DIMENSIONS as u32).await;
    }
    let mut adas = fill(&store, &ada, &mut random, "all", COMPARED_ONE_BY_ONE).await;
    let bobs = fill(&store, &bob, &mut random, "all", 100).await;
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 0, "nobody has enough of them yet");
    adas.extend(fill(&store, &ada, &mut random, "one", 1).await);
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 1);
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 0);
    let index = index(&mut watched.superuser().await).await.unwrap();

    // As the server's statistics are: made by nobody, or new.
    for analyze in [false, true] {
        if analyze {
            watched.execute("ANALYZE").await;
        }
        // More often than the server makes plans for the very values.
        for _ in 0..8 {
            let query = random.vector(DIMENSIONS);
            let (hits, statements) = watched.during(search(&store, &ada, MODEL, &query, 10)).await;
            let scan = comparison(&statements).scan(&index).expect("a scan of the index");
            assert_eq!(scan["Node Type"], "Index Scan");
            assert!(comparison(&statements).is_bound(), "row-level security does not bind it");
            assert!(found(&hits, adas.iter(), &query, 10) >= 9);

            let (hits, statements) = watched.during(search(&store, &ada, MODEL, &query, 100)).await;
            assert!(comparison(&statements).scan(&index).is_none(), "comparing all gives that many sooner");
            assert_eq!(found(&hits, adas.iter(), &query, 100), 100);

            let (hits, statements) = watched.during(search(&store, &bob, MODEL, &query, 10)).await;
            assert!(comparison(&statements).scan(&index).is_none());
            assert!(comparison(&statements).is_bound(), "row-level security does not bind it");
            assert_eq!(found(&hits, bobs.iter(), &query, 10), 10);

            let (hits, statements) =
                watched.during(store.search_vectors(&ada, &near(MODEL, &query), &below("one"), 10)).await;
            assert!(comparison(&statements).scan(&index).is_none(), "few of them are below the path");
            assert_eq!(found(&hits.unwrap(), adas[COMPARED_ONE_BY_ONE..].iter(), &query, 10), 1);
        }
    }
    // More that is nearest and must not be found than the index keeps as candidates: it goes on until it has enough.
    let query = random.vector(DIMENSIONS);
    let close = |random: &mut Random| {
        let other = random.vector(DIMENSIONS);
        query.iter().zip(other).map(|(number, other)| number + 0.05 * other).collect::<Vec<f32>>()
    };
    let close: Vec<_> = (0..300).map(|_| close(&mut random)).collect();
    let (_, staged) = File::of_vectors("begun", MODEL, close).staged();
    apply(&store, &ada, staged).await;
    let (hits, statements) = watched.during(search(&store, &ada, MODEL, &query, 10)).await;
    let scan = comparison(&statements).scan(&index).expect("a scan of the index");
    assert!(scan["Rows Removed by Filter"].as_f64().unwrap() > 200.0);
    assert!(found(&hits, adas.iter(), &query, 10) >= 9);

    let delete = WorkspaceOp::DeleteEntry { path: path("one") };
    apply(&store, &ada, vec![delete.into()]).await;
    let query = random.vector(DIMENSIONS);
    let (hits, statements) = watched.during(search(&store, &ada, MODEL, &query, 10)).await;
    assert!(comparison(&statements).scan(&index).is_none());
    assert_eq!(found(&hits, adas[..COMPARED_ONE_BY_ONE].iter(), &query, 10), 10);
}

/// What is below a path lies together: around a query for something else an index may come upon none of it.
async fn what_is_below_a_path_is_compared() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let maintenance = watched.maintenance().await;
    let ada = user("ada");
    let mut random = Random(11);
    register(&store, &ada, MODEL, DIMENSIONS as u32).await;
    let much = fill(&store, &ada, &mut random, "much", COMPARED_ONE_BY_ONE + 200).await;
    fill(&store, &ada, &mut random, "else", 200).await;
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 1);
    let index = index(&mut watched.superuser().await).await.unwrap();
    for _ in 0..4 {
        let query = random.vector(DIMENSIONS);
        let (_, statements) = watched.during(search(&store, &ada, MODEL, &query, 10)).await;
        assert!(comparison(&statements).scan(&index).is_some());
        let (near, below) = (near(MODEL, &query), below("much"));
        let (hits, statements) = watched.during(store.search_vectors(&ada, &near, &below, 10)).await;
        assert!(comparison(&statements).scan(&index).is_none());
        assert_eq!(found(&hits.unwrap(), much.iter(), &query, 10), 10);
    }
}

async fn a_search_gives_as_many_as_asked_whoever_else_has_vectors() {
    let (database, store, maintenance) = opened().await;
    let mut random = Random(11);
    let mut users = Vec::new();
    for (name, folders) in [
        ("large", &[("a/1", 5_000), ("a/2", 4_000), ("b/1", 2_995), ("c", 5)][..]),
        ("medium", &[("a/1", 8_001), ("b", 200)]),
        ("small", &[("a/1", 290), ("b", 10)]),
        ("tiny", &[("b", 7)]),
    ] {
        let scope = user(name);
        register(&store, &scope, MODEL, DIMENSIONS as u32).await;
        let mut files: Vec<(WorkspacePath, Vec<Chunk>)> = Vec::new();
        for (at, count) in folders {
            files.push((path(at), fill(&store, &scope, &mut random, at, *count).await));
        }
        users.push((scope, files));
    }
    let queries = random.vectors(DIMENSIONS, 6);
    // What nobody may find is nearer than all that may be found: versions that were begun, and under a hold, which keeps
    // the sweep away, versions that were given up.
    for (scope, _) in &users {
        let close = queries.iter().flat_map(|query| vec![query.clone(); 30]);
        let (version, operations) = File::of_vectors("d/gone", MODEL, close.clone()).staged();
        apply(&store, scope, operations).await;
        let (_, operations) = File::of_vectors("d/begun", MODEL, close).staged();
        apply(&store, scope, operations).await;
        hold(&maintenance, scope).await;
        apply(&store, scope, vec![WorkspaceOp::Abandon { version }.into()]).await;
    }
    for indexed in [false, true] {
        if indexed {
            assert_eq!(maintenance.index_vectors().await.unwrap().made, 2);
            must(&mut database.superuser().await, "VACUUM ANALYZE ironclaw.chunk_vectors").await;
        }
        let (mut asked, mut got) = (0, 0);
        for (scope, files) in &users {
            for query in &queries {
                for (filter, limit) in [
                    (None, 1),
                    (None, 10),
                    (None, 200),
                    (Some("a"), 10),
                    (Some("b"), 20),
                    (Some("c"), 10),
                    (Some("d"), 5),
                ] {
                    let prefix = filter.map(path);
                    let within = |at: &WorkspacePath| prefix.as_ref().is_none_or(|prefix| at.is_within(prefix));
                    let chunks = files.iter().filter(|(at, _)| within(at)).flat_map(|(_, chunks)| chunks);
                    let expected = limit.min(chunks.clone().count());
                    let filter = SearchFilter::default().prefix(prefix.clone());
                    let hits = store.search_vectors(scope, &near(MODEL, query), &filter, limit as u32).await.unwrap();
                    let found = found(&hits, chunks, query, limit);
                    if !indexed {
                        assert_eq!(found, expected, "{filter:?} {limit}");
                    }
                    (asked, got) = (asked + expected, got + found);
                }
            }
        }
        assert!(got * 100 >= asked * 99, "{got} of {asked}");
    }
}

async fn models_of_any_dimensions_live_side_by_side() {
    let (database, store, maintenance) = opened().await;
    let ada = user("ada");
    let mut random = Random(13);
    // The second can be indexed by numbers of 16 bits only, the third not at all.
    let models = [("test/384", 384), ("test/2500", 2_500), ("test/4096", 4_096)];
    let mut chunks = Vec::new();
    for (name, dimensions) in models {
        register(&store, &ada, name, dimensions as u32).await;
        for part in 0..2 {
            let file = File::of_vectors(&format!("{name}/{part}"), name, random.vectors(dimensions, 40));
            write(&store, &ada, &file).await;
            chunks.push(file.chunks);
        }
    }
    let check = async |random: &mut Random| {
        for ((name, dimensions), chunks) in models.iter().zip(chunks.chunks(2)) {
            let query = random.vector(*dimensions);
            let hits = search(&store, &ada, name, &query, 60).await;
            assert_eq!(found(&hits, chunks.iter().flatten(), &query, 60), 60, "{name}");
        }
    };
    check(&mut random).await;
    // As if there were many of each.
    let mut superuser = database.superuser().await;
    must(&mut superuser, "UPDATE ironclaw.embedding_models SET chunks = 100000").await;
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 2);
    let sql = "SELECT string_agg(substring(indexdef FROM 'halfvec\\(\\d+\\)'), ' ' ORDER BY indexdef) \
               FROM pg_indexes WHERE indexdef LIKE '%hnsw%'";
    let mut indexed: Vec<String> = Vec::new();
    let all: String = sqlx::query_scalar(sql).fetch_one(&mut superuser).await.unwrap();
    indexed.extend(all.split(' ').map(str::to_owned));
    indexed.sort();
    assert_eq!(indexed, ["halfvec(2500)", "halfvec(384)"]);
    check(&mut random).await;
}

async fn an_index_is_made_while_writers_go_on() {
    let (database, store, maintenance) = opened().await;
    let ada = user("ada");
    let mut random = Random(17);
    register(&store, &ada, MODEL, DIMENSIONS as u32).await;
    let mut chunks = fill(&store, &ada, &mut random, "first", COMPARED_ONE_BY_ONE + 1).await;
    // The index waits for this snapshot, so it is certain that writers write in the meantime.
    let mut reader = database.superuser().await;
    must(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM ironclaw.users").await;
    let making = tokio::spawn(async move { maintenance.index_vectors().await });
    let mut watching = database.superuser().await;
    let started = "SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'";
    while must(&mut watching, started).await == 0 {
        assert!(!making.is_finished(), "the index did not wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(index(&mut watching).await.is_none());
    for at in 0..20 {
        chunks.extend(fill(&store, &ada, &mut random, &format!("meanwhile/{at}"), 5).await);
    }
    // A search does not take an index that is not whole.
    let query = random.vector(DIMENSIONS);
    let hits = search(&store, &ada, MODEL, &query, 10).await;
    assert_eq!(found(&hits, chunks.iter(), &query, 10), 10);
    assert!(!making.is_finished());
    let ended = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, ada, ended) = (store.clone(), ada.clone(), Arc::clone(&ended));
        async move {
            let mut written = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                written.extend(fill(&store, &ada, &mut random, &format!("later/{}", written.len()), 1).await);
            }
            (written, random)
        }
    });
    must(&mut reader, "COMMIT").await;
    assert_eq!(making.await.unwrap().unwrap().made, 1);
    ended.store(true, Ordering::Relaxed);
    let (written, mut random) = writing.await.unwrap();
    chunks.extend(written);
    assert!(index(&mut watching).await.is_some());
    // What was written meanwhile is in the index: each is nearest to itself.
    for chunk in chunks.iter().skip(COMPARED_ONE_BY_ONE).step_by(7) {
        let hits = search(&store, &ada, MODEL, chunk.vector.as_ref().unwrap(), 3).await;
        assert_eq!(hits[0].chunk, chunk.id);
    }
    let query = random.vector(DIMENSIONS);
    let hits = search(&store, &ada, MODEL, &query, 10).await;
    assert!(found(&hits, chunks.iter(), &query, 10) >= 9);
}

async fn an_index_that_was_broken_off_is_made_anew() {
    let (database, store, _) = opened().await;
    let ada = user("ada");
    let mut random = Random(19);
    register(&store, &ada, MODEL, DIMENSIONS as u32).await;
    let chunks = fill(&store, &ada, &mut random, "all", COMPARED_ONE_BY_ONE + 1).await;
    let operator = OperatorName::parse("root").unwrap();
    let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await.unwrap();
    let mut reader = database.superuser().await;
    must(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM ironclaw.users").await;
    // It waits for the reader, and its connection is lost.
    let making = tokio::spawn({
        let maintenance = maintenance.clone();
        async move { maintenance.index_vectors().await }
    });
    let mut superuser = database.superuser().await;
    let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event = 'virtualxid'";
    while must(&mut superuser, waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*making.await.unwrap().unwrap_err().kind(), StoreErrorKind::Unavailable);
    let broken = "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                  WHERE c.relname LIKE 'chunk\\_vectors\\_%' AND NOT i.indisvalid";
    assert_eq!(must(&mut superuser, broken).await, 1);
    let query = random.vector(DIMENSIONS);
    let hits = search(&store, &ada, MODEL, &query, 10).await;
    assert_eq!(found(&hits, chunks.iter(), &query, 10), 10);
    must(&mut reader, "COMMIT").await;
    assert_eq!(maintenance.index_vectors().await.unwrap().made, 1);
    assert_eq!(must(&mut superuser, broken).await, 0);
    assert!(index(&mut superuser).await.is_some());
    let hits = search(&store, &ada, MODEL, &query, 10).await;
    assert!(found(&hits, chunks.iter(), &query, 10) >= 9);
}

//! Vectors that the 16 bits of an index can't tell apart.

use ironclaw_core::Scope;
use ironclaw_core::model::workspace::ChunkHit;
use ironclaw_store::PostgresStore;

use crate::library::{Chunk, File, Random, cosine, register, user, write};
use crate::vectors::search;
use crate::watched::{Statement, Watched};

ironclaw_testing::tests![of_vectors_that_are_alike_the_nearest_are_found];

const DIMENSIONS: usize = 64;
const MODEL: &str = "test/64";
const NEAREST: usize = 10;
const TOPICS: usize = 30;

/// How much the distances of numbers of 32 bits may be off.
const EXACT: f64 = 5e-7;

/// A vector so far from another, for one of length 1.
fn beside(random: &mut Random, vector: &[f32], far: f32) -> Vec<f32> {
    let noise = random.vector(vector.len());
    let length = |vector: &[f32]| vector.iter().map(|n| n * n).sum::<f32>().sqrt();
    let factor = far * length(vector) / length(&noise);
    vector.iter().zip(noise).map(|(n, noise)| n + factor * noise).collect()
}

/// How many of the nearest are found: whatever is as near as the last of them counts.
fn found(hits: &[ChunkHit], chunks: &[Chunk], query: &[f32]) -> usize {
    let similarity = |chunk: &Chunk| cosine(chunk.vector.as_ref().unwrap(), query);
    let mut all: Vec<f64> = chunks.iter().map(similarity).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(hits.len(), NEAREST);
    let of = |hit: &ChunkHit| chunks.iter().find(|chunk| chunk.id == hit.chunk).unwrap();
    hits.iter().filter(|hit| similarity(of(hit)) >= all[NEAREST - 1] - EXACT).count()
}

/// A user's vectors, and what is asked.
struct Case {
    name: &'static str,
    vectors: Vec<Vec<f32>>,
    /// Queries near what is alike: each of the nearest must be found.
    near: Vec<Vec<f32>>,
    /// Others.
    far: Vec<Vec<f32>>,
}

/// Vectors that all have a cosine of 0.9999 to each other.
fn alike(random: &mut Random) -> Case {
    let middle = random.vector(DIMENSIONS);
    let vectors = (0..4_500).map(|_| beside(random, &middle, 0.01)).collect();
    let near = [0.0, 0.01, 0.01, 0.01, 0.1, 0.5, 1.0, 10.0].map(|far| beside(random, &middle, far)).into();
    Case { name: "alike", vectors, near, far: Vec::new() }
}

/// Vectors about topics, and one of them so many times more.
fn repeated(random: &mut Random, name: &'static str, times: usize) -> Case {
    let topics = random.vectors(DIMENSIONS, TOPICS);
    let mut vectors: Vec<Vec<f32>> =
        (0..6_000 - times).map(|number| beside(random, &topics[number % TOPICS], 0.7)).collect();
    let text = vectors[0].clone();
    vectors.extend(vec![text.clone(); times]);
    let near = [0.0, 0.1, 0.4, 0.7, 0.7].map(|far| beside(random, &text, far)).into();
    let far = topics.iter().map(|topic| beside(random, topic, 0.7)).collect();
    Case { name, vectors, near, far }
}

async fn of_vectors_that_are_alike_the_nearest_are_found() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let maintenance = watched.maintenance().await;
    let mut random = Random(43);
    let cases = [
        alike(&mut random),
        repeated(&mut random, "thousand", 1_000),
        repeated(&mut random, "three", 3_000),
        repeated(&mut random, "once", 1),
    ];
    let mut written: Vec<(Scope, Vec<Chunk>)> = Vec::new();
    for case in &cases {
        let scope = user(case.name);
        register(&store, &scope, MODEL, DIMENSIONS as u32).await;
        let file = File::of_vectors("all", MODEL, case.vectors.clone());
        write(&store, &scope, &file).await;
        written.push((scope, file.chunks));
    }
    assert_eq!(maintenance.index_vectors().await.unwrap().made, cases.len() as u64);
    for (case, (scope, chunks)) in cases.iter().zip(&written) {
        let is_alike = case.name != "once";
        for query in &case.near {
            let (hits, statements) = watched.during(search(&store, scope, MODEL, query, NEAREST)).await;
            assert_eq!(found(&hits, chunks, query), NEAREST, "{}", case.name);
            assert!(!is_alike || comparisons(&statements) == 2, "{}: through the index and one by one", case.name);
        }
        let mut all = 0;
        for query in &case.far {
            let (hits, statements) = watched.during(search(&store, scope, MODEL, query, NEAREST)).await;
            all += found(&hits, chunks, query);
            assert!(is_alike || comparisons(&statements) == 1, "the index tells these apart");
        }
        assert!(all * 100 >= NEAREST * case.far.len() * 99, "{}: {all}", case.name);
    }
}

fn comparisons(statements: &[Statement]) -> usize {
    statements.iter().filter(|statement| statement.text.contains("<=>")).count()
}

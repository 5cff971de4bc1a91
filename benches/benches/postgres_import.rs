//! A large import into PostgreSQL: 50,000 chunks of 300 bytes with vectors of 384 dimensions, in files of one chunk and of
//! a hundred, a thousand chunks in each change.

use std::time::{Duration, Instant};

use ironclaw_benches::{Postgres, Random, prose, runtime};
use ironclaw_core::change::WorkspaceOp;
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, EmbeddingModelId, VersionId};
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Scope, SystemClock};
use ironclaw_store::PostgresStore;

const CHUNKS: usize = 50_000;
const CHUNKS_PER_CHANGE: usize = 1_000;
const CHUNK_BYTES: usize = 300;
const DIMENSIONS: usize = 384;

fn main() {
    println!("| chunks of a file | time | chunks per second | a change at first | at last |");
    println!("|---|---|---|---|---|");
    for chunks_per_file in [1, 100] {
        runtime().block_on(import(chunks_per_file));
    }
}

async fn import(chunks_per_file: usize) {
    let postgres = Postgres::start().await;
    let store = postgres.store(PostgresStore::builder()).await;
    let scope = Scope::user("bench").expect("a user");
    let model = EmbeddingModel::new(model(), DIMENSIONS as u32);
    store.apply(&scope, Change::new().with(WorkspaceOp::RegisterModel { model })).await.expect("a model");
    let mut took = Vec::new();
    for first in (0..CHUNKS).step_by(CHUNKS_PER_CHANGE) {
        let files = (first..first + CHUNKS_PER_CHANGE).step_by(chunks_per_file);
        let change = files.fold(Change::new(), |change, first| with_file(change, first, chunks_per_file));
        let start = Instant::now();
        store.apply(&scope, change).await.expect("imported");
        took.push(start.elapsed());
    }
    let time: Duration = took.iter().sum();
    let mean = |took: &[Duration]| took.iter().sum::<Duration>() / took.len().max(1) as u32;
    println!(
        "| {chunks_per_file} | {time:.1?} | {:.0} | {:.0?} | {:.0?} |",
        CHUNKS as f64 / time.as_secs_f64(),
        mean(&took[1..6]),
        mean(&took[took.len() - 5..])
    );
}

fn with_file(change: Change, first: usize, count: usize) -> Change {
    let mut random = Random::new(1 + first as u64);
    let (mut bytes, mut chunks) = (Vec::new(), Vec::new());
    for chunk in first..first + count {
        let start = bytes.len() as u64;
        bytes.extend_from_slice(prose(chunk as u64, CHUNK_BYTES).as_bytes());
        let embedding: Vec<f32> =
            (0..DIMENSIONS).map(|_| random.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect();
        let id = ChunkId::make(&SystemClock);
        chunks.push(NewChunk::new(id, start, bytes.len() as u64).embedding(embedding));
    }
    let (version, size, content_hash) = (VersionId::make(&SystemClock), bytes.len() as u64, ContentHash::of(&bytes));
    let path = WorkspacePath::parse(format!("files/{first}.txt")).expect("a path");
    let begin = NewVersion::new(version, path).embedding_model(model());
    let parts = vec![Part::new(0, bytes).chunks(chunks)];
    change
        .with(WorkspaceOp::BeginVersion { version: begin })
        .with(WorkspaceOp::PutParts { version, parts })
        .with(WorkspaceOp::Publish { version, size, content_hash })
}

fn model() -> EmbeddingModelId {
    EmbeddingModelId::parse("bench/384").expect("a name")
}

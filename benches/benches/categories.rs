//! How long calls of the categories take on both engines: the median of each, in microseconds. `benches/pairs` runs two
//! builds of it in turn.
//!
//! The setting has no work of its own beside its statement and its audit event, so it shows what stands between.

use std::time::{Duration, Instant};

use ironclaw_benches::{Postgres, Random, prose, runtime, scope, word};
use ironclaw_core::change::{Operation, WorkspaceOp};
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, ConversationId, EmbeddingModelId, MessageId, SettingKey, VersionId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, Store, StoreExt, VectorQuery};
use ironclaw_core::{Change, Limits, Scope, SystemClock};
use ironclaw_store::{LibsqlStore, PostgresStore};
use serde_json::Value;

const FILES: u64 = 60;
const CHUNKS_PER_FILE: u64 = 20;
const CHUNK_BYTES: usize = 300;
const DIMENSIONS: u32 = 64;
const WRITES: u64 = 400;
const READS: u64 = 1_000;
const SEARCHES: u64 = 300;
const NEAREST: u32 = 10;
/// How many calls of each kind aren't counted: the first ones prepare their statements.
const FIRST: usize = 20;

fn main() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store = LibsqlStore::open(folder.path().join("agent.db")).await.expect("a store");
        measure("libSQL", &store).await;
        let postgres = Postgres::start().await;
        let store = postgres.store(PostgresStore::builder()).await;
        measure("PostgreSQL", &store).await;
    });
}

async fn measure(engine: &str, store: &dyn Store) {
    let scope = scope();
    let mut random = Random::new(7);

    let model = EmbeddingModel::new(model(), DIMENSIONS);
    store.apply(&scope, Change::new().with(WorkspaceOp::RegisterModel { model })).await.expect("a model");
    let mut took = Vec::new();
    for file in 0..FILES {
        took.push(timed(store.apply(&scope, written(file, &mut random))).await);
    }
    print(engine, "file of 20 chunks written", took);

    let mut took = Vec::new();
    for i in 0..WRITES {
        took.push(timed(store.put_setting(&scope, key(), Value::from(i))).await);
    }
    print(engine, "setting put", took);

    let conversation = ConversationId::make(&SystemClock);
    store.create_conversation(&scope, conversation, "bench").await.expect("a conversation");
    let mut took = Vec::new();
    for i in 0..WRITES {
        let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, prose(i, 200));
        took.push(timed(store.append_message(&scope, conversation, message)).await);
    }
    print(engine, "message appended", took);

    let mut took = Vec::new();
    for _ in 0..READS {
        took.push(timed(store.settings().setting(&scope, &key())).await);
    }
    print(engine, "setting read", took);

    search(engine, store, &scope, &mut random).await;
    store.close().await.expect("closed");
}

async fn search(engine: &str, store: &dyn Store, scope: &Scope, random: &mut Random) {
    let (mut by_words, mut by_vectors) = (Vec::new(), Vec::new());
    let filter = SearchFilter::default();
    for _ in 0..SEARCHES {
        // Words as rare as the middle of a text: those that everybody uses are left out.
        let words: Vec<String> = (0..4).map(|_| word(80 + random.zipf(5_000))).collect();
        let query = TextQuery::new(&words.join(" "), &Limits::default());
        by_words.push(timed(store.workspace().search_text(scope, &query, &filter, NEAREST)).await);
        let query = VectorQuery::new(model(), vector(random));
        by_vectors.push(timed(store.workspace().search_vectors(scope, &query, &filter, NEAREST)).await);
    }
    print(engine, "search by words", by_words);
    print(engine, "search by vectors", by_vectors);
}

fn written(file: u64, random: &mut Random) -> Change {
    let (mut bytes, mut chunks) = (Vec::new(), Vec::new());
    for chunk in 0..CHUNKS_PER_FILE {
        let start = bytes.len() as u64;
        bytes.extend_from_slice(prose(file * CHUNKS_PER_FILE + chunk, CHUNK_BYTES).as_bytes());
        let end = bytes.len() as u64;
        chunks.push(NewChunk::new(ChunkId::make(&SystemClock), start, end).embedding(vector(random)));
    }
    let (version, size) = (VersionId::make(&SystemClock), bytes.len() as u64);
    let content_hash = ContentHash::of(&bytes);
    let path = WorkspacePath::parse(format!("files/{file}.txt")).expect("a path");
    let begin = NewVersion::new(version, path).embedding_model(model());
    let parts = vec![Part::new(0, bytes).chunks(chunks)];
    [
        Operation::from(WorkspaceOp::BeginVersion { version: begin }),
        WorkspaceOp::PutParts { version, parts }.into(),
        WorkspaceOp::Publish { version, size, content_hash }.into(),
    ]
    .into_iter()
    .fold(Change::new(), Change::with)
}

fn vector(random: &mut Random) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| random.below(2_001) as f32 / 1_000.0 - 1.0).collect()
}

fn model() -> EmbeddingModelId {
    EmbeddingModelId::parse("bench/64").expect("a name")
}

fn key() -> SettingKey {
    SettingKey::parse("bench").expect("a key")
}

async fn timed<T, E: std::fmt::Debug>(call: impl Future<Output = Result<T, E>>) -> Duration {
    let start = Instant::now();
    call.await.expect("done");
    start.elapsed()
}

/// One line for each kind of call: engine, kind and microseconds, by tabs.
fn print(engine: &str, what: &str, mut took: Vec<Duration>) {
    took.drain(..FIRST);
    took.sort_unstable();
    println!("{engine}\t{what}\t{:.1}", took[took.len() / 2].as_secs_f64() * 1e6);
}

//! A user with files, whose searches are measured.

use std::time::{Duration, Instant};

use ironclaw_benches::{Random, prose, word};
use ironclaw_core::change::{Operation, WorkspaceOp};
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, EmbeddingModelId, VersionId};
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Apply, SearchFilter, VectorQuery, Workspace};
use ironclaw_core::{Change, Limits, Scope, SystemClock};
use ironclaw_store::PostgresStore;

use crate::space::{DIMENSIONS, Space};

const CHUNKS_PER_FILE: usize = 20;
const CHUNK_BYTES: usize = 300;
const QUERIES: usize = 200;
const NEAREST: usize = 10;

pub(crate) struct User {
    pub(crate) scope: Scope,
    pub(crate) number: u64,
    pub(crate) vectors: Vec<(ChunkId, Vec<f32>)>,
}

pub(crate) struct Measured {
    pub(crate) words: Vec<Duration>,
    pub(crate) vectors: Vec<Duration>,
    pub(crate) both: Vec<Duration>,
    pub(crate) recall: f64,
    pub(crate) rows: String,
}

impl User {
    pub(crate) async fn fill(store: &PostgresStore, space: &Space, number: u64, chunks: usize) -> Self {
        let mut random = Random::new(100 + number);
        Self::fill_with(store, number, chunks, || space.vector(&mut random)).await
    }

    /// One whose vectors come from somewhere else.
    pub(crate) async fn fill_with(
        store: &PostgresStore,
        number: u64,
        chunks: usize,
        mut next: impl FnMut() -> Vec<f32>,
    ) -> Self {
        let scope = Scope::user(format!("user-{number}")).expect("a user");
        let model = EmbeddingModel::new(model(), DIMENSIONS as u32);
        let register = Change::new().with(WorkspaceOp::RegisterModel { model });
        store.apply(&scope, register).await.expect("a model");
        let mut user = Self { scope, number, vectors: Vec::with_capacity(chunks) };
        for file in 0..chunks.div_ceil(CHUNKS_PER_FILE) {
            user.write_file(store, file, CHUNKS_PER_FILE.min(chunks - user.vectors.len()), &mut next).await;
        }
        user
    }

    /// How long writing takes.
    async fn write_file(
        &mut self,
        store: &PostgresStore,
        file: usize,
        chunks: usize,
        next: &mut impl FnMut() -> Vec<f32>,
    ) -> Duration {
        let (mut bytes, mut own) = (Vec::new(), Vec::new());
        for chunk in 0..chunks {
            let start = bytes.len() as u64;
            let seed = self.number << 40 | (file * CHUNKS_PER_FILE + chunk) as u64;
            bytes.extend_from_slice(prose(seed, CHUNK_BYTES).as_bytes());
            let (id, vector) = (ChunkId::make(&SystemClock), next());
            own.push(NewChunk::new(id, start, bytes.len() as u64).embedding(vector.clone()));
            self.vectors.push((id, vector));
        }
        let start = Instant::now();
        write(store, &self.scope, file, bytes, own).await;
        start.elapsed()
    }

    /// How long this user's next files take to write.
    pub(crate) async fn write_files(&mut self, store: &PostgresStore, space: &Space, files: usize) -> Vec<Duration> {
        let mut random = Random::new(500 + self.number);
        let mut took = Vec::with_capacity(files);
        for _ in 0..files {
            let file = self.vectors.len() / CHUNKS_PER_FILE;
            took.push(self.write_file(store, file, CHUNKS_PER_FILE, &mut || space.vector(&mut random)).await);
        }
        took
    }

    pub(crate) async fn search(&self, store: &PostgresStore, space: &Space) -> Measured {
        let mut random = Random::new(9_000 + self.number);
        let (mut words, mut vectors, mut both) = (Vec::new(), Vec::new(), Vec::new());
        let (mut found, mut fewest) = (0, usize::MAX);
        let filter = SearchFilter::default();
        for query in 0..QUERIES + 20 {
            // Words as rare as the middle of a text: those that everybody uses are left out.
            let text: Vec<String> = (0..4).map(|_| word(80 + random.zipf(5_000))).collect();
            let text = TextQuery::new(&text.join(" "), &Limits::default());
            let vector = VectorQuery::new(model(), space.vector(&mut random));
            let start = Instant::now();
            store.search_text(&self.scope, &text, &filter, NEAREST as u32).await.expect("hits");
            let by_words = start.elapsed();
            let start = Instant::now();
            let hits = store.search_vectors(&self.scope, &vector, &filter, NEAREST as u32).await.expect("hits");
            let by_vectors = start.elapsed();
            let start = Instant::now();
            let (a, b) = futures::join!(
                store.search_text(&self.scope, &text, &filter, NEAREST as u32),
                store.search_vectors(&self.scope, &vector, &filter, NEAREST as u32)
            );
            let by_both = start.elapsed();
            a.and(b).expect("hits");
            // The first ones prepare their statements.
            if query >= 20 {
                words.push(by_words);
                vectors.push(by_vectors);
                both.push(by_both);
                let nearest = self.nearest(&vector.vector);
                found += hits.iter().filter(|hit| nearest.contains(&hit.chunk)).count();
                fewest = fewest.min(hits.len());
            }
        }
        let expected = NEAREST.min(self.vectors.len());
        Measured {
            words,
            vectors,
            both,
            recall: found as f64 / (QUERIES * expected) as f64,
            rows: format!("{fewest} of {expected}"),
        }
    }

    /// What [`search_vectors`](Self::search_vectors) asks for, those first that prepare its statements.
    pub(crate) fn queries(&self, space: &Space) -> Vec<Vec<f32>> {
        let mut random = Random::new(9_000 + self.number);
        (0..QUERIES + 20).map(|_| space.vector(&mut random)).collect()
    }

    /// How long searching near a vector takes, how many of the nearest it finds, and which chunks.
    pub(crate) async fn search_vectors(
        &self,
        store: &PostgresStore,
        space: &Space,
    ) -> (Vec<Duration>, f64, Vec<Vec<ChunkId>>) {
        let (mut took, mut found, mut chunks) = (Vec::new(), 0, Vec::new());
        for (query, vector) in self.queries(space).into_iter().enumerate() {
            let query_vector = VectorQuery::new(model(), vector);
            let start = Instant::now();
            let hits = store.search_vectors(&self.scope, &query_vector, &SearchFilter::default(), NEAREST as u32).await;
            let duration = start.elapsed();
            if query >= 20 {
                took.push(duration);
                let nearest = self.nearest(&query_vector.vector);
                let hits: Vec<ChunkId> = hits.expect("hits").into_iter().map(|hit| hit.chunk).collect();
                found += hits.iter().filter(|hit| nearest.contains(hit)).count();
                chunks.push(hits);
            }
        }
        (took, found as f64 / (QUERIES * NEAREST) as f64, chunks)
    }

    /// The nearest by comparing all.
    fn nearest(&self, query: &[f32]) -> Vec<ChunkId> {
        let dot = |vector: &[f32]| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let mut scored: Vec<(f32, ChunkId)> = self.vectors.iter().map(|(id, vector)| (dot(vector), *id)).collect();
        let last = NEAREST.min(scored.len()) - 1;
        scored.select_nth_unstable_by(last, |a, b| b.0.total_cmp(&a.0));
        scored[..=last].iter().map(|(_, id)| *id).collect()
    }
}

async fn write(store: &PostgresStore, scope: &Scope, file: usize, bytes: Vec<u8>, chunks: Vec<NewChunk>) {
    let (version, size) = (VersionId::make(&SystemClock), bytes.len() as u64);
    let content_hash = ContentHash::of(&bytes);
    let begin = NewVersion::new(version, WorkspacePath::parse(format!("files/{file}.txt")).expect("a path"))
        .embedding_model(model());
    let parts = vec![Part::new(0, bytes).chunks(chunks)];
    let change = [
        Operation::from(WorkspaceOp::BeginVersion { version: begin }),
        WorkspaceOp::PutParts { version, parts }.into(),
        WorkspaceOp::Publish { version, size, content_hash }.into(),
    ]
    .into_iter()
    .fold(Change::new(), Change::with);
    store.apply(scope, change).await.expect("a file");
}

fn model() -> EmbeddingModelId {
    EmbeddingModelId::parse("bench/384").expect("a name")
}

pub(crate) fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1_000.0;
    format!("{:.2} / {:.2} ms", at(50), at(95))
}

//! Whatever others write near a user's vectors, the user finds what they would find alone.

use super::fixtures::{apply, model};
use super::{Instance, StoreSubject, user};
use crate::change::{Change, WorkspaceOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome};
use crate::conformance::random::Random;
use crate::id::{ChunkId, EmbeddingModelId, VersionId};
use crate::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use crate::scope::Scope;
use crate::store::{SearchFilter, VectorQuery};

const DIMENSIONS: usize = 32;
/// More of a user's than any store compares one by one.
const OWN: usize = 4_500;
/// The vectors of one file.
const AT_ONCE: usize = 500;
/// What a user writes about.
const TOPICS: usize = 40;
/// How far from the middle of its topic a vector is, in each dimension at most.
const SPREAD: f32 = 1.2;
const NEAREST: usize = 10;

/// The vectors of a user, by chunk.
type Vectors = Vec<(ChunkId, Vec<f32>)>;

/// A user with files of vectors.
struct Library<'a> {
    t: &'a Instance,
    scope: Scope,
    model: EmbeddingModelId,
    files: Vec<(WorkspacePath, Vectors)>,
}

impl<'a> Library<'a> {
    async fn new(t: &'a Instance, name: &str) -> Result<Self, Failure> {
        let scope = user(name)?;
        let model = model(&*t.store, &scope, "m", DIMENSIONS as u32).await?;
        Ok(Self { t, scope, model, files: Vec::new() })
    }

    /// Writes further files.
    async fn write(&mut self, vectors: Vec<Vec<f32>>) -> Outcome {
        for vectors in vectors.chunks(AT_ONCE) {
            let path = WorkspacePath::parse(format!("{}", self.files.len()))?;
            let vectors: Vectors = vectors.iter().map(|vector| (ChunkId::make(&SystemClock), vector.clone())).collect();
            self.put(&path, &vectors).await?;
            self.files.push((path, vectors));
        }
        Ok(())
    }

    async fn put(&self, path: &WorkspacePath, vectors: &[(ChunkId, Vec<f32>)]) -> Outcome {
        let (id, bytes) = (VersionId::make(&SystemClock), "x ".repeat(vectors.len()).into_bytes());
        let (size, content_hash) = (bytes.len() as u64, ContentHash::of(&bytes));
        let chunks = (0..).step_by(2).zip(vectors).map(|(start, (id, vector))| NewChunk {
            id: *id,
            start,
            end: start + 2,
            embedding: Some(vector.clone()),
        });
        let parts = vec![Part { offset: 0, chunks: chunks.collect(), bytes }];
        let (path, metadata, embedding_model) = (path.clone(), serde_json::Value::Null, Some(self.model.clone()));
        let change = Change::new()
            .with(WorkspaceOp::BeginVersion { version: NewVersion { id, path, metadata, embedding_model } })
            .with(WorkspaceOp::PutParts { version: id, parts })
            .with(WorkspaceOp::Publish { version: id, size, content_hash });
        self.t.store.apply(&self.scope, change).await?;
        Ok(())
    }

    /// Deletes every file and writes the same vectors once more.
    async fn rewrite(&mut self) -> Outcome {
        for (path, vectors) in &mut self.files {
            apply(&*self.t.store, &self.scope, WorkspaceOp::DeleteEntry { path: path.clone() }).await?;
            vectors.iter_mut().for_each(|(id, _)| *id = ChunkId::make(&SystemClock));
        }
        for (path, vectors) in &self.files {
            self.put(path, vectors).await?;
        }
        Ok(())
    }

    /// Which part of the nearest the user finds near these vectors.
    async fn recall(&self, queries: &[Vec<f32>]) -> Result<f64, Failure> {
        let mut found = 0;
        for query in queries {
            let asked = VectorQuery { model: self.model.clone(), vector: query.clone() };
            let filter = SearchFilter::default();
            let hits = self.t.store.workspace().search_vectors(&self.scope, &asked, &filter, NEAREST as u32).await?;
            let mut nearest: Vec<(f64, ChunkId)> =
                self.files.iter().flat_map(|(_, vectors)| vectors).map(|(id, v)| (cosine(v, query), *id)).collect();
            nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
            let nearest: Vec<ChunkId> = nearest.into_iter().take(NEAREST).map(|(_, id)| id).collect();
            found += hits.iter().filter(|hit| nearest.contains(&hit.chunk)).count();
        }
        Ok(found as f64 / (queries.len() * NEAREST) as f64)
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// So many vectors about `centre`.
fn about(random: &mut Random, centre: &[f32], distance: f32, count: usize) -> Vec<Vec<f32>> {
    let mut one = || random.vector(centre.len()).iter().zip(centre).map(|(x, c)| c + distance * x).collect();
    (0..count).map(|_| one()).collect()
}

pub(super) async fn recall_depends_on_nobody_else(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let mut random = Random::new(5);
    let topics: Vec<Vec<f32>> = (0..TOPICS).map(|_| random.vector(DIMENSIONS)).collect();
    let mut queries = Vec::new();
    for topic in &topics {
        queries.extend(about(&mut random, topic, SPREAD, 2));
    }
    let (mut ada, mut bob, mut eve) =
        (Library::new(&t, "ada").await?, Library::new(&t, "bob").await?, Library::new(&t, "eve").await?);
    // Before the user, at the middle of each topic: nearer to whatever the user writes and asks than most of their own, and
    // near to each other, so that in a graph they are everybody's neighbours and have room for nobody.
    let mut crowd = Vec::new();
    for topic in &topics {
        crowd.extend(about(&mut random, topic, 0.02, 100));
    }
    bob.write(crowd).await?;
    let mut own = Vec::new();
    for topic in &topics {
        own.extend(about(&mut random, topic, SPREAD, OWN / TOPICS));
    }
    own.extend((own.len()..OWN + 1).map(|_| random.vector(DIMENSIONS)));
    ada.write(own.clone()).await?;
    subject.harness.index(&t.place).await?;
    let mut recalls = vec![("after a crowd", ada.recall(&queries).await?)];
    // After the user: around the queries, the very queries again and again, and around the user's own.
    let mut crowd = Vec::new();
    for query in &queries {
        crowd.extend(about(&mut random, query, 0.05, 5));
        crowd.extend(vec![query.clone(); 5]);
    }
    for near in own.iter().step_by(5) {
        crowd.extend(about(&mut random, near, 0.01, 1));
    }
    eve.write(crowd).await?;
    recalls.push(("before another", ada.recall(&queries).await?));
    bob.rewrite().await?;
    recalls.push(("beside what was deleted and written once more", ada.recall(&queries).await?));
    ada.rewrite().await?;
    subject.harness.index(&t.place).await?;
    recalls.push(("written once more among all of them", ada.recall(&queries).await?));
    for (when, recall) in &recalls {
        assert!(*recall >= 0.99, "{when}, a user finds {recall} of the nearest: {recalls:?}");
    }
    Ok(())
}

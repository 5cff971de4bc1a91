#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::change::{Change, PrivacyOp, WorkspaceOp};
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::{ChunkId, EmbeddingModelId, HoldId, OperatorName, VersionId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::model::workspace::{ChunkHit, ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::search::{Bm25, TextQuery};
use ironclaw_core::store::{Apply, SearchFilter, Store, StoreErrorKind, VectorQuery, Workspace};
use ironclaw_core::{Clock, Limits, Maintenance, ManualClock, Scope, SystemClock, Timestamp};

use crate::libsql::LibsqlStore;
use crate::libsql::row::params;

/// A store in a file, whose clock stands still.
struct Fixture {
    store: LibsqlStore,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = LibsqlStore::builder().clock(clock.clone()).open(folder.path().join("store")).await.unwrap();
        Self { store, clock, folder }
    }

    /// Another store of the same file, with connections and caches of its own, as another process would have.
    async fn another(&self) -> LibsqlStore {
        LibsqlStore::builder().clock(self.clock.clone()).open(self.folder.path().join("store")).await.unwrap()
    }

    fn operator(&self) -> impl Maintenance {
        self.store.maintenance(OperatorName::parse("ops").unwrap())
    }

    /// Waits until the writer has nothing left to sweep: it sweeps before it takes what comes after.
    async fn swept(&self) {
        self.operator().scrub().await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.store.read_any("test", move |db| db.number(sql, params![])).await.unwrap()
    }
}

/// A file of one part for each list of texts; each text is a chunk.
struct File<'a> {
    path: &'a str,
    parts: &'a [&'a [&'a str]],
    model: Option<&'a EmbeddingModel>,
    vectors: &'a [[f32; 3]],
}

impl<'a> File<'a> {
    fn new(path: &'a str, parts: &'a [&'a [&'a str]]) -> Self {
        Self { path, parts, model: None, vectors: &[] }
    }

    fn embedded(self, model: &'a EmbeddingModel, vectors: &'a [[f32; 3]]) -> Self {
        Self { model: Some(model), vectors, ..self }
    }

    /// The operations that begin and fill a version, the one that publishes it, and the chunks' ids.
    fn operations(&self) -> (Vec<WorkspaceOp>, WorkspaceOp, Vec<ChunkId>) {
        let id = VersionId::make(&SystemClock);
        let mut vectors = self.vectors.iter();
        let (mut content, mut parts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for texts in self.parts {
            let offset = content.len() as u64;
            let mut chunks = Vec::new();
            for text in *texts {
                let start = content.len() as u64;
                content.extend_from_slice(text.as_bytes());
                let embedding = self.model.map(|_| vectors.next().unwrap().to_vec());
                chunks.push(NewChunk { id: ChunkId::make(&SystemClock), start, end: content.len() as u64, embedding });
                content.push(b' ');
            }
            ids.extend(chunks.iter().map(|chunk| chunk.id));
            parts.push(Part { offset, bytes: content[usize::try_from(offset).unwrap()..].to_vec(), chunks });
        }
        let version = NewVersion {
            id,
            path: WorkspacePath::parse(self.path).unwrap(),
            metadata: serde_json::Value::Null,
            embedding_model: self.model.map(|model| model.id.clone()),
        };
        let publish =
            WorkspaceOp::Publish { version: id, size: content.len() as u64, content_hash: ContentHash::of(&content) };
        (vec![WorkspaceOp::BeginVersion { version }, WorkspaceOp::PutParts { version: id, parts }], publish, ids)
    }

    async fn write(&self, store: &LibsqlStore, scope: &Scope) -> Vec<ChunkId> {
        let (operations, publish, ids) = self.operations();
        let change = operations.into_iter().fold(Change::new(), Change::with).with(publish);
        store.apply(scope, change).await.unwrap();
        ids
    }
}

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

async fn model(store: &LibsqlStore, scope: &Scope, name: &str) -> EmbeddingModel {
    let model = EmbeddingModel { id: EmbeddingModelId::parse(name).unwrap(), dimensions: 3, lexical: false };
    store.apply(scope, Change::new().with(WorkspaceOp::RegisterModel { model: model.clone() })).await.unwrap();
    model
}

async fn find(store: &LibsqlStore, scope: &Scope, words: &str) -> Vec<ChunkHit> {
    let query = TextQuery::new(words, &Limits::default());
    store.search_text(scope, &query, &SearchFilter::default(), 10).await.unwrap()
}

async fn nearest(store: &LibsqlStore, scope: &Scope, model: &EmbeddingModel, vector: [f32; 3]) -> Vec<ChunkId> {
    let query = VectorQuery { model: model.id.clone(), vector: vector.to_vec() };
    let hits = store.search_vectors(scope, &query, &SearchFilter::default(), 10).await.unwrap();
    hits.into_iter().map(|hit| hit.chunk).collect()
}

async fn delete(store: &LibsqlStore, scope: &Scope, path: &str) {
    let path = WorkspacePath::parse(path).unwrap();
    store.apply(scope, Change::new().with(WorkspaceOp::DeleteEntry { path })).await.unwrap();
}

#[tokio::test]
async fn scores_are_bm25_of_the_users_own_chunks_across_parts() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let ids =
        File::new("a", &[&["harbour light", "ferry"], &["harbour harbour bell tower"]]).write(&f.store, &ada).await;
    File::new("b", &[&["meadow"]]).write(&f.store, &ada).await;
    for n in 0..5 {
        File::new(&format!("x{n}"), &[&["harbour"]]).write(&f.store, &bob).await;
    }
    let bm25 = Bm25::new(4, 2 + 1 + 4 + 1);
    let (harbour, bell) = (bm25.term(2), bm25.term(1));
    let expected = [(ids[2], harbour.score(2, 4) + bell.score(1, 4)), (ids[0], harbour.score(1, 2))];
    let found = find(&f.store, &ada, "harbour bell").await;
    assert_eq!(found.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), expected.map(|(id, _)| id));
    for (hit, (_, score)) in found.iter().zip(expected) {
        assert!((hit.score - score).abs() < 1e-12, "{} {score}", hit.score);
    }
    assert_eq!(f.operator().check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_filter_changes_no_score_and_respects_folders() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for path in ["n", "n/a", "n-b", "n/a/c", "na"] {
        File::new(path, &[&["harbour"]]).write(&f.store, &ada).await;
    }
    let everywhere = find(&f.store, &ada, "harbour").await;
    assert_eq!(everywhere.len(), 5);
    let query = TextQuery::new("harbour", &Limits::default());
    for (prefix, expected) in [("n", 3), ("n/a", 2), ("n-b", 1), ("zz", 0)] {
        let filter = SearchFilter { prefix: Some(WorkspacePath::parse(prefix).unwrap()) };
        let found = f.store.search_text(&ada, &query, &filter, 10).await.unwrap();
        assert_eq!(found.len(), expected, "{prefix}");
        assert!(found.iter().all(|hit| everywhere.contains(hit)));
    }
}

#[tokio::test]
async fn replaced_and_deleted_text_is_gone_before_and_after_the_sweep() {
    let f = Fixture::new().await;
    let ada = user("ada");
    File::new("a", &[&["harbour light"], &["ferry"]]).write(&f.store, &ada).await;
    let kept = File::new("b", &[&["harbour"]]).write(&f.store, &ada).await;
    let new = File::new("a", &[&["meadow"]]).write(&f.store, &ada).await;
    let alone = Bm25::new(2, 2).term(1).score(1, 1);
    for _ in 0..2 {
        let found = find(&f.store, &ada, "harbour").await;
        assert_eq!(found, [ChunkHit { chunk: kept[0], score: alone }]);
        assert_eq!(find(&f.store, &ada, "ferry light").await, []);
        assert_eq!(find(&f.store, &ada, "meadow").await[0].chunk, new[0]);
        assert_eq!(f.operator().check_integrity().await.unwrap(), Vec::<String>::new());
        f.swept().await;
    }
    delete(&f.store, &ada, "a").await;
    delete(&f.store, &ada, "b").await;
    assert_eq!(find(&f.store, &ada, "harbour meadow").await, []);
    f.swept().await;
    for table in [
        "SELECT count(*) FROM chunk_terms",
        "SELECT count(*) FROM memory_chunks",
        "SELECT count(*) FROM entry_parts",
        "SELECT count(*) FROM entry_versions",
        "SELECT count(*) FROM workspace_entries",
        "SELECT documents + total_length FROM workspace_statistics",
    ] {
        assert_eq!(f.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_version_nobody_finishes_is_swept_after_a_day() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let (operations, publish, _) = File::new("a", &[&["harbour"]]).operations();
    f.store.apply(&ada, operations.into_iter().fold(Change::new(), Change::with)).await.unwrap();
    f.clock.advance(Duration::from_secs(24 * 3_600));
    f.swept().await;
    assert_eq!(f.count("SELECT count(*) FROM entry_versions").await, 1);
    f.clock.advance(Duration::from_secs(1));
    f.swept().await;
    assert_eq!(f.count("SELECT count(*) FROM entry_versions").await, 0);
    assert_eq!(f.count("SELECT count(*) FROM chunk_terms").await, 0);
    let late = f.store.apply(&ada, Change::new().with(publish)).await.unwrap_err();
    assert_eq!(late.kind(), &StoreErrorKind::NotFound);
}

#[tokio::test]
async fn what_a_hold_protects_is_not_swept() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let hold = Hold {
        id: HoldId::make(&SystemClock),
        tenant: ada.tenant().clone(),
        owner: ada.owner().clone(),
        reason: "case".into(),
        created_at: f.clock.now(),
        released_at: None,
    };
    let id = hold.id;
    File::new("a", &[&["harbour"]]).write(&f.store, &ada).await;
    f.operator().apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
    // Given up, which nobody has ever seen: it is hidden, and its bytes stay.
    let (operations, publish, _) = File::new("a", &[&["meadow"]]).operations();
    let WorkspaceOp::Publish { version, .. } = publish else { unreachable!() };
    let begun = operations.into_iter().fold(Change::new(), Change::with);
    f.store.apply(&ada, begun.with(WorkspaceOp::Abandon { version })).await.unwrap();
    f.swept().await;
    assert_eq!(f.count("SELECT count(*) FROM entry_versions").await, 2);
    assert_eq!(f.count("SELECT count(*) FROM entry_parts").await, 2);
    let path = WorkspacePath::parse("a").unwrap();
    let (operations, publish, _) = File::new("a", &[&["valley"]]).operations();
    let over = operations.into_iter().fold(Change::new(), Change::with).with(publish);
    for change in [Change::new().with(WorkspaceOp::DeleteEntry { path }), over] {
        let refused = f.store.apply(&ada, change).await.unwrap_err();
        assert_eq!(refused.kind(), &StoreErrorKind::LegalHold);
    }
    assert_eq!(find(&f.store, &ada, "harbour").await.len(), 1);
    f.operator().apply_system(SystemChange::ReleaseHold { id }).await.unwrap();
    f.swept().await;
    assert_eq!(f.count("SELECT count(*) FROM entry_versions").await, 1);
}

#[tokio::test]
async fn cached_vectors_follow_every_change() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    let (m, other) = (model(&f.store, &ada, "m").await, model(&f.store, &ada, "other").await);
    model(&f.store, &bob, "m").await;
    let x = [1.0, 0.0, 0.0];
    assert_eq!(nearest(&f.store, &ada, &m, x).await, []);
    let a = File::new("a", &[&["one", "two"]]).embedded(&m, &[x, [0.5, 0.5, 0.0]]).write(&f.store, &ada).await;
    assert_eq!(nearest(&f.store, &ada, &m, x).await, a);
    let b = File::new("b", &[&["three"]]).embedded(&m, &[[0.9, 0.1, 0.0]]).write(&f.store, &ada).await;
    File::new("c", &[&["four"]]).embedded(&other, &[x]).write(&f.store, &ada).await;
    File::new("a", &[&["five"]]).embedded(&m, &[x]).write(&f.store, &bob).await;
    assert_eq!(nearest(&f.store, &ada, &m, x).await, [a[0], b[0], a[1]]);
    // Replaced and swept between two searches, so that its number of version is not known any more.
    let new = File::new("a", &[&["six", "seven"]]).embedded(&m, &[[0.0, 1.0, 0.0], x]).write(&f.store, &ada).await;
    f.swept().await;
    assert_eq!(nearest(&f.store, &ada, &m, x).await, [new[1], b[0], new[0]]);
    delete(&f.store, &ada, "b").await;
    assert_eq!(nearest(&f.store, &ada, &m, x).await, [new[1], new[0]]);
    assert_eq!(nearest(&f.store, &ada, &other, x).await.len(), 1);
    f.store.apply(&ada, Change::new().with(PrivacyOp::Forget)).await.unwrap();
    assert_eq!(nearest(&f.store, &ada, &m, x).await, []);
    assert_eq!(nearest(&f.store, &bob, &m, x).await.len(), 1);
    assert_eq!(f.operator().check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_version_published_late_is_found_with_its_earlier_chunks() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let m = model(&f.store, &ada, "m").await;
    let file = File::new("slow", &[&["one"]]).embedded(&m, &[[1.0, 0.0, 0.0]]);
    let (operations, publish, slow) = file.operations();
    f.store.apply(&ada, operations.into_iter().fold(Change::new(), Change::with)).await.unwrap();
    let fast = File::new("fast", &[&["two"]]).embedded(&m, &[[0.9, 0.1, 0.0]]).write(&f.store, &ada).await;
    assert_eq!(nearest(&f.store, &ada, &m, [1.0, 0.0, 0.0]).await, fast);
    f.store.apply(&ada, Change::new().with(publish)).await.unwrap();
    assert_eq!(nearest(&f.store, &ada, &m, [1.0, 0.0, 0.0]).await, [slow[0], fast[0]]);
}

#[tokio::test]
async fn another_process_sees_each_change() {
    let f = Fixture::new().await;
    let there = f.another().await;
    let ada = user("ada");
    let m = model(&f.store, &ada, "m").await;
    let x = [1.0, 0.0, 0.0];
    for round in 0..4 {
        let (writer, reader) = if round % 2 == 0 { (&f.store, &there) } else { (&there, &f.store) };
        let ids = File::new("a", &[&["harbour"]]).embedded(&m, &[x]).write(writer, &ada).await;
        assert_eq!(nearest(reader, &ada, &m, x).await, ids);
        assert_eq!(nearest(writer, &ada, &m, x).await, ids);
        assert_eq!(find(reader, &ada, "harbour").await[0].chunk, ids[0]);
    }
    f.store.apply(&ada, Change::new().with(PrivacyOp::Forget)).await.unwrap();
    assert_eq!(nearest(&there, &ada, &m, x).await, []);
    // The same model with other dimensions, as far as the other process knows.
    let wider = EmbeddingModel { dimensions: 4, ..m.clone() };
    f.store.apply(&ada, Change::new().with(WorkspaceOp::RegisterModel { model: wider })).await.unwrap();
    let query = VectorQuery { model: m.id.clone(), vector: vec![1.0; 4] };
    assert_eq!(there.search_vectors(&ada, &query, &SearchFilter::default(), 10).await.unwrap(), []);
    there.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_cached_beyond_the_limit() {
    let store = LibsqlStore::builder().vector_cache_bytes(0).in_memory().await.unwrap();
    let ada = user("ada");
    let m = model(&store, &ada, "m").await;
    let ids = File::new("a", &[&["one"]]).embedded(&m, &[[1.0, 0.0, 0.0]]).write(&store, &ada).await;
    for _ in 0..2 {
        assert_eq!(nearest(&store, &ada, &m, [1.0, 0.0, 0.0]).await, ids);
    }
}

#[tokio::test]
async fn hostile_texts_are_only_texts() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let text = "Robert'); DROP TABLE users;-- \u{200f}مرحبا 東京 a\u{0}b 100% _under_ 🦀";
    let path = "x' OR '1'='1/%_\u{202e}ab";
    let ids = File::new(path, &[&[text]]).write(&f.store, &ada).await;
    for word in ["robert", "drop", "مرحبا", "東京", "under"] {
        assert_eq!(find(&f.store, &ada, word).await.len(), 1, "{word}");
    }
    assert_eq!(find(&f.store, &ada, "\" * NEAR( OR").await, []);
    let found = f.store.chunks(&ada, &ids).await.unwrap();
    assert_eq!((found[0].text.as_str(), found[0].path.as_str()), (text, path));
    assert_eq!(f.operator().check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn the_check_finds_what_does_not_agree() {
    for (damage, expected) in [
        ("DELETE FROM chunk_terms WHERE term = 'ferri'", "postings"),
        ("UPDATE chunk_terms SET postings = x'ff' WHERE term = 'ferri'", "makes no sense"),
        ("UPDATE entry_parts SET bytes = CAST('harbour fErry ' AS BLOB)", "hash"),
        ("DELETE FROM memory_chunks WHERE chunk_no = 1", "other chunks"),
        ("DELETE FROM entry_parts", "outside of its part"),
        ("DELETE FROM entry_versions", "current version is not there"),
        ("DELETE FROM workspace_entries", "file that is not there"),
        ("UPDATE workspace_statistics SET documents = 7", "statistics"),
    ] {
        let f = Fixture::new().await;
        File::new("a", &[&["harbour", "ferry"]]).write(&f.store, &user("ada")).await;
        let maintenance = f.operator();
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
        f.store.engine().write("test", move |db| db.execute(damage, params![])).await.unwrap();
        let found = maintenance.check_integrity().await.unwrap();
        assert!(found.iter().any(|what| what.contains(expected)), "{damage}: {found:?}");
    }
}

#[tokio::test]
async fn a_version_with_a_model_needs_a_vector_for_each_chunk() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let m = model(&f.store, &ada, "m").await;
    let file = File::new("a", &[&["one"]]).embedded(&m, &[[1.0, 0.0, 0.0]]);
    for wrong in [None, Some(vec![1.0, 0.0]), Some(vec![1.0; 4])] {
        let (mut operations, _, _) = file.operations();
        if let Some(WorkspaceOp::PutParts { parts, .. }) = operations.last_mut() {
            parts[0].chunks[0].embedding = wrong;
        }
        let change = operations.into_iter().fold(Change::new(), Change::with);
        let refused = f.store.apply(&ada, change).await.unwrap_err();
        assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(e) if e.field() == "embedding"), "{refused}");
    }
    let plain = File::new("a", &[&["one"]]);
    let (mut operations, _, _) = plain.operations();
    if let Some(WorkspaceOp::PutParts { parts, .. }) = operations.last_mut() {
        parts[0].chunks[0].embedding = Some(vec![1.0, 0.0, 0.0]);
    }
    let refused = f.store.apply(&ada, operations.into_iter().fold(Change::new(), Change::with)).await.unwrap_err();
    assert!(matches!(refused.kind(), StoreErrorKind::InvalidInput(_)), "{refused}");
    assert_eq!(f.count("SELECT count(*) FROM entry_versions").await, 0, "refused changes leave nothing behind");
}

//! Full-text search: a user's scores depend on nobody else, and are those of the embedded store.

use std::collections::HashMap;

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ChunkId, ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::workspace::ChunkHit;
use ironclaw_core::search::{TEXT_TOLERANCE, TextQuery, VECTOR_TOLERANCE};
use ironclaw_core::store::{SearchFilter, Store, Workspace};
use ironclaw_core::{Limits, Scope, SystemClock};
use ironclaw_store::{LibsqlStore, PostgresStore};

use crate::database::{Database, app_url};
use crate::library::{Chunk, File, Random, apply, model, near, path, register, user, write};

ironclaw_testing::tests![nobody_else_changes_a_score, both_stores_give_the_same_scores,];

const WORDS_OF_A_LANGUAGE: u64 = 300;
const DIMENSIONS: usize = 384;

/// A text of words, the first of which are the most frequent.
fn text(random: &mut Random, words: u64) -> String {
    let mut word = || {
        let unit = random.below(1 << 31) as f64 / (1u64 << 31) as f64;
        format!("w{}", (WORDS_OF_A_LANGUAGE as f64).powf(unit) as u64)
    };
    (0..words).map(|_| word() + " ").collect()
}

/// Files of one to five chunks, with vectors.
fn files(random: &mut Random, count: usize) -> Vec<File> {
    let file = |i| {
        let chunks = (0..1 + random.below(5)).map(|_| {
            let words = 1 + random.below(40);
            let (text, vector) = (text(random, words), Some(random.vector(DIMENSIONS)));
            Chunk { id: ChunkId::make(&SystemClock), text, vector }
        });
        let chunks = chunks.collect();
        File { path: path(&format!("{}/{i}", i % 3)), model: Some(model("test/384")), chunks }
    };
    (0..count).map(file).collect()
}

fn messages(random: &mut Random, count: usize) -> Vec<NewMessage> {
    let roles = [Role::User, Role::Assistant, Role::System, Role::Tool];
    let message = |i: usize| {
        let words = 1 + random.below(40);
        NewMessage::text(MessageId::make(&SystemClock), roles[i % 4], text(random, words))
    };
    (0..count).map(message).collect()
}

/// Writes files, some of them twice and some to be deleted, and messages.
async fn fill(store: &dyn Store, scope: &Scope, files: &[File], conversation: ConversationId, said: &[NewMessage]) {
    register(store, scope, "test/384", DIMENSIONS as u32).await;
    for (i, file) in files.iter().enumerate() {
        if i % 7 == 0 {
            write(store, scope, &File::of_texts(file.path.as_str(), ["w1 w2 w3 as it was before"])).await;
        }
        write(store, scope, file).await;
    }
    let gone = File::of_texts("gone", ["w1 w1 w1 w250 what is gone"]);
    write(store, scope, &gone).await;
    apply(store, scope, vec![ironclaw_core::change::WorkspaceOp::DeleteEntry { path: gone.path }.into()]).await;
    let (_, begun) = File::of_texts("begun", ["w1 w250 w251 what was begun"]).staged();
    apply(store, scope, begun).await;
    let mut operations = vec![ConversationOp::Create { id: conversation, title: String::new() }.into()];
    let appends = said.iter().map(|message| ConversationOp::AppendMessage { conversation, message: message.clone() });
    operations.extend(appends.map(Into::into));
    apply(store, scope, operations).await;
}

fn queries(random: &mut Random) -> Vec<TextQuery> {
    let texts = (1..=30).map(|words| text(random, 1 + words % 6));
    texts.map(|text| TextQuery::new(&text, &Limits::default())).collect()
}

/// Everything that some queries find.
#[derive(Debug, Default, PartialEq)]
struct Found {
    chunks: Vec<Vec<ChunkHit>>,
    messages: Vec<Vec<(MessageId, f64)>>,
}

async fn found(store: &dyn Store, scope: &Scope, queries: &[TextQuery]) -> Found {
    let mut found = Found::default();
    for query in queries {
        for prefix in [None, Some("1")] {
            let filter = SearchFilter { prefix: prefix.map(path) };
            found.chunks.push(store.workspace().search_text(scope, query, &filter, 20).await.unwrap());
        }
        let hits = store.conversations().search_messages(scope, query, 20).await.unwrap();
        found.messages.push(hits.into_iter().map(|hit| (hit.message.message.id, hit.score)).collect());
    }
    found
}

/// Both lists have the same scores in each place, and but for places whose scores are too near to tell, the same items.
fn assert_same<T: Copy + PartialEq + std::fmt::Debug>(a: &[(T, f64)], b: &[(T, f64)], near: impl Fn(f64, f64) -> bool) {
    assert_eq!(a.len(), b.len(), "{a:?} {b:?}");
    for (i, ((one, score), (other, its))) in a.iter().zip(b).enumerate() {
        assert!(near(*score, *its), "{score} and {its}");
        let is_tied = |j: Option<usize>| j.and_then(|j| a.get(j)).is_some_and(|(_, next)| near(*score, *next));
        let is_last = i + 1 == a.len();
        assert!(one == other || is_last || is_tied(i.checked_sub(1)) || is_tied(Some(i + 1)), "{a:?} {b:?}");
    }
}

fn scored(hits: &[ChunkHit]) -> Vec<(ChunkId, f64)> {
    hits.iter().map(|hit| (hit.chunk, hit.score)).collect()
}

async fn nobody_else_changes_a_score() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let mut random = Random(23);
    let (ada, conversation) = (user("ada"), ConversationId::make(&SystemClock));
    fill(&store, &ada, &files(&mut random, 40), conversation, &messages(&mut random, 60)).await;
    let queries = queries(&mut random);
    let before = found(&store, &ada, &queries).await;
    assert!(before.chunks.iter().chain(&before.chunks).filter(|hits| hits.is_empty()).count() < 20);
    assert!(before.messages.iter().any(|hits| hits.len() == 20));
    for name in ["bob", "ada2"] {
        let conversation = ConversationId::make(&SystemClock);
        fill(&store, &user(name), &files(&mut random, 60), conversation, &messages(&mut random, 100)).await;
    }
    let tenant = Scope::tenant_user("elsewhere", "ada").unwrap();
    let conversation = ConversationId::make(&SystemClock);
    fill(&store, &tenant, &files(&mut random, 40), conversation, &messages(&mut random, 60)).await;
    assert_eq!(found(&store, &ada, &queries).await, before, "to the last bit");
}

async fn both_stores_give_the_same_scores() {
    let database = Database::fresh().await;
    let postgres = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let libsql = LibsqlStore::in_memory().await.unwrap();
    let mut random = Random(29);
    let (ada, conversation) = (user("ada"), ConversationId::make(&SystemClock));
    let (files, said) = (files(&mut random, 60), messages(&mut random, 100));
    let stores: [&dyn Store; 2] = [&postgres, &libsql];
    for store in stores {
        fill(store, &ada, &files, conversation, &said).await;
    }
    let queries = queries(&mut random);
    let (a, b) = (found(&postgres, &ada, &queries).await, found(&libsql, &ada, &queries).await);
    let near_words = |a: f64, b: f64| (a - b).abs() <= TEXT_TOLERANCE * a.abs().max(b.abs());
    assert!(a.chunks.iter().any(|hits| hits.len() == 20) && a.messages.iter().any(|hits| hits.len() == 20));
    a.chunks.iter().zip(&b.chunks).for_each(|(a, b)| assert_same(&scored(a), &scored(b), near_words));
    a.messages.iter().zip(&b.messages).for_each(|(a, b)| assert_same(a, b, near_words));

    for length in [1.0_f32, 1e-30, 1e30] {
        let query: Vec<f32> = random.vector(DIMENSIONS).iter().map(|number| number * length).collect();
        for prefix in [None, Some("2")] {
            let filter = SearchFilter { prefix: prefix.map(path) };
            let a = postgres.search_vectors(&ada, &near("test/384", &query), &filter, 30).await.unwrap();
            let b = libsql.search_vectors(&ada, &near("test/384", &query), &filter, 30).await.unwrap();
            assert_eq!(a.len(), 30);
            assert_same(&scored(&a), &scored(&b), |a, b| (a - b).abs() <= VECTOR_TOLERANCE);
        }
    }
    let everyone: HashMap<ChunkId, &Chunk> = files.iter().flat_map(|file| &file.chunks).map(|c| (c.id, c)).collect();
    assert!(a.chunks.iter().flatten().all(|hit| everyone.contains_key(&hit.chunk)), "what is hidden was found");
}

//! What takes long to go through does not keep the executor's thread from other tasks.

use std::sync::mpsc;

use ironclaw_core::change::{ConversationOp, Operation};
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, Workspace};
use ironclaw_core::{AgentStore, Limits, Scope, SystemClock};
use ironclaw_store::PostgresStore;
use sqlx::PgConnection;

use crate::database::{Database, app_url};
use crate::library::{File, apply, user, write};
use crate::workload::until;

ironclaw_testing::tests![large_lists_are_scored_on_another_thread];

/// Of each text, and of the query.
const WORDS: usize = 32;

/// Enough that the postings of the words are no small list.
const TEXTS: usize = 1_000;

fn words() -> String {
    (0..WORDS).map(|number| format!("word{number} ")).collect()
}

/// On a runtime of one thread, while the only thread for blocking work does something else: a search that was done on the
/// runtime's own thread would end, and one that waits leaves it to others.
fn large_lists_are_scored_on_another_thread() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let database = Database::fresh().await;
        let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
        let (ada, mut watcher) = (user("ada"), database.superuser().await);
        seed(&store, &ada).await;
        let query = TextQuery::new(&words(), &Limits::default());

        let (text_store, scope, text_query) = (store.clone(), ada.clone(), query.clone());
        let search = async move {
            text_store.search_text(&scope, &text_query, &SearchFilter::default(), 10).await.unwrap().len()
        };
        waits_for_its_thread(&mut watcher, "chunk_terms", search).await;
        let search = async move { store.conversations().search_messages(&ada, &query, 10).await.unwrap().len() };
        waits_for_its_thread(&mut watcher, "message_terms", search).await;
    });
}

async fn seed(store: &PostgresStore, ada: &Scope) {
    let words = words();
    write(store, ada, &File::of_texts("all", (0..TEXTS).map(|_| words.as_str()))).await;
    let id = ConversationId::make(&SystemClock);
    let mut operations: Vec<Operation> = vec![ConversationOp::Create { id, title: String::new() }.into()];
    operations.extend((0..TEXTS).map(|_| {
        let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, words.as_str());
        Operation::from(ConversationOp::AppendMessage { conversation: id, message })
    }));
    apply(store, ada, operations).await;
}

async fn waits_for_its_thread(
    watcher: &mut PgConnection,
    table: &str,
    search: impl Future<Output = usize> + Send + 'static,
) {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    // Dropping it ends the work on the other thread.
    let (release, released) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || {
        let _ = begun.send(());
        let _ = released.recv();
    });
    has_begun.await.unwrap();
    let mut search = tokio::spawn(search);
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ironclaw' \
         AND state = 'idle in transaction' AND query LIKE '%{table}%'"
    );
    until("the server has given the postings", async || {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_one(&mut *watcher).await.unwrap();
        found > 0 || search.is_finished()
    })
    .await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!search.is_finished(), "it was done on the runtime's thread");
    drop(release);
    assert_eq!((&mut search).await.unwrap(), 10);
}

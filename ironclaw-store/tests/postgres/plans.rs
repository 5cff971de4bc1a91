//! What the server keeps prepared for a connection may become of no use, which no call fails for.

use ironclaw_core::change::SettingOp;
use ironclaw_core::id::ConversationId;
use ironclaw_core::store::{AgentStore, Apply};
use ironclaw_core::{Change, Scope, StoreExt, SystemClock};
use ironclaw_store::PostgresStore;
use tokio::task::JoinSet;

use crate::database::{Database, app_url};
use crate::raw::must;

ironclaw_testing::tests![
    a_statement_planned_for_another_table_is_planned_anew,
    a_statement_that_the_server_forgot_is_prepared_anew,
];

fn user(number: usize) -> Scope {
    Scope::user(format!("user {number}")).unwrap()
}

/// How many connections the store has, each with statements of its own.
const CONNECTIONS: usize = 4;

async fn a_statement_planned_for_another_table_is_planned_anew() {
    let database = Database::fresh().await;
    let store = PostgresStore::builder().max_connections(CONNECTIONS as u32);
    let store = store.connect(&app_url(database.name())).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    for number in 0..CONNECTIONS {
        store.create_conversation(&user(number), id, "title").await.unwrap_or_else(|error| panic!("{error:?}"));
    }
    let mut superuser = database.superuser().await;
    for kind in ["varchar", "text"] {
        read_all(&store, id).await;
        must(&mut superuser, &format!("ALTER TABLE ironclaw.conversations ALTER COLUMN title TYPE {kind}")).await;
        read_all(&store, id).await;
    }
}

/// Reads by all connections at once.
async fn read_all(store: &PostgresStore, id: ConversationId) {
    for _ in 0..3 {
        let mut reading = JoinSet::new();
        for number in 0..CONNECTIONS {
            let store = store.clone();
            reading.spawn(async move { store.conversations().conversation(&user(number), id).await });
        }
        for read in reading.join_all().await {
            assert_eq!(read.unwrap().map(|conversation| conversation.title).as_deref(), Some("title"));
        }
    }
}

async fn a_statement_that_the_server_forgot_is_prepared_anew() {
    let database = Database::fresh().await;
    let store = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    let put = |value: i32| Change::new().with(SettingOp::Put { key: "theme".parse().unwrap(), value: value.into() });
    for value in 0..3 {
        store.apply(&user(0), put(value)).await.unwrap();
    }
    // Once, in the middle of a transaction.
    must(
        &mut database.superuser().await,
        "CREATE SEQUENCE public.forgotten; GRANT USAGE ON SEQUENCE public.forgotten TO PUBLIC; \
         CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('public.forgotten') = 1 THEN EXECUTE 'DEALLOCATE ALL'; END IF; RETURN NULL; END $$; \
         CREATE TRIGGER forget AFTER INSERT OR UPDATE ON ironclaw.settings FOR EACH ROW EXECUTE FUNCTION public.forget()",
    )
    .await;
    for value in 3..6 {
        let receipt = store.apply(&user(0), put(value)).await.unwrap();
        assert_eq!(receipt.numbers, [value as u64 + 1], "it is done once");
    }
    let mut superuser = database.superuser().await;
    let called: i64 =
        sqlx::query_scalar("SELECT last_value FROM public.forgotten").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(called, 4, "one change was tried twice");
}

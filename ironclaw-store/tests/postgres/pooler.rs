//! Through a pooler that gives each transaction another connection.

use std::collections::BTreeSet;

use ironclaw_core::change::{ConversationOp, SettingOp};
use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{AgentStore, Apply, Store, StoreErrorKind, VaultStore};
use ironclaw_core::{Change, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};
use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinSet;

use crate::database::{Database, app_url, pooled_app_url, pooled_operator_url, pooler};
use crate::network::{assert_invalid, assert_refused, refusal, refusal_by};
use crate::raw::must;
use crate::workload::{bounded, until};

ironclaw_testing::tests![
    many_users_share_few_connections_and_nothing_else,
    no_transaction_stays_open,
    who_waits_for_rows_leaves_the_pooler_to_others,
    waiting_for_a_connection_of_the_poolers_has_an_end,
    a_place_among_those_who_wait_for_the_pooler_is_kept,
    a_pooler_that_was_not_reckoned_with_is_refused,
    a_pooler_in_session_mode_is_as_good_as_none,
    a_role_with_one_connection_can_do_with_it,
    a_migration_goes_to_the_server_itself,
];

/// The server's connections.
const SIZE: u32 = 3;

const USERS: usize = 8;

/// What each user says.
const MESSAGES: usize = 8;

/// What a session keeps that is not as it began: all but what a pooler brings along from its client.
const KEPT: &str = "SELECT name::text, setting FROM pg_settings WHERE source = 'session' AND name NOT IN \
     ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'IntervalStyle', 'standard_conforming_strings')";

/// The scope of a session, as the store's functions set it.
const SCOPE: &str = "SELECT concat(current_setting('ironclaw.owner_no', true), current_setting('ironclaw.tenant', true), \
     current_setting('ironclaw.owner', true), current_setting('ironclaw.chain', true), \
     current_setting('ironclaw.maintenance', true))";

fn user(number: usize) -> Scope {
    Scope::user(format!("user {number}")).unwrap()
}

fn says(number: usize, message: usize) -> String {
    format!("{message} of {number}")
}

fn create(id: ConversationId) -> Change {
    Change::new().with(ConversationOp::Create { id, title: "pooled".into() })
}

fn say(conversation: ConversationId, number: usize, message: usize) -> Change {
    let said = NewMessage::text(MessageId::make(&SystemClock), Role::User, says(number, message));
    Change::new()
        .with(ConversationOp::AppendMessage { conversation, message: said })
        .with(SettingOp::Put { key: "last".parse().unwrap(), value: message.into() })
}

/// Writes what a user says, and reads after each message what is there now. The conversation.
async fn talk(store: PostgresStore, number: usize) -> ConversationId {
    let (scope, id) = (user(number), ConversationId::make(&SystemClock));
    store.apply(&scope, create(id)).await.unwrap();
    for message in 0..MESSAGES {
        store.apply(&scope, say(id, number, message)).await.unwrap();
        assert_said(&store, number, id, message + 1).await;
        let last = store.settings().setting(&scope, &"last".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(last.value, serde_json::Value::from(message));
    }
    id
}

/// A user finds what they said, and nothing else.
async fn assert_said(store: &PostgresStore, number: usize, id: ConversationId, messages: usize) {
    let said = store.conversations().messages(&user(number), id, &PageRequest::default()).await.unwrap().items;
    let said: Vec<_> = said.into_iter().map(|message| message.message.content).collect();
    assert_eq!(said, (0..messages).map(|message| says(number, message)).collect::<Vec<_>>());
}

/// The processes of the server's that the application is connected to, and whether one is in a transaction.
async fn backends(superuser: &mut PgConnection, database: &Database) -> Vec<(i32, bool)> {
    sqlx::query_as(
        "SELECT pid, xact_start IS NOT NULL FROM pg_stat_activity WHERE datname = $1 AND usename = 'ironclaw_test_app'",
    )
    .bind(database.name())
    .fetch_all(superuser)
    .await
    .unwrap()
}

async fn many_users_share_few_connections_and_nothing_else() {
    let database = Database::fresh().await;
    let pooler = pooler(SIZE, &[("server_idle_timeout", "600")], None);
    let url = pooled_app_url(&pooler, database.name());
    let store = PostgresStore::builder().transaction_pooling().max_connections(16).connect(&url).await.unwrap();
    let mut talking = JoinSet::new();
    for number in 0..USERS {
        let store = store.clone();
        talking.spawn(async move { (number, talk(store, number).await) });
    }
    // Beside them, calls whose callers go away.
    for message in 0..40 {
        let (store, scope, id) = (store.clone(), user(USERS), ConversationId::make(&SystemClock));
        let call = tokio::spawn(async move { store.apply(&scope, create(id)).await });
        tokio::time::sleep(std::time::Duration::from_millis(message % 4)).await;
        call.abort();
    }
    let talked = talking.join_all().await;
    let mut superuser = database.superuser().await;
    let used = backends(&mut superuser, &database).await;
    store.close().await.unwrap();

    // Nobody else's rows, by another way.
    let direct = PostgresStore::connect(&app_url(database.name())).await.unwrap();
    for (number, id) in &talked {
        assert_said(&direct, *number, *id, MESSAGES).await;
        let own = direct.conversations().conversations(&user(*number), &PageRequest::default()).await.unwrap().items;
        assert_eq!(own.iter().map(|conversation| conversation.id).collect::<Vec<_>>(), [*id]);
        let other = user((number + 1) % USERS);
        assert_eq!(direct.conversations().conversation(&other, *id).await.unwrap(), None);
        assert!(direct.audit().verify(&user(*number)).await.unwrap().is_some());
    }
    direct.close().await.unwrap();
    assert_eq!(must(&mut superuser, "SELECT FROM ironclaw.messages").await, (USERS * MESSAGES) as u64);

    // Transactions that are open at the same time have all of the server's connections.
    let mut clients = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..SIZE {
        let mut client = PgConnection::connect(&format!("{url}?statement-cache-capacity=0")).await.unwrap();
        must(&mut client, "BEGIN").await;
        let pid: i32 = raw(&mut client, "SELECT pg_backend_pid()").await.remove(0).0.parse().unwrap();
        seen.insert(pid);
        assert_eq!(raw(&mut client, SCOPE).await, [(String::new(),)]);
        let kept: Vec<(String, String)> = sqlx::query_as(KEPT).persistent(false).fetch_all(&mut client).await.unwrap();
        assert_eq!(kept, []);
        assert_eq!(raw(&mut client, "SELECT current_user::text").await, [("ironclaw_test_app".to_owned(),)]);
        clients.push(client);
    }
    let used: BTreeSet<_> = used.into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(used.len(), SIZE as usize, "all were used, and no more");
    assert_eq!(seen, used, "they are those that the store had used");
}

/// The rows of a query, as text.
async fn raw(client: &mut PgConnection, sql: &'static str) -> Vec<(String,)> {
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT answer::text FROM ({sql}) _ (answer)")));
    rows.persistent(false).fetch_all(client).await.unwrap()
}

async fn no_transaction_stays_open() {
    let database = Database::fresh().await;
    let pooler = pooler(SIZE, &[("server_idle_timeout", "600")], None);
    let url = pooled_app_url(&pooler, database.name());
    let store = PostgresStore::builder().transaction_pooling().connect(&url).await.unwrap();
    let mut superuser = database.superuser().await;
    let id = talk(store.clone(), 0).await;
    // One that fails, too: the conversation is there already.
    store.apply(&user(0), create(id)).await.unwrap_err();
    store.conversations().conversations(&user(99), &PageRequest::default()).await.unwrap();
    let backends = backends(&mut superuser, &database).await;
    assert!(!backends.is_empty());
    // With the answer to the commit a transaction is over: no need to wait for the end of it.
    assert!(backends.iter().all(|(_, is_open)| !is_open), "{backends:?}");
    store.close().await.unwrap();
}

async fn who_waits_for_rows_leaves_the_pooler_to_others() {
    let database = Database::fresh().await;
    let pooler = pooler(2, &[("server_idle_timeout", "600")], None);
    let url = pooled_app_url(&pooler, database.name());
    let for_ever = std::time::Duration::from_secs(600);
    // More than the pooler has.
    let builder = PostgresStore::builder().transaction_pooling().max_connections(16);
    let store = builder.acquire_timeout(for_ever).lock_timeout(for_ever).connect(&url).await.unwrap();
    let set = |value: usize| Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: value.into() });
    for number in 0..=USERS {
        store.apply(&user(number), set(0)).await.unwrap();
    }
    let (mut holder, mut watcher) = (database.superuser().await, database.superuser().await);
    must(&mut holder, "BEGIN; SELECT FROM ironclaw.users WHERE owner <> 'user 0' FOR NO KEY UPDATE").await;
    let mut waiting = JoinSet::new();
    for number in 1..=USERS {
        let store = store.clone();
        waiting.spawn(async move { drop(store.apply(&user(number), set(1)).await.unwrap()) });
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut held = async || sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut watcher).await.unwrap();
    // Each meets its lock first, which takes it two of the pooler's connections at the same time for a moment.
    let mut in_a_row = 0;
    until("one at a time waits", async || {
        in_a_row = if held().await <= 1 { in_a_row + 1 } else { 0 };
        in_a_row >= 50
    })
    .await;
    for value in 0..50 {
        bounded(store.apply(&user(0), set(value))).await.unwrap();
    }
    must(&mut holder, "ROLLBACK").await;
    while let Some(written) = bounded(waiting.join_next()).await {
        written.unwrap();
    }
    store.close().await.unwrap();
}

async fn waiting_for_a_connection_of_the_poolers_has_an_end() {
    let database = Database::fresh().await;
    let pooler = pooler(1, &[("query_wait_timeout", "1")], None);
    let url = pooled_app_url(&pooler, database.name());
    let builder = PostgresStore::builder().transaction_pooling();
    let store = builder.acquire_timeout(std::time::Duration::from_millis(100)).connect(&url).await.unwrap();
    let mut client = PgConnection::connect(&format!("{url}?statement-cache-capacity=0")).await.unwrap();
    must(&mut client, "BEGIN").await;
    let error = refusal_by(store.apply(&user(0), create(ConversationId::make(&SystemClock)))).await;
    assert_refused(&error, &StoreErrorKind::Busy, &["the pooler", "default_pool_size"]);
    must(&mut client, "ROLLBACK").await;
    bounded(talk(store.clone(), 0)).await;
    store.close().await.unwrap();
}

/// Whoever asks again after each few seconds is behind everybody else each time.
async fn a_place_among_those_who_wait_for_the_pooler_is_kept() {
    let database = Database::fresh().await;
    let pooler = pooler(1, &[("admin_users", "ironclaw_test_app")], None);
    let url = pooled_app_url(&pooler, database.name());
    let builder = PostgresStore::builder().transaction_pooling();
    let store = builder.acquire_timeout(std::time::Duration::from_secs(60)).connect(&url).await.unwrap();
    let mut client = PgConnection::connect(&format!("{url}?statement-cache-capacity=0")).await.unwrap();
    must(&mut client, "BEGIN").await;
    let call = tokio::spawn(async move { talk(store, 0).await });
    let mut admin = PgConnection::connect(&pooled_app_url(&pooler, "pgbouncer")).await.unwrap();
    let mut waiting = async || -> Vec<String> {
        let clients = sqlx::raw_sql("SHOW CLIENTS").fetch_all(&mut admin).await.unwrap();
        let clients = clients.iter().filter(|client| client.get::<String, _>("state") == "waiting");
        clients.map(|client| client.get("ptr")).collect()
    };
    let mut first = Vec::new();
    until("it waits", async || {
        first = waiting().await;
        !first.is_empty()
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(waiting().await, first);
    must(&mut client, "ROLLBACK").await;
    bounded(call).await.unwrap();
}

async fn a_pooler_that_was_not_reckoned_with_is_refused() {
    let database = Database::fresh().await;
    let operator = || OperatorName::parse("root").unwrap();
    for size in [1, SIZE] {
        let pooler = pooler(size, &[], None);
        let (url, operator_url) =
            (pooled_app_url(&pooler, database.name()), pooled_operator_url(&pooler, database.name()));
        for _ in 0..3 {
            assert_invalid(&refusal(&url).await, "transaction_pooling", "set on the builder");
        }
        // It leaves nothing that harms who does reckon with it.
        let builder = PostgresStore::builder().transaction_pooling();
        let store = builder.clone().connect(&url).await.unwrap();
        talk(store, size as usize).await;
        // What an operator sets holds for a session.
        for builder in [builder, PostgresStore::builder()] {
            let error = refusal_by(builder.connect_maintenance(&operator_url, operator())).await;
            assert_invalid(&error, "url", "the server itself");
        }
    }
}

async fn a_pooler_in_session_mode_is_as_good_as_none() {
    let database = Database::fresh().await;
    let pooler = pooler(16, &[("pool_mode", "session")], None);
    let store = PostgresStore::connect(&pooled_app_url(&pooler, database.name())).await.unwrap();
    talk(store, 0).await;
    let operator = OperatorName::parse("root").unwrap();
    let url = pooled_operator_url(&pooler, database.name());
    let maintenance = PostgresMaintenance::connect(&url, operator).await.unwrap();
    assert_eq!(maintenance.users(&PageRequest::default()).await.unwrap().items.len(), 1);
    maintenance.index_vectors().await.unwrap();
}

async fn a_role_with_one_connection_can_do_with_it() {
    let database = Database::fresh().await;
    let role = crate::raw::Role::new("lonely", "LOGIN CONNECTION LIMIT 1 IN ROLE ironclaw_app").await;
    let store = PostgresStore::builder().max_connections(1).connect(&role.url(&database)).await.unwrap();
    talk(store.clone(), 0).await;
    store.close().await.unwrap();
}

async fn a_migration_goes_to_the_server_itself() {
    let database = Database::empty().await;
    let pooler = pooler(SIZE, &[], None);
    let url = pooler.superuser_url(database.name());
    for builder in [PostgresStore::builder(), PostgresStore::builder().transaction_pooling()] {
        assert_invalid(&refusal_by(builder.migrate(&url)).await, "url", "the server itself");
    }
    let made = "SELECT FROM pg_namespace WHERE nspname = 'ironclaw'";
    assert_eq!(must(&mut database.superuser().await, made).await, 0);
}

//! A server, a role or a pooler that has no connection left.

use std::time::Duration;

use ironclaw_core::change::SettingOp;
use ironclaw_core::store::{Apply, Store, StoreErrorKind};
use ironclaw_core::{Change, Scope};
use ironclaw_store::{PostgresStore, PostgresStoreBuilder};
use tokio::task::JoinSet;

use crate::database::{Database, pooled_app_url, pooler};
use crate::raw::Role;
use crate::workload::bounded;

ironclaw_testing::tests![
    calls_share_the_connections_that_a_role_may_have,
    calls_share_the_connections_that_a_pooler_gives,
    without_a_connection_of_its_own_a_store_waits_for_one,
];

const USERS: usize = 8;
const CHANGES: usize = 10;

fn user(number: usize) -> Scope {
    Scope::user(format!("user {number}")).unwrap()
}

fn put(value: usize) -> Change {
    Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: value.into() })
}

/// Many users write at once, with more connections than there are.
async fn all_write(store: &PostgresStore) {
    let mut writing = JoinSet::new();
    for number in 0..USERS {
        let store = store.clone();
        writing.spawn(async move {
            for value in 0..CHANGES {
                bounded(store.apply(&user(number), put(value))).await.unwrap();
            }
        });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
}

async fn calls_share_the_connections_that_a_role_may_have() {
    let database = Database::fresh().await;
    for limit in [1, 3] {
        let role = Role::new("few", &format!("LOGIN CONNECTION LIMIT {limit} IN ROLE ironclaw_app")).await;
        let store = PostgresStore::builder().max_connections(10).connect(&role.url(&database)).await.unwrap();
        all_write(&store).await;
        store.close().await.unwrap();
    }
}

async fn calls_share_the_connections_that_a_pooler_gives() {
    let database = Database::fresh().await;
    let pooler = pooler(2, &[("max_client_conn", "3")], None);
    let builder = PostgresStore::builder().transaction_pooling().max_connections(10);
    let store = builder.connect(&pooled_app_url(&pooler, database.name())).await.unwrap();
    all_write(&store).await;
    store.close().await.unwrap();
}

async fn without_a_connection_of_its_own_a_store_waits_for_one() {
    let database = Database::fresh().await;
    let role = Role::new("lonely", "LOGIN CONNECTION LIMIT 1 IN ROLE ironclaw_app").await;
    let builder = || PostgresStore::builder().acquire_timeout(Duration::from_secs(600));
    let store = async |builder: PostgresStoreBuilder| builder.connect(&role.url(&database)).await;
    let waiting = store(builder()).await.unwrap();
    // The server takes its time to see that the last one who connected has gone.
    let impatient = loop {
        match store(builder().acquire_timeout(Duration::from_millis(100))).await {
            Err(error) if error.is_retryable() => {}
            connected => break connected.unwrap(),
        }
    };
    // It keeps its only connection for the next call.
    let first = store(builder()).await.unwrap();
    first.apply(&user(0), put(0)).await.unwrap();
    for error in [
        bounded(impatient.apply(&user(1), put(1))).await.unwrap_err(),
        bounded(store(builder().acquire_timeout(Duration::from_millis(100)))).await.unwrap_err(),
    ] {
        assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error:?}");
        assert!(error.context().contains("no connection left"), "{error:?}");
    }
    let mut calls = JoinSet::new();
    for number in 0..USERS {
        let store = waiting.clone();
        calls.spawn(async move { drop(store.apply(&user(number), put(1)).await.unwrap()) });
    }
    // They wait while others go on.
    for value in 0..CHANGES {
        first.apply(&user(0), put(value)).await.unwrap();
    }
    first.close().await.unwrap();
    while let Some(called) = bounded(calls.join_next()).await {
        called.unwrap();
    }
}

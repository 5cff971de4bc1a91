//! Opening, using and closing a store again and again: for valgrind, and for connections that are freed twice.
#![allow(clippy::unwrap_used, reason = "tests")]

use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{AgentStore, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;

async fn use_once(store: &LibsqlStore) {
    let ada = Scope::user("ada").unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada, id, "Launch").await.unwrap();
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "When is the launch?");
    store.append_message(&ada, id, message).await.unwrap();
    let page = PageRequest::default();
    assert_eq!(store.conversations().messages(&ada, id, &page).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn stores_are_closed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    for round in 1..=3 {
        let store = LibsqlStore::open(&path).await.unwrap();
        use_once(&store).await;
        store.close().await.unwrap();
        // What SQLite closed itself, it has tidied up.
        assert!(!folder.path().join("agent.db-wal").exists(), "round {round}");
    }
}

#[tokio::test]
async fn a_closed_store_has_no_admin_plane() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let maintenance = store.maintenance(OperatorName::parse("ops").unwrap());
    store.close().await.unwrap();
    assert_eq!(*maintenance.check_integrity().await.unwrap_err().kind(), StoreErrorKind::Closed);
}

#[tokio::test]
async fn dropped_stores_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    for round in 1..=3 {
        let store = LibsqlStore::open(&path).await.unwrap();
        use_once(&store).await;
        drop(store);
        let store = LibsqlStore::open(&path).await.unwrap();
        let ada = Scope::user("ada").unwrap();
        let page = store.conversations().conversations(&ada, &PageRequest::default()).await.unwrap();
        assert_eq!(page.items.len(), round);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn stores_in_memory_end() {
    for _ in 0..3 {
        let store = LibsqlStore::in_memory().await.unwrap();
        use_once(&store).await;
        store.close().await.unwrap();
    }
}

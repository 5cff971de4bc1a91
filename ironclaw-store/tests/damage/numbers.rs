//! Damage that leaves every column with a value that it may hold: numbers of others, rows that are gone, objects that nobody
//! here made.

use std::path::Path;

use ironclaw_core::change::PrivacyOp;
use ironclaw_core::store::{Apply, StoreErrorKind};
use ironclaw_core::{AgentStore, Change, Maintenance, PageRequest, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;

use crate::furnish::{furnish, user};
use crate::maintenance;

async fn run(path: &Path, sql: &str) {
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).await.unwrap();
}

async fn check(path: &Path) -> Vec<String> {
    let store = LibsqlStore::open(path).await.unwrap();
    let found = maintenance(&store).check_integrity().await.unwrap();
    store.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_anothers_content_shows_nobody_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    furnish(&path).await;
    let wrong = "users: its content is another user's, or nowhere";
    // Bob's, who keeps it under his own number; one that is nobody's; his own, which is never written.
    for number in ["2", "4711", "1"] {
        run(&path, &format!("UPDATE users SET content_no = {number} WHERE owner_no = 1")).await;
        let store = LibsqlStore::open(&path).await.unwrap();
        let seen = store.conversations().conversations(&user("ada"), &PageRequest::default()).await;
        let error = seen.map(|page| page.items.len()).unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{number}: {error}");
        let id = ironclaw_core::id::ConversationId::make(&SystemClock);
        let error = store.create_conversation(&user("ada"), id, "x").await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Corrupt, "{number}: {error}");
        let bobs = store.conversations().conversations(&user("bob"), &PageRequest::default()).await.unwrap();
        assert!(!bobs.items.is_empty());
        store.close().await.unwrap();
        let found = check(&path).await;
        assert!(found.iter().any(|line| line.starts_with(wrong)), "{number}: {found:?}");
    }
    run(&path, "UPDATE users SET content_no = NULL").await;
    assert_eq!(check(&path).await, Vec::<String>::new());
}

/// Forgotten in so many steps that the content gets a number of its own.
#[tokio::test(flavor = "multi_thread")]
async fn content_that_no_user_names_is_told() {
    use ironclaw_core::change::ConversationOp;
    use ironclaw_core::id::{ConversationId, MessageId};
    use ironclaw_core::model::conversations::{NewMessage, Role};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    let ada = user("ada");
    let conversation = ConversationId::make(&SystemClock);
    let mut change = Change::new().with(ConversationOp::Create { id: conversation, title: "Long".into() });
    for number in 0..900 {
        let message =
            NewMessage::text(MessageId::make(&SystemClock), Role::User, format!("word{number} other{number}"));
        change = change.with(ConversationOp::AppendMessage { conversation, message });
    }
    store.apply(&ada, change).await.unwrap();
    store.apply(&ada, Change::new().with(PrivacyOp::Forget)).await.unwrap();
    store.create_conversation(&ada, ConversationId::make(&SystemClock), "new").await.unwrap();
    store.close().await.unwrap();
    assert_eq!(check(&path).await, Vec::<String>::new());
    // What says how old it is belongs to the user, not to the number.
    run(&path, "UPDATE users SET conversations_since = NULL").await;
    let found = check(&path).await;
    assert!(found.iter().any(|line| line.starts_with("users: conversations_since is missing")), "{found:?}");
    run(&path, "UPDATE users SET content_no = NULL").await;
    let found = check(&path).await;
    assert!(found.iter().any(|line| line.starts_with("users: its content is no user's")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_and_objects_of_others_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    furnish(&path).await;
    for (sql, told) in [
        ("DELETE FROM audit_private WHERE owner_no = 1", "audit_private: "),
        ("DELETE FROM workspace_statistics WHERE owner_no = 2", "entry_versions: the user's statistics are missing: 1"),
        (
            "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM messages WHERE message_no = new.message_no; END",
            "the schema: trigger t is not of this version",
        ),
        (
            "DROP TRIGGER t; CREATE INDEX of_mine ON messages (created_at)",
            "the schema: index of_mine is not of this version",
        ),
        ("DROP INDEX of_mine; CREATE VIEW v AS SELECT 1", "the schema: view v is not of this version"),
        ("DROP VIEW v; ANALYZE", ""),
        ("DELETE FROM store_meta", "store_meta: a row is missing"),
    ] {
        let before = check(&path).await;
        run(&path, sql).await;
        let found = check(&path).await;
        let told = told.trim_end_matches(": 1");
        assert!(
            told.is_empty()
                || found.iter().any(|line| line.starts_with(told)) && !before.iter().any(|l| l.starts_with(told)),
            "{sql}: {found:?}"
        );
    }
}

//! One file opened several times, in one process and by others.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::path::Path;

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{Apply, StoreErrorKind};
use ironclaw_core::{AgentStore, Change, Limits, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn begin(store: &LibsqlStore) -> ConversationId {
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    id
}

async fn say(store: &LibsqlStore, conversation: ConversationId, text: &str) {
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, text);
    store.append_message(&ada(), conversation, message).await.unwrap();
}

async fn conversations(store: &LibsqlStore) -> usize {
    store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap().items.len()
}

/// Opens a store twice, closes one of the two, and lets another program leave the file; then writes and is killed.
#[tokio::test]
async fn child_writes_after_a_second_open() {
    let Some(path) = Process::asked("child_writes_after_a_second_open") else {
        return;
    };
    let path = Path::new(&path);
    let store = LibsqlStore::open(path).await.unwrap();
    let conversation = begin(&store).await;
    let second = LibsqlStore::open(path).await.unwrap();
    say(&second, conversation, "of the second").await;
    second.close().await.unwrap();
    LibsqlStore::open(path).await.unwrap();
    // Whoever is the last to close the file takes the log away, if it believes to be alone.
    Process::start("child_opens_and_closes", path).expect("closed");
    for n in 0..50 {
        say(&store, conversation, &format!("acknowledged {n}")).await;
    }
    println!("acknowledged");
    std::process::abort();
}

#[tokio::test]
async fn child_opens_and_closes() {
    let Some(path) = Process::asked("child_opens_and_closes") else {
        return;
    };
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    let mut rows = connection.query("SELECT count(*) FROM messages", ()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop((rows, connection));
    println!("closed");
}

#[tokio::test]
async fn a_second_open_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    Process::start("child_writes_after_a_second_open", &path).expect("acknowledged");
    let store = LibsqlStore::open(&path).await.unwrap();
    let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    assert_eq!(page.items[0].messages, 51);
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    maintenance.verify_audit().await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn all_names_of_a_file_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let first = LibsqlStore::open(path("agent.db")).await.unwrap();
    std::fs::create_dir(path("sub")).unwrap();
    std::os::unix::fs::symlink(path("agent.db"), path("link.db")).unwrap();
    std::fs::hard_link(path("agent.db"), path("hard.db")).unwrap();
    for name in ["link.db", "hard.db", "sub/../agent.db", "./agent.db"] {
        let store = LibsqlStore::open(path(name)).await.unwrap();
        let before = conversations(&first).await;
        begin(&store).await;
        assert_eq!(conversations(&first).await, before + 1, "{name}");
        assert_eq!(store.health().await.unwrap().path, first.health().await.unwrap().path, "{name}");
        store.close().await.unwrap();
        assert_eq!(*store.health().await.unwrap_err().kind(), StoreErrorKind::Closed);
    }
    assert!(!path("hard.db-wal").exists(), "a second log");
    begin(&first).await;
    assert!(path("agent.db-wal").exists(), "the log is gone while the file is open");
    first.close().await.unwrap();
    assert!(!path("agent.db-wal").exists());
}

#[tokio::test]
async fn each_opening_has_its_own_limits_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let wide = LibsqlStore::open(&path).await.unwrap();
    let mut limits = Limits::default();
    limits.title_bytes = 4;
    let narrow = LibsqlStore::builder().limits(limits).open(&path).await.unwrap();
    let create = || {
        Change::new()
            .with(ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "A long title".to_owned() })
    };
    let error = narrow.apply(&ada(), create()).await.unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::InvalidInput(_)), "{error}");
    wide.apply(&ada(), create()).await.unwrap();
    wide.close().await.unwrap();
    assert_eq!(*wide.apply(&ada(), create()).await.unwrap_err().kind(), StoreErrorKind::Closed);
    assert_eq!(conversations(&narrow).await, 1);
    drop(wide);
    assert_eq!(conversations(&narrow).await, 1);
    narrow.close().await.unwrap();
}

#[tokio::test]
async fn what_is_closing_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    for round in 0..10 {
        let store = LibsqlStore::open(&path).await.unwrap();
        assert_eq!(conversations(&store).await, round);
        begin(&store).await;
        if round % 2 == 0 {
            drop(store);
        } else {
            let (closed, opened) = tokio::join!(store.close(), LibsqlStore::open(&path));
            closed.unwrap();
            opened.unwrap().close().await.unwrap();
        }
    }
}

//! The files are moved, deleted or replaced while the store is open.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::path::Path;
use std::process::Command;

use ironclaw_core::id::{ConversationId, MessageId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{AgentStore, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn say(store: &LibsqlStore, conversation: ConversationId) -> Result<u64, StoreError> {
    store.append_message(&ada(), conversation, NewMessage::text(MessageId::make(&SystemClock), Role::User, "x")).await
}

async fn is_refused(store: &LibsqlStore, conversation: ConversationId, how: &str) {
    let error = say(store, conversation).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{how}: {error}");
    assert!(!error.is_retryable());
    let (first, second) = tokio::join!(say(store, conversation), say(store, conversation));
    assert!(first.is_err() && second.is_err(), "{how}");
    let quota = SystemChange::PutQuota {
        tenant: TenantId::default_tenant(),
        owner: UserId::parse("ada").unwrap().into(),
        name: "q".parse().unwrap(),
        limit: 1,
    };
    let error = store.maintenance(OperatorName::parse("root").unwrap()).apply_system(quota).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{how}: {error}");
    assert_eq!(*store.health().await.unwrap_err().kind(), StoreErrorKind::FileMoved, "{how}");
}

#[tokio::test]
async fn a_change_is_not_acknowledged_once_the_file_is_not_where_it_was() {
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).unwrap();
    for how in [
        "file deleted",
        "file renamed",
        "file replaced",
        "log deleted",
        "log replaced",
        "index deleted",
        "index replaced",
        "folder renamed",
    ] {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        let (path, log, aside) = (folder.join("agent.db"), folder.join("agent.db-wal"), folder.join("aside"));
        let index = folder.join("agent.db-shm");
        let store = LibsqlStore::open(&path).await.unwrap();
        let id = ConversationId::make(&SystemClock);
        store.create_conversation(&ada(), id, "Launch").await.unwrap();
        say(&store, id).await.unwrap();
        let (moved, to) = match how {
            "log deleted" | "log replaced" => (&log, &aside),
            "index deleted" | "index replaced" => (&index, &aside),
            "folder renamed" => (&folder, &root.path().join("elsewhere")),
            _ => (&path, &aside),
        };
        rename(moved, to);
        if how.ends_with("replaced") {
            // Copied by this process, the file would lose the locks that the store has on it.
            assert!(Command::new("cp").args([to, moved]).status().unwrap().success());
        }
        is_refused(&store, id, how).await;
        if how.ends_with("deleted") {
            store.close().await.ok();
            continue;
        }
        // Put back, it goes on: nothing that was refused is there.
        rename(to, moved);
        assert_eq!(say(&store, id).await.unwrap(), 2, "{how}");
        store.close().await.unwrap();
        let store = LibsqlStore::open(&path).await.unwrap();
        assert_eq!(store.conversations().conversation(&ada(), id).await.unwrap().unwrap().messages, 2, "{how}");
        store.maintenance(OperatorName::parse("root").unwrap()).verify_audit().await.unwrap();
        store.close().await.unwrap();
    }
}

/// A log without its file holds what was written last: whoever opens the path anew must not throw it away.
#[tokio::test]
async fn a_log_whose_file_is_gone_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log, aside) =
        (folder.path().join("agent.db"), folder.path().join("agent.db-wal"), folder.path().join("aside.db"));
    let store = LibsqlStore::open(&path).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    for _ in 0..20 {
        say(&store, id).await.unwrap();
    }
    let before = std::fs::metadata(&log).unwrap().len();
    std::fs::rename(&path, &aside).unwrap();
    for is_empty in [false, true] {
        if is_empty {
            assert!(Command::new("touch").arg(&path).status().unwrap().success());
        }
        let error = LibsqlStore::open(&path).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{error}");
        assert_eq!(std::fs::metadata(&log).unwrap().len(), before);
    }
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(say(&store, id).await.unwrap(), 21);
    store.close().await.unwrap();
    let store = LibsqlStore::open(&path).await.unwrap();
    assert_eq!(say(&store, id).await.unwrap(), 22);
    store.close().await.unwrap();
}

#[tokio::test]
async fn child_writes_and_closes() {
    let Some(path) = Process::asked("child_writes_and_closes") else {
        return;
    };
    let store = LibsqlStore::open(Path::new(&path)).await.unwrap();
    for _ in 0..20 {
        store.create_conversation(&ada(), ConversationId::make(&SystemClock), "another's").await.unwrap();
    }
    store.close().await.unwrap();
    println!("written");
}

/// Two processes with an index each know nothing of each other's changes: whoever has the old one must not write over them,
/// nor move what it knows of the log into the file when it closes.
#[tokio::test]
async fn what_another_process_wrote_by_a_new_index_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    say(&store, id).await.unwrap();
    std::fs::remove_file(folder.path().join("agent.db-shm")).unwrap();
    Process::start("child_writes_and_closes", &path).expect("written");
    is_refused(&store, id, "index deleted").await;
    assert_eq!(*store.close().await.unwrap_err().kind(), StoreErrorKind::FileMoved);
    let store = LibsqlStore::open(&path).await.unwrap();
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    maintenance.verify_audit().await.unwrap();
    let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 21);
    store.close().await.unwrap();
}

/// SQLite would write behind the hole, and lose all of it with the next opening.
#[tokio::test]
async fn a_log_that_was_cut_short_is_not_written_to() {
    for kept in [0, 5_000] {
        let folder = tempfile::tempdir().unwrap();
        let (path, log) = (folder.path().join("agent.db"), folder.path().join("agent.db-wal"));
        let store = LibsqlStore::open(&path).await.unwrap();
        let id = ConversationId::make(&SystemClock);
        store.create_conversation(&ada(), id, "Launch").await.unwrap();
        say(&store, id).await.unwrap();
        // SQLite cuts it too, with what is in it in the file.
        let connection = libsql::Builder::new_local(&path).build().await.unwrap().connect().unwrap();
        connection.query("PRAGMA wal_checkpoint(TRUNCATE)", ()).await.unwrap().next().await.unwrap().unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
        drop(connection);
        for _ in 0..10 {
            say(&store, id).await.unwrap();
        }
        assert!(Command::new("truncate").arg(format!("--size={kept}")).arg(&log).status().unwrap().success());
        for _ in 0..2 {
            let error = say(&store, id).await.unwrap_err();
            assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{error}");
        }
        assert_eq!(*store.close().await.unwrap_err().kind(), StoreErrorKind::FileMoved);
        // What was in the file before is whole.
        let store = LibsqlStore::open(&path).await.unwrap();
        let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
        assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
        say(&store, id).await.unwrap();
        store.close().await.unwrap();
    }
}

//! What the store's files are, and what it refuses to open.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use ironclaw_core::id::ConversationId;
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{AgentStore, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn refusal(path: &Path) -> StoreErrorKind {
    LibsqlStore::open(path).await.unwrap_err().kind().clone()
}

/// Runs SQL on a file behind the store's back.
async fn run(path: &Path, sql: &str) {
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.execute_batch(sql).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["agent.db", "agent.db-reserve", "agent.db-shm", "agent.db-wal"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn other_files_are_refused_and_left_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "not a database, only a rather long text: ".repeat(20)).unwrap();
    std::fs::write(path("short"), "x").unwrap();
    std::fs::write(path("header"), [b"SQLite format 3\0".as_slice(), &[0xa5; 4_096]].concat()).unwrap();
    run(&path("other"), "CREATE TABLE t (x); INSERT INTO t VALUES (1);").await;
    run(&path("named"), "PRAGMA application_id = 7; CREATE TABLE t (x);").await;
    run(&path("wal"), "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);").await;
    for name in ["text", "short", "header", "other", "named", "wal"] {
        let before = std::fs::read(path(name)).unwrap();
        assert_eq!(refusal(&path(name)).await, StoreErrorKind::NotAStore, "{name}");
        assert_eq!(std::fs::read(path(name)).unwrap(), before, "{name}");
    }
    std::fs::create_dir(path("folder")).unwrap();
    assert_eq!(refusal(&path("folder")).await, StoreErrorKind::NotAStore);
    assert_eq!(refusal(&path("nowhere/agent.db")).await, StoreErrorKind::Io);
}

/// Copies a database and its log as a kill would leave them. Another process does it: closing a file drops the locks that
/// this one has on it.
#[cfg(unix)]
fn copy_as_killed(path: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let name = |path: &Path| format!("{}{ending}", path.display());
        assert!(std::process::Command::new("cp").args([name(path), name(to)]).status().unwrap().success());
    }
}

/// Where a reading keeps part of the log from being moved, the first page may be in the file before the pages it names.
#[cfg(unix)]
#[tokio::test]
async fn a_store_whose_last_pages_are_in_the_log_alone_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = LibsqlStore::open(path("agent.db")).await.unwrap();
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
    store.close().await.unwrap();
    let connect = async || libsql::Builder::new_local(path("agent.db")).build().await.unwrap().connect().unwrap();
    let (writer, reader) = (connect().await, connect().await);
    writer
        .execute_batch(
            "PRAGMA wal_autocheckpoint = 0; \
             INSERT INTO store_meta (name, value) WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200) \
             SELECT 'row' || (1000 + x) || hex(zeroblob(450)), 1 FROM n",
        )
        .await
        .unwrap();
    reader.execute("BEGIN", ()).await.unwrap();
    reader.query("SELECT count(*) FROM store_meta", ()).await.unwrap().next().await.unwrap().unwrap();
    writer.execute_batch("UPDATE store_meta SET value = 2 WHERE name LIKE 'row%'").await.unwrap();
    writer.query("PRAGMA wal_checkpoint(PASSIVE)", ()).await.unwrap().next().await.unwrap().unwrap();
    copy_as_killed(&path("agent.db"), &path("killed.db"));
    let bytes = std::fs::read(path("killed.db")).unwrap();
    let named = u32::from_be_bytes(bytes[28..32].try_into().unwrap());
    assert!(u64::from(named) * 4_096 > bytes.len() as u64, "all pages are in the file");

    LibsqlStore::restore(path("killed.db"), path("restored.db")).await.unwrap();
    copy_as_killed(&path("agent.db"), &path("killed.db"));
    LibsqlStore::restore(path("restored.db"), path("killed.db")).await.unwrap();
    copy_as_killed(&path("agent.db"), &path("again.db"));
    for name in ["restored.db", "killed.db", "again.db"] {
        let store = LibsqlStore::open(path(name)).await.unwrap();
        assert_eq!(store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap().items.len(), 1);
        store.close().await.unwrap();
    }
}

/// Opened for writing, it would be: the last connection to close moves the log into the file.
#[cfg(unix)]
#[tokio::test]
async fn anothers_file_whose_tables_are_in_its_log_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let connection = libsql::Builder::new_local(path("other")).build().await.unwrap().connect().unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
        .await
        .unwrap();
    copy_as_killed(&path("other"), &path("killed"));
    let read = || ["killed", "killed-wal"].map(|name| std::fs::read(path(name)).unwrap());
    let before = read();
    assert!(before[0].len() == 4_096 && !before[1].is_empty());
    assert_eq!(refusal(&path("killed")).await, StoreErrorKind::NotAStore);
    assert!(read() == before, "it was written to");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file: ?mode=memory#%20'\"");
    std::fs::write(&path, "").unwrap();
    let store = LibsqlStore::open(&path).await.unwrap();
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
    store.close().await.unwrap();
    assert!(std::fs::read(&path).unwrap().starts_with(b"SQLite format 3\0"));
}

#[tokio::test]
async fn newer_stores_are_refused() {
    for newer in ["PRAGMA user_version = 1000", "UPDATE store_meta SET value = 1000 WHERE name = 'analysis_version'"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        LibsqlStore::open(&path).await.unwrap().close().await.unwrap();
        run(&path, newer).await;
        assert_eq!(refusal(&path).await, StoreErrorKind::NewerSchema, "{newer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_begin_together_make_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let openings: Vec<_> = (0..8).map(|_| tokio::spawn(LibsqlStore::open(path.clone()))).collect();
    let mut stores = Vec::new();
    for opening in openings {
        stores.push(opening.await.unwrap().unwrap());
    }
    for store in &stores {
        store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
    }
    for store in &stores {
        let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
        assert_eq!(page.items.len(), stores.len());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    run(&path, "UPDATE conversations SET messages = 'many'").await;
    let error = store.conversations().conversation(&ada(), id).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Corrupt);
    let row = id.to_string().replace('-', "");
    assert!(error.context().contains("conversations.messages") && error.context().contains(&row), "{error}");
    // Text that is not UTF-8 fails its own call only.
    run(&path, "UPDATE conversations SET messages = 0, title = CAST(x'ff41' AS TEXT)").await;
    assert!(store.conversations().conversation(&ada(), id).await.is_err());
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Next").await.unwrap();
    store.close().await.unwrap();
}

//! Putting a backup in the place of a store.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{AgentStore, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn begin(store: &LibsqlStore, title: &str, messages: usize) {
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, title).await.unwrap();
    for n in 0..messages {
        let text = format!("message {n}: {}", "lighthouse ".repeat(200));
        store
            .append_message(&ada(), id, NewMessage::text(MessageId::make(&SystemClock), Role::User, text))
            .await
            .unwrap();
    }
}

/// The titles and numbers of messages in a file whose every check holds.
async fn content(path: &Path) -> Vec<(String, u64)> {
    let store = LibsqlStore::open(path).await.unwrap();
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    maintenance.verify_audit().await.unwrap();
    let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    let mut content: Vec<_> = page.items.into_iter().map(|found| (found.title, found.messages)).collect();
    content.sort();
    store.close().await.unwrap();
    content
}

async fn run(path: &Path, sql: &str) {
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.execute_batch(sql).await.unwrap();
}

/// How many copies are left that did not get in a store's place.
fn copies(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".restoring")).count()
}

/// A store that was killed with a log, and a backup from before.
async fn killed(folder: &Path) -> (PathBuf, PathBuf) {
    let (path, backup) = (folder.join("agent.db"), folder.join("backup.db"));
    let store = LibsqlStore::open(&path).await.unwrap();
    begin(&store, "before", 3).await;
    store.close().await.unwrap();
    run(&path, &format!("VACUUM INTO '{}'", backup.display())).await;
    Process::start("child_writes_and_is_killed", &path).expect("written");
    assert!(folder.join("agent.db-wal").metadata().unwrap().len() > 0);
    (path, backup)
}

#[tokio::test]
async fn child_writes_and_is_killed() {
    let Some(path) = Process::asked("child_writes_and_is_killed") else {
        return;
    };
    let store = LibsqlStore::open(&path).await.unwrap();
    begin(&store, "after", 40).await;
    println!("written");
    std::process::abort();
}

#[tokio::test]
async fn child_keeps_it_open() {
    let Some(path) = Process::asked("child_keeps_it_open") else {
        return;
    };
    let store = LibsqlStore::open(&path).await.unwrap();
    println!("open");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn child_restores_again_and_again() {
    let Some(path) = Process::asked("child_restores_again_and_again") else {
        return;
    };
    let path = Path::new(&path);
    println!("restoring");
    loop {
        for backup in ["first.db", "second.db"] {
            LibsqlStore::restore(path.with_file_name(backup), path).await.unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_of_the_old_log_is_read_into_the_restored_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    let before = std::fs::read(&backup).unwrap();
    LibsqlStore::restore(&backup, &path).await.unwrap();
    assert_eq!(content(&path).await, [("before".to_owned(), 3)]);
    assert_eq!(std::fs::read(&backup).unwrap(), before);
    // To where there is no store, but what is left of one.
    let (path, backup) = killed(&tempfile::tempdir_in(folder.path()).unwrap().keep()).await;
    std::fs::remove_file(&path).unwrap();
    LibsqlStore::restore(&backup, &path).await.unwrap();
    assert_eq!(content(&path).await, [("before".to_owned(), 3)]);
    for ending in ["db-wal", "db-shm", "db-journal"] {
        assert!(!path.with_extension(ending).exists(), "{ending}");
    }
    assert_eq!(copies(path.parent().unwrap()), 0);
}

#[tokio::test]
async fn a_backup_may_have_any_name_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, first) = killed(folder.path()).await;
    for name in ["agent.db.restoring", "agent.db.restoring-0123456789abcdef", "agent.db-reserve"] {
        let backup = folder.path().join(name);
        std::fs::copy(&first, &backup).unwrap();
        LibsqlStore::restore(&backup, &path).await.unwrap();
        assert_eq!(std::fs::read(&backup).unwrap(), std::fs::read(&first).unwrap(), "{name}");
        assert_eq!(content(&path).await, [("before".to_owned(), 3)]);
        assert_eq!(std::fs::read(&backup).unwrap(), std::fs::read(&first).unwrap(), "{name}, after opening the store");
    }
    // What would be read into the restored file must go; a backup must not.
    for name in ["agent.db-wal", "agent.db-shm", "agent.db-journal"] {
        let backup = folder.path().join(name);
        std::fs::copy(&first, &backup).unwrap();
        let error = LibsqlStore::restore(&backup, &path).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::Io, "{name}: {error}");
        assert_eq!(std::fs::read(&backup).unwrap(), std::fs::read(&first).unwrap(), "{name}");
        std::fs::remove_file(&backup).unwrap();
    }
}

#[tokio::test]
async fn what_a_killed_restore_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    let beside = |name: &str| folder.path().join(name);
    let left = ["agent.db.restoring-00112233445566ff", "agent.db.restoring-00112233445566ff-journal"];
    let others = ["agent.db.restoring", "agent.db.restoring-mine", "other.db.restoring-00112233445566ff"];
    left.iter().chain(&others).for_each(|name| std::fs::write(beside(name), "x").unwrap());
    LibsqlStore::restore(&backup, &path).await.unwrap();
    left.iter().for_each(|name| assert!(!beside(name).exists(), "{name}"));
    others.iter().for_each(|name| assert_eq!(std::fs::read(beside(name)).unwrap(), b"x", "{name}"));
}

/// A folder of a process's descriptors can't be synced, and links in it lead to files elsewhere.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn through_a_link_the_folder_of_the_file_is_synced() {
    use std::os::fd::AsRawFd;
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    let file = std::fs::File::open(&path).unwrap();
    LibsqlStore::restore(&backup, format!("/proc/self/fd/{}", file.as_raw_fd())).await.unwrap();
    assert_eq!(content(&path).await, [("before".to_owned(), 3)]);
}

#[tokio::test]
async fn a_backup_may_be_a_store_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    LibsqlStore::restore(&path, &backup).await.unwrap();
    assert_eq!(content(&backup).await, [("after".to_owned(), 40), ("before".to_owned(), 3)]);
}

#[tokio::test]
async fn an_open_store_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    let old = [("after".to_owned(), 40), ("before".to_owned(), 3)];
    let mut other = Process::start("child_keeps_it_open", &path);
    other.line("open");
    let error = LibsqlStore::restore(&backup, &path).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
    other.wait();
    let store = LibsqlStore::open(&path).await.unwrap();
    let error = LibsqlStore::restore(&backup, &path).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
    store.close().await.unwrap();
    assert_eq!(content(&path).await, old);
    assert_eq!(copies(folder.path()), 0);
}

#[tokio::test]
async fn what_is_no_whole_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = killed(folder.path()).await;
    let bad = |name: &str| folder.path().join(name);
    std::fs::write(bad("text.db"), "no store ".repeat(200)).unwrap();
    run(&bad("other.db"), "CREATE TABLE t (x)").await;
    for name in ["newer.db", "damaged.db"] {
        std::fs::copy(&backup, bad(name)).unwrap();
    }
    run(&bad("newer.db"), "PRAGMA user_version = 1000").await;
    let mut bytes = std::fs::read(&backup).unwrap();
    bytes[8 * 4_096..40 * 4_096].fill(0x5a);
    std::fs::write(bad("damaged.db"), bytes).unwrap();
    for (name, kind) in [
        ("text.db", StoreErrorKind::NotAStore),
        ("other.db", StoreErrorKind::NotAStore),
        ("newer.db", StoreErrorKind::NewerSchema),
        ("damaged.db", StoreErrorKind::Corrupt),
        ("nowhere.db", StoreErrorKind::Io),
    ] {
        let error = LibsqlStore::restore(bad(name), &path).await.unwrap_err();
        assert_eq!(*error.kind(), kind, "{name}: {error}");
    }
    // Nor is anything but a store replaced.
    for name in ["text.db", "other.db"] {
        let before = std::fs::read(bad(name)).unwrap();
        assert_eq!(*LibsqlStore::restore(&backup, bad(name)).await.unwrap_err().kind(), StoreErrorKind::NotAStore);
        assert_eq!(std::fs::read(bad(name)).unwrap(), before);
    }
    assert_eq!(content(&path).await, [("after".to_owned(), 40), ("before".to_owned(), 3)]);
}

#[tokio::test]
async fn killed_at_any_moment_it_leaves_one_of_the_two() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    for (name, title) in [("first.db", "first"), ("second.db", "second"), ("agent.db", "first")] {
        let store = LibsqlStore::open(folder.path().join(name)).await.unwrap();
        begin(&store, title, 5).await;
        store.close().await.unwrap();
    }
    for round in 0..25_u64 {
        let mut child = Process::start("child_restores_again_and_again", &path);
        child.line("restoring");
        std::thread::sleep(Duration::from_micros(50_000 + 3_700 * round));
        child.signal("KILL");
        child.wait();
        let content = content(&path).await;
        assert!(content == [("first".to_owned(), 5)] || content == [("second".to_owned(), 5)], "{round}: {content:?}");
    }
}

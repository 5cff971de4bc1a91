//! Files that can't be written to, and files that others may write to.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ironclaw_core::id::{ConversationId, MessageId, OperatorName};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{AgentStore, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

async fn make(path: &Path) {
    let store = LibsqlStore::open(path).await.unwrap();
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
    store.close().await.unwrap();
}

/// Runs a function of this program as somebody whom rights bind: not as root.
fn as_somebody(name: &str, path: &Path, folder: &Path) -> Vec<String> {
    const NOBODY: u32 = 65_534;
    let mut command = Process::command(name, path);
    let is_root = std::os::unix::fs::chown(folder, Some(NOBODY), None).is_ok();
    if is_root {
        for entry in std::fs::read_dir(folder).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(NOBODY), None).unwrap();
        }
        // Where the program lies, nobody may enter.
        let program = folder.parent().unwrap().join("program");
        // A copy that this process wrote is busy while a child of another test has yet to close it.
        let copied = std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
        assert!(copied.unwrap().success());
        set_mode(&program, 0o755);
        set_mode(folder.parent().unwrap(), 0o755);
        let mut theirs = std::process::Command::new(program);
        theirs.args(command.get_args()).stdin(std::process::Stdio::null());
        for (key, value) in command.get_envs() {
            theirs.env(key, value.unwrap());
        }
        std::os::unix::process::CommandExt::uid(&mut theirs, NOBODY);
        command = theirs;
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text.lines().map(str::to_owned).collect()
}

/// A folder in a folder, with a store in it.
async fn store() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    let path = folder.join("agent.db");
    make(&path).await;
    (root, folder, path)
}

#[tokio::test]
async fn child_reads_what_it_may_not_write() {
    let Some(path) = Process::asked("child_reads_what_it_may_not_write") else {
        return;
    };
    let path = Path::new(&path);
    let store = LibsqlStore::open(path).await.unwrap();
    assert!(store.health().await.unwrap().read_only);
    let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    println!("read {} conversations", page.items.len());
    let maintenance = store.maintenance(OperatorName::parse("root").unwrap());
    maintenance.verify_audit().await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "x");
    let error = store.append_message(&ada(), page.items[0].id, message).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::ReadOnly, "{error}");
    if path.metadata().unwrap().permissions().mode() & 0o200 != 0 {
        // Whoever may writes to it meanwhile: no answer comes from half of each.
        let folder = path.parent().unwrap();
        set_mode(folder, 0o700);
        let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
        connection.execute("UPDATE conversations SET title = 'other'", ()).await.unwrap();
        let error = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap_err();
        assert_eq!(*error.kind(), StoreErrorKind::FileMoved, "{error}");
    }
    store.close().await.unwrap();
    println!("closed");
}

#[tokio::test]
async fn what_cant_be_written_to_is_read() {
    for (file, folder_mode) in [(0o400, 0o500), (0o400, 0o700), (0o600, 0o500)] {
        let (_root, folder, path) = store().await;
        set_mode(&path, file);
        set_mode(&folder, folder_mode);
        let lines = as_somebody("child_reads_what_it_may_not_write", &path, &folder);
        set_mode(&folder, 0o700);
        assert!(lines.iter().any(|line| line.contains("read 1 conversations")), "{lines:?}");
    }
}

#[tokio::test]
async fn child_is_killed_with_a_log() {
    let Some(path) = Process::asked("child_is_killed_with_a_log") else {
        return;
    };
    make_one_more(Path::new(&path)).await;
    println!("written");
    std::process::abort();
}

async fn make_one_more(path: &Path) {
    let store = LibsqlStore::open(path).await.unwrap();
    store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Landing").await.unwrap();
    std::mem::forget(store);
}

#[tokio::test]
async fn child_meets_a_log() {
    let Some(path) = Process::asked("child_meets_a_log") else {
        return;
    };
    match LibsqlStore::open(&path).await {
        Ok(store) => {
            let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
            println!("read {} conversations", page.items.len());
        }
        Err(error) => println!("{:?}: {}", error.kind(), error.context()),
    }
}

#[tokio::test]
async fn a_log_beside_a_file_that_cant_be_written_to_is_read_or_refused() {
    let (_root, folder, path) = store().await;
    Process::start("child_is_killed_with_a_log", &path).expect("written");
    set_mode(&path, 0o400);
    set_mode(&folder, 0o500);
    let lines = as_somebody("child_meets_a_log", &path, &folder);
    assert!(lines.iter().any(|line| line.contains("read 2 conversations")), "{lines:?}");
    set_mode(&folder, 0o700);
    std::fs::remove_file(folder.join("agent.db-shm")).unwrap();
    set_mode(&folder, 0o500);
    let lines = as_somebody("child_meets_a_log", &path, &folder);
    set_mode(&folder, 0o700);
    assert!(lines.iter().any(|line| line.contains("ReadOnly: a write-ahead log")), "{lines:?}");
}

#[tokio::test]
async fn others_rights_are_taken_away() {
    let (_root, folder, path) = store().await;
    assert!(!LibsqlStore::open(&path).await.unwrap().health().await.unwrap().mode_mended);
    for rights in [0o644, 0o640, 0o666, 0o604] {
        set_mode(&path, rights);
        let store = LibsqlStore::open(&path).await.unwrap();
        let health = store.health().await.unwrap();
        assert_eq!((health.mode_mended, health.mode), (true, Some(0o600)), "{rights:o}");
        store.create_conversation(&ada(), ConversationId::make(&SystemClock), "Launch").await.unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        store.close().await.unwrap();
    }
    set_mode(&folder, 0o770);
    let store = LibsqlStore::open(&path).await.unwrap();
    assert!(store.health().await.unwrap().folder_open_to_others);
    store.close().await.unwrap();
}

#[tokio::test]
async fn child_meets_anothers_file() {
    let Some(path) = Process::asked("child_meets_anothers_file") else {
        return;
    };
    match LibsqlStore::open(&path).await {
        Ok(store) => println!("{:?}", store.close().await),
        Err(error) => println!("Err({:?})", error.kind()),
    }
}

#[tokio::test]
async fn a_file_that_others_may_write_to_is_refused_where_it_cant_be_mended() {
    let (root, folder, path) = store().await;
    let lines = as_somebody("child_meets_anothers_file", &path, &folder);
    assert!(lines.iter().any(|line| line.contains("Ok(())")), "{lines:?}");
    // Only root can give a file to somebody else.
    if std::os::unix::fs::chown(&path, Some(1), None).is_err() {
        return;
    }
    let command = || {
        let mut command = std::process::Command::new(root.path().join("program"));
        let asked = Process::command("child_meets_anothers_file", &path);
        command.args(asked.get_args());
        for (key, value) in asked.get_envs() {
            command.env(key, value.unwrap());
        }
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    set_mode(&path, 0o666);
    assert!(command().contains("Err(Exposed)"), "{}", command());
    // Another's log beside the file is not taken for the store's.
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    set_mode(&path, 0o600);
    std::fs::write(folder.join("agent.db-wal"), "").unwrap();
    assert!(command().contains("Err(Exposed)"), "{}", command());
}

//! What waits while another process holds the write lock, and for how long.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/process.rs"]
mod process;

use std::path::Path;
use std::time::Duration;

use ironclaw_core::id::TenantId;
use ironclaw_core::id::{ConversationId, MessageId, OperatorName, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{AgentStore, Maintenance, PageRequest, Scope, Store, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use process::Process;

const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn open(path: &Path, busy_timeout: Duration) -> LibsqlStore {
    LibsqlStore::builder().busy_timeout(busy_timeout).open(path).await.unwrap()
}

async fn say(store: &LibsqlStore, conversation: ConversationId) -> Result<u64, StoreError> {
    store.append_message(&ada(), conversation, NewMessage::text(MessageId::make(&SystemClock), Role::User, "x")).await
}

#[tokio::test]
async fn child_holds_the_write_lock() {
    let Some(path) = Process::asked("child_holds_the_write_lock") else {
        return;
    };
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; UPDATE store_meta SET value = value").await.unwrap();
    println!("held");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    connection.execute("ROLLBACK", ()).await.unwrap();
    println!("released");
}

#[tokio::test]
async fn child_opens_and_reads() {
    let Some(path) = Process::asked("child_opens_and_reads") else {
        return;
    };
    let store = open(Path::new(&path), Duration::ZERO).await;
    let page = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap();
    println!("read {} conversations", page.items.len());
    store.maintenance(OperatorName::parse("root").unwrap()).verify_audit().await.unwrap();
    assert_eq!(*say(&store, page.items[0].id).await.unwrap_err().kind(), StoreErrorKind::Busy);
    store.close().await.unwrap();
    println!("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_once_and_not_once_for_each_caller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = open(&path, BUSY_TIMEOUT).await;
    let patient = open(&path, Duration::from_secs(600)).await;
    let id = ConversationId::make(&SystemClock);
    store.create_conversation(&ada(), id, "Launch").await.unwrap();
    let mut holder = Process::start("child_holds_the_write_lock", &path);
    holder.line("held");
    holder.signal("STOP");
    let waits = tokio::spawn(async move { say(&patient, id).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut callers = Vec::new();
    for n in 0..20 {
        let store = store.clone();
        callers.push(tokio::spawn(async move {
            if n % 4 > 0 {
                return say(&store, id).await.map(drop);
            }
            let hold = SystemChange::PutQuota {
                tenant: TenantId::default_tenant(),
                owner: UserId::parse("ada").unwrap().into(),
                name: "q".parse().unwrap(),
                limit: 1,
            };
            store.maintenance(OperatorName::parse("root").unwrap()).apply_system(hold).await.map(drop)
        }));
    }
    // Another process may open the file, and read it; so may this one.
    Process::start("child_opens_and_reads", &path).expect("read 1 conversations");
    assert_eq!(store.conversations().recent_messages(&ada(), id, 9).await.unwrap().len(), 0);
    // One after the other they would take twenty times as long.
    let all = async {
        for caller in callers {
            assert_eq!(*caller.await.unwrap().unwrap_err().kind(), StoreErrorKind::Busy);
        }
    };
    tokio::time::timeout(10 * BUSY_TIMEOUT, all).await.unwrap();
    assert!(!waits.is_finished(), "whoever has more patience waits on");
    holder.signal("CONT");
    holder.tell("end");
    waits.await.unwrap().unwrap();
    say(&store, id).await.unwrap();
    assert_eq!(store.conversations().recent_messages(&ada(), id, 9).await.unwrap().len(), 2);
    store.close().await.unwrap();
}

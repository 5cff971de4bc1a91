//! What is forgotten or erased is gone at once for everybody, and removed whatever happens meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use ironclaw_core::change::{ConversationOp, PrivacyOp};
use ironclaw_core::id::{ConversationId, ErasureId, HoldId, IdempotencyKey, MessageId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::audit::{Action, AuditFilter};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Apply, StoreErrorKind};
use ironclaw_core::{
    AgentStore, Change, Clock, Maintenance, PageRequest, Receipt, Scope, Store, SystemClock, VaultStore,
};
use ironclaw_store::LibsqlStore;

use self::process::Process;

#[path = "support/process.rs"]
mod process;

const MESSAGES: usize = 6_000;

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn operator(store: &LibsqlStore) -> impl Maintenance + use<> {
    store.maintenance(OperatorName::parse("root").unwrap())
}

/// A user with about fifty thousand rows.
async fn seed(store: &LibsqlStore, scope: &Scope) -> ConversationId {
    let conversation = ConversationId::make(&SystemClock);
    let create = ConversationOp::Create { id: conversation, title: "Launch".into() };
    store.apply(scope, Change::new().with(create)).await.unwrap();
    for block in 0..MESSAGES / 1_000 {
        let mut change = Change::new();
        for number in 0..1_000 {
            let text = (0..8).map(|word| format!("zebra{} ", block * 3 + number + word)).collect::<String>();
            let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, &text);
            change = change.with(ConversationOp::AppendMessage { conversation, message });
        }
        store.apply(scope, change).await.unwrap();
    }
    conversation
}

fn forget() -> Change {
    Change::new().with(PrivacyOp::Forget)
}

fn erasure() -> SystemChange {
    let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("ada").unwrap());
    SystemChange::EraseUser { tenant, owner: owner.into(), id: ErasureId::make(&SystemClock) }
}

/// Whether the user has nothing that anybody could find.
async fn has_nothing(store: &LibsqlStore) -> bool {
    let query = TextQuery::new("zebra7", store.limits());
    let hits = store.conversations().search_messages(&ada(), &query, 10).await.unwrap();
    let conversations = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap().items;
    assert!(!hits.is_empty() || conversations.is_empty(), "both at once");
    conversations.is_empty()
}

/// Asks a file behind the store's back.
async fn count(path: &Path, sql: &str) -> i64 {
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    let mut rows = connection.query(sql, ()).await.unwrap();
    rows.next().await.unwrap().unwrap().get(0).unwrap()
}

/// Waits until nothing is left to remove, and makes sure that nothing is wrong.
async fn settled(store: &LibsqlStore) {
    for _ in 0..3_000 {
        let found = operator(store).check_integrity().await.unwrap();
        if found.is_empty() {
            return;
        }
        assert!(found[0].starts_with("removals:"), "{found:?}");
        assert!(has_nothing(store).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what was hidden is not removed");
}

async fn forget_events(store: &LibsqlStore) -> usize {
    let filter = AuditFilter::default().action(Action::Forget);
    store.audit().events(&ada(), &filter, &PageRequest::default()).await.unwrap().items.len()
}

/// Not a test of its own: what a process does that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child_forgets() {
    let Some(path) = Process::asked("child_forgets") else {
        return;
    };
    let store = LibsqlStore::open(path).await.unwrap();
    seed(&store, &ada()).await;
    let forgetting = store.clone();
    tokio::spawn(async move { forgetting.apply(&ada(), forget()).await.unwrap() });
    while !has_nothing(&store).await {}
    println!("hidden");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// The same for erasing.
#[tokio::test(flavor = "multi_thread")]
async fn child_erases() {
    let Some(path) = Process::asked("child_erases") else {
        return;
    };
    let store = LibsqlStore::open(path).await.unwrap();
    seed(&store, &ada()).await;
    let erasing = operator(&store);
    tokio::spawn(async move { erasing.apply_system(erasure()).await.unwrap() });
    while !has_nothing(&store).await {}
    println!("hidden");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_forgetting_brings_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut child = Process::start("child_forgets", &path);
    child.line("hidden");
    child.signal("KILL");
    drop(child);
    assert_eq!(count(&path, "SELECT count(*) FROM removals").await, 1, "it was over before the kill");
    assert!(count(&path, "SELECT count(*) FROM messages").await > 0);
    let store = LibsqlStore::open(&path).await.unwrap();
    assert!(has_nothing(&store).await);
    settled(&store).await;
    assert_eq!(forget_events(&store).await, 1);
    store.audit().verify(&ada()).await.unwrap().unwrap();
    store.close().await.unwrap();
    assert_eq!(count(&path, "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM message_terms)").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_erasing_brings_nobody_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut child = Process::start("child_erases", &path);
    child.line("hidden");
    child.signal("KILL");
    drop(child);
    assert_eq!(count(&path, "SELECT count(*) FROM removals").await, 1, "it was over before the kill");
    let store = LibsqlStore::open(&path).await.unwrap();
    let admin = operator(&store);
    assert!(admin.users(&PageRequest::default()).await.unwrap().items.is_empty());
    let refused = admin.apply_system(erasure()).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::NotFound);
    settled(&store).await;
    assert_eq!(admin.erasures(&PageRequest::default()).await.unwrap().items.len(), 1);
    let events = admin.system_events(&PageRequest::default()).await.unwrap().items;
    let erased = events.iter().filter(|entry| entry.event.action == Action::UserErase);
    let outcomes: Vec<_> = erased.map(|entry| entry.event.outcome.code()).collect();
    assert_eq!(outcomes.len(), 2, "the refused one, and one that tells of the end");
    admin.verify_audit().await.unwrap();
    store.close().await.unwrap();
    let rows =
        "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM users) + (SELECT count(*) FROM removals)";
    assert_eq!(count(&path, rows).await, 0);
}

/// A lock that another process takes in the middle is told like one that it had before.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_of_anothers_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::builder().busy_timeout(Duration::from_millis(300)).open(&path).await.unwrap();
    seed(&store, &ada()).await;
    let other = libsql::Builder::new_local(&path).build().await.unwrap().connect().unwrap();
    let removing = tokio::spawn({
        let store = store.clone();
        async move { store.apply(&ada(), forget()).await }
    });
    while count(&path, "SELECT count(*) FROM removals").await == 0 {}
    // Between two steps it is free for a moment.
    while other.execute("BEGIN IMMEDIATE", ()).await.is_err() {}
    assert_eq!(count(&path, "SELECT count(*) FROM removals").await, 1, "it was over before");
    let error = tokio::time::timeout(Duration::from_secs(60), removing).await.unwrap().unwrap().unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Busy, "{error}");
    assert!(error.context().contains("hidden"), "{error}");
    assert!(has_nothing(&store).await);
    other.execute("ROLLBACK", ()).await.unwrap();
    settled(&store).await;
    assert_eq!(forget_events(&store).await, 1);
    drop(other);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_nobody_waits() {
    let store = LibsqlStore::in_memory().await.unwrap();
    seed(&store, &ada()).await;
    let waiting = store.clone();
    let task = tokio::spawn(async move { waiting.apply(&ada(), forget()).await });
    while !has_nothing(&store).await {
        tokio::task::yield_now().await;
    }
    task.abort();
    settled(&store).await;
    assert_eq!(forget_events(&store).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_answers_when_it_is_done_and_says_how_much_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    seed(&store, &ada()).await;
    let rows = count(
        &path,
        "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM message_terms) \
         + (SELECT count(*) FROM conversations) + (SELECT count(*) FROM message_statistics) \
         + (SELECT count(*) FROM audit_private)",
    )
    .await;
    let receipt: Receipt = store.apply(&ada(), forget()).await.unwrap();
    assert_eq!(receipt.numbers, [rows.cast_unsigned()]);
    assert_eq!(count(&path, "SELECT count(*) FROM removals").await, 0);
    assert_eq!(forget_events(&store).await, 1);
    let conversation = seed(&store, &ada()).await;
    store.apply(&ada(), Change::new().with(ConversationOp::Delete { id: conversation })).await.unwrap();
    assert_eq!(count(&path, "SELECT count(*) FROM messages").await, 0, "deleting answers when it is done, too");
    assert_eq!(operator(&store).check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_in_the_middle_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    seed(&store, &ada()).await;
    let forgetting = store.clone();
    let task = tokio::spawn(async move { forgetting.apply(&ada(), forget()).await });
    while !has_nothing(&store).await {}
    let admin = operator(&store);
    let id = place_hold(&store).await;
    let refused = task.await.unwrap().unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::LegalHold);
    assert!(refused.context().contains("hidden"), "{refused}");
    let left = count(&path, "SELECT count(*) FROM message_terms").await;
    assert!(left > 0 && has_nothing(&store).await && forget_events(&store).await == 0);
    let again = LibsqlStore::open(&path).await.unwrap();
    assert_eq!(count(&path, "SELECT count(*) FROM message_terms").await, left, "nothing goes while it stands");
    again.close().await.unwrap();
    admin.apply_system(SystemChange::ReleaseHold { id }).await.unwrap();
    settled(&store).await;
    assert_eq!(forget_events(&store).await, 1);
    store.close().await.unwrap();
}

/// A hold on the user, placed now.
async fn place_hold(store: &LibsqlStore) -> HoldId {
    let (id, owner) = (HoldId::make(&SystemClock), UserId::parse("ada").unwrap());
    let (tenant, reason, created_at) = (TenantId::default_tenant(), "court".to_owned(), SystemClock.now());
    let hold = Hold::new(id, tenant, owner, reason, created_at);
    operator(store).apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_in_the_middle_of_deleting_a_conversation_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    let id = seed(&store, &ada()).await;
    let key = IdempotencyKey::parse("once").unwrap();
    let delete = Change::new().with(ConversationOp::Delete { id }).idempotent(key);
    let (deleting, change) = (store.clone(), delete.clone());
    let task = tokio::spawn(async move { deleting.apply(&ada(), change).await });
    while !has_nothing(&store).await {}
    let hold = place_hold(&store).await;
    // Asked again under its key it is told again.
    for refused in [task.await.unwrap(), store.apply(&ada(), delete.clone()).await] {
        let refused = refused.unwrap_err();
        assert_eq!(*refused.kind(), StoreErrorKind::LegalHold);
        assert!(refused.context().contains("hidden"), "{refused}");
    }
    assert!(count(&path, "SELECT count(*) FROM messages").await > 0);
    operator(&store).apply_system(SystemChange::ReleaseHold { id: hold }).await.unwrap();
    assert!(store.apply(&ada(), delete).await.unwrap().replayed);
    assert_eq!(count(&path, "SELECT count(*) FROM messages").await, 0);
    store.close().await.unwrap();
}

/// Not a test of its own: a process that has the file open, and is asked to go on.
#[tokio::test(flavor = "multi_thread")]
async fn child_goes_on() {
    let Some(path) = Process::asked("child_goes_on") else {
        return;
    };
    let store = LibsqlStore::open(path).await.unwrap();
    println!("open");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    // Whatever deletes looks for what others left.
    let nothing = ConversationOp::Delete { id: ConversationId::make(&SystemClock) };
    store.apply(&ada(), Change::new().with(nothing)).await.unwrap();
    settled(&store).await;
    assert_eq!(forget_events(&store).await, 1);
    store.close().await.unwrap();
    println!("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let store = LibsqlStore::open(&path).await.unwrap();
    seed(&store, &ada()).await;
    let mut child = Process::start("child_goes_on", &path);
    child.line("open");
    let forgetting = store.clone();
    let task = tokio::spawn(async move { forgetting.apply(&ada(), forget()).await });
    while !has_nothing(&store).await {}
    child.tell("go on");
    // Both take steps for a while.
    tokio::time::sleep(Duration::from_millis(50)).await;
    task.abort();
    store.close().await.unwrap();
    child.expect("removed");
    assert_eq!(count(&path, "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM removals)").await, 0);
}

/// A small disk of memory, where the machine lets us make one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                eprintln!("ignored: mounting a small disk needs rights; run this test as root to have it");
                None
            }
        }
    }

    fn fill(&self) {
        let ballast = vec![7; 1 << 20];
        let mut file = std::fs::File::create(self.0.path().join("ballast")).unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            while std::io::Write::write_all(&mut file, &ballast[..size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Writes until the disk is full.
async fn write_until_full(store: &LibsqlStore, scope: &Scope) {
    let conversation = ConversationId::make(&SystemClock);
    let mut next = ConversationOp::Create { id: conversation, title: "Full".into() };
    for number in 0..100_000_u64 {
        match store.apply(scope, Change::new().with(next)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(*error.kind(), StoreErrorKind::Full, "{error}");
                return;
            }
        }
        let text: String = (0..400).map(|word| format!("w{:x} ", (number + 7) * 0x9e37_79b9 * (word + 3))).collect();
        let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, &text);
        next = ConversationOp::AppendMessage { conversation, message };
    }
    panic!("the disk is not full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_a_way_out() {
    let Some(disk) = Disk::mount("24m") else {
        return;
    };
    let path = disk.0.path().join("agent.db");
    let bob = Scope::user("bob").unwrap();
    for round in 0..3 {
        let store = LibsqlStore::open(&path).await.unwrap();
        write_until_full(&store, &ada()).await;
        disk.fill();
        write_until_full(&store, &bob).await;
        match round {
            0 => {
                let all = store.conversations().conversations(&ada(), &PageRequest::default()).await.unwrap().items;
                for conversation in all {
                    let delete = ConversationOp::Delete { id: conversation.id };
                    store.apply(&ada(), Change::new().with(delete)).await.unwrap();
                }
            }
            1 => drop(store.apply(&ada(), forget()).await.unwrap()),
            _ => drop(operator(&store).apply_system(erasure()).await.unwrap()),
        }
        operator(&store).verify_audit().await.unwrap();
        store.close().await.unwrap();
        let orphans = "SELECT count(*) FROM message_terms t WHERE NOT EXISTS (SELECT 1 FROM messages m \
                       WHERE m.message_no = t.message_no AND m.owner_no = t.owner_no)";
        assert_eq!(count(&path, orphans).await, 0, "round {round}");
        assert_eq!(count(&path, "SELECT count(*) FROM removals").await, 0, "round {round}");
        let reserve = std::fs::metadata(disk.0.path().join("agent.db-reserve")).unwrap().len();
        assert!(reserve >= 4 << 20, "it is there again: {reserve} bytes in round {round}");
        // Once there is room, everything may be written again.
        std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
        let store = LibsqlStore::open(&path).await.unwrap();
        let id = ConversationId::make(&SystemClock);
        store.apply(&bob, Change::new().with(ConversationOp::Create { id, title: "Room".into() })).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reserve_a_full_disk_stays_full() {
    let Some(disk) = Disk::mount("8m") else {
        return;
    };
    let store = LibsqlStore::builder().reserve_bytes(0).open(disk.0.path().join("agent.db")).await.unwrap();
    write_until_full(&store, &ada()).await;
    disk.fill();
    let refused = store.apply(&ada(), forget()).await.unwrap_err();
    assert_eq!(*refused.kind(), StoreErrorKind::Full);
    assert!(!disk.0.path().join("agent.db-reserve").exists());
    // Closing moves the log into the file, which can't be done here.
    let _ = store.close().await;
}

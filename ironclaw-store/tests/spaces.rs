//! Spaces that move, and whose clocks go back.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ironclaw_core::Maintenance;
use ironclaw_core::change::{ConversationOp, SettingOp};
use ironclaw_core::id::{ConversationId, ErasureId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::prelude::*;
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::{ManualClock, Owner};
use ironclaw_store::{Copied, LibsqlStore, Selection, copy_store};
use tokio::runtime::Handle;

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

fn team(name: &str) -> Scope {
    user(name).in_space("team").unwrap()
}

async fn put(store: &LibsqlStore, scope: &Scope) {
    let change = Change::new().with(SettingOp::Put { key: "a".parse().unwrap(), value: 1.into() });
    store.apply(scope, change).await.unwrap();
}

/// A store where Ada and Bob share a space, in which both did something, and Eve was invited.
async fn shared() -> LibsqlStore {
    let store = LibsqlStore::in_memory().await.unwrap();
    store.create_space(&team("ada")).await.unwrap();
    store.put_member(&team("ada"), "bob", SpaceRole::Manager).await.unwrap();
    store.put_member(&team("ada"), "eve", SpaceRole::Reader).await.unwrap();
    put(&store, &team("bob")).await;
    put(&store, &user("bob")).await;
    store
}

async fn copy(from: &LibsqlStore, to: &LibsqlStore, what: &Selection) -> Result<Copied, StoreErrorKind> {
    let (from, to) = (from.maintenance_by("olga").unwrap(), to.maintenance_by("olga").unwrap());
    copy_store(&from, &to, what, |_| {}).await.map_err(|error| error.kind().clone())
}

fn only(scope: &Scope) -> Selection {
    Selection::User { tenant: scope.tenant().clone(), owner: scope.owner().clone() }
}

async fn erase(store: &LibsqlStore, scope: &Scope) {
    let (tenant, owner, id) = (scope.tenant().clone(), scope.owner().clone(), ErasureId::make(&SystemClock));
    let erase = SystemChange::EraseUser { tenant, owner, id };
    store.maintenance_by("olga").unwrap().apply_system(erase).await.unwrap();
}

async fn is_whole(store: &LibsqlStore) {
    let maintenance = store.maintenance_by("olga").unwrap();
    maintenance.verify_audit().await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_takes_its_spaces_along() {
    let (from, to) = (shared().await, LibsqlStore::in_memory().await.unwrap());
    copy(&from, &to, &Selection::Everything).await.unwrap();
    is_whole(&to).await;
    put(&to, &team("bob")).await;
    erase(&to, &user("bob")).await;
    is_whole(&to).await;
    let names = to.access().members(&team("ada"), None, &PageRequest::default()).await.unwrap().items;
    assert_eq!(names.iter().map(|member| member.user.as_str()).collect::<Vec<_>>(), ["ada", "eve"]);
}

#[tokio::test]
async fn a_space_comes_after_its_members() {
    let (from, to) = (shared().await, LibsqlStore::in_memory().await.unwrap());
    let space = only(&team("ada"));
    assert_eq!(copy(&from, &to, &space).await.unwrap_err(), StoreErrorKind::Conflict);
    copy(&from, &to, &only(&user("ada"))).await.unwrap();
    assert_eq!(copy(&from, &to, &space).await.unwrap_err(), StoreErrorKind::Conflict);
    copy(&from, &to, &only(&user("bob"))).await.unwrap();
    copy(&from, &to, &space).await.unwrap();
    is_whole(&to).await;
    put(&to, &team("bob")).await;
}

#[tokio::test]
async fn nobody_comes_back_by_a_space_or_is_taken_for_a_member() {
    let (from, to) = (shared().await, LibsqlStore::in_memory().await.unwrap());
    for name in ["ada", "bob"] {
        copy(&from, &to, &only(&user(name))).await.unwrap();
    }
    erase(&to, &user("bob")).await;
    assert_eq!(copy(&from, &to, &only(&team("ada"))).await.unwrap_err(), StoreErrorKind::Conflict);
    assert!(to.access().spaces(&user("bob"), &PageRequest::default()).await.unwrap().items.is_empty());
    is_whole(&to).await;
    // Others of the names of members: of Bob, who wrote something, and of Eve, who never did.
    for other in ["bob", "eve"] {
        let to = LibsqlStore::in_memory().await.unwrap();
        put(&to, &user(other)).await;
        for name in ["ada", "bob"] {
            let _ = copy(&from, &to, &only(&user(name))).await;
        }
        assert!(copy(&from, &to, &only(&team("ada"))).await.is_err(), "{other}");
        assert!(to.access().spaces(&user(other), &PageRequest::default()).await.unwrap().items.is_empty());
    }
}

/// The places in the files of a store where a name is.
fn files_with(folder: &Path, name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let has = |path: &PathBuf| std::fs::read(path).unwrap().windows(name.len()).any(|part| part == name.as_bytes());
    files.filter(has).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_while_a_space_moves_is_not_in_it() {
    // One who did something in the space, and one who is only named as a member.
    for name in ["needle-acted", "needle-named"] {
        let from = shared().await;
        from.put_member(&team("ada"), name, SpaceRole::Manager).await.unwrap();
        put(&from, &user(name)).await;
        if name == "needle-acted" {
            put(&from, &team(name)).await;
        }
        let mut step = 0;
        while erased_at(&from, name, step).await {
            step += 1;
        }
        assert!(step > 4, "{name} was erased at {step} steps");
    }
}

/// Copies a space, while at a step of the copy one of its members is erased in the target. Whether there was such a step.
async fn erased_at(from: &LibsqlStore, name: &str, step: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let to = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap();
    for member in ["ada", "bob", name] {
        copy(from, &to, &only(&user(member))).await.unwrap();
    }
    let mut steps = 0;
    let erase_at = |_| {
        if steps == step {
            tokio::task::block_in_place(|| Handle::current().block_on(erase(&to, &user(name))));
        }
        steps += 1;
    };
    let (source, target) = (from.maintenance_by("olga").unwrap(), to.maintenance_by("olga").unwrap());
    let copied = copy_store(&source, &target, &only(&team("ada")), erase_at).await;
    if steps <= step {
        copied.unwrap();
        return false;
    }
    // The last step is after the copy.
    assert!(copied.is_ok() || copied.is_err_and(|error| *error.kind() == StoreErrorKind::Conflict));
    is_whole(&to).await;
    target.scrub().await.unwrap();
    to.close().await.unwrap();
    assert_eq!(files_with(folder.path(), name), Vec::<PathBuf>::new(), "erased at step {step}");
    true
}

/// A copy of a space that is broken off after one of its members was erased in the target.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_erased_stays_in_a_copy_that_is_broken_off() {
    let (from, name) = (shared().await, "needle-3f9a");
    from.put_member(&team("ada"), name, SpaceRole::Manager).await.unwrap();
    put(&from, &user(name)).await;
    put(&from, &team(name)).await;
    for last in 1..4 {
        let folder = tempfile::tempdir().unwrap();
        let to = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap();
        for member in ["ada", "bob", name] {
            copy(&from, &to, &only(&user(member))).await.unwrap();
        }
        let (source, target) = (from.maintenance_by("olga").unwrap(), to.maintenance_by("olga").unwrap());
        let (sender, broken_off) = tokio::sync::oneshot::channel();
        let (mut steps, mut sender) = (0, Some(sender));
        let step = |_| {
            if steps == 0 {
                tokio::task::block_in_place(|| Handle::current().block_on(erase(&to, &user(name))));
            }
            steps += 1;
            if steps == last {
                sender.take().unwrap().send(()).unwrap();
            }
        };
        let space = only(&team("ada"));
        tokio::select! {
            biased;
            _ = broken_off => {}
            copied = copy_store(&source, &target, &space, step) => drop(copied.unwrap_err()),
        }
        target.scrub().await.unwrap();
        to.close().await.unwrap();
        assert_eq!(files_with(folder.path(), name), Vec::<PathBuf>::new(), "broken off after {last} steps");
    }
}

/// What is removed from the file from now on stays as its first transaction leaves it, as if it were a great deal more.
async fn freeze(path: &Path) {
    let other = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    let sql = "CREATE TRIGGER freeze AFTER INSERT ON removals BEGIN INSERT INTO holds (id, owner_no, reason, created_at) \
               VALUES (randomblob(16), NEW.owner_no, 'frozen', 1); END";
    other.execute(sql, ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_copied_that_is_being_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let from = LibsqlStore::open(&path).await.unwrap();
    from.create_space(&team("ada")).await.unwrap();
    from.put_member(&team("ada"), "bob", SpaceRole::Manager).await.unwrap();
    put(&from, &team("bob")).await;
    for _ in 0..3 {
        let change = (0..400).fold(Change::new(), |change, _| {
            let id = ConversationId::make(&SystemClock);
            change.with(ConversationOp::Create { id, title: "t".into() })
        });
        from.apply(&user("bob"), change).await.unwrap();
    }
    freeze(&path).await;
    let erasing = from.clone();
    let erasing = tokio::spawn(async move { erase(&erasing, &user("bob")).await });
    let operator = from.maintenance_by("olga").unwrap();
    while !operator.check_integrity().await.unwrap().iter().any(|found| found.starts_with("removals")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let to = LibsqlStore::in_memory().await.unwrap();
    assert_eq!(copy(&from, &to, &Selection::Everything).await.unwrap_err(), StoreErrorKind::Busy);
    // Nor does whoever has nothing of it wait for it.
    copy(&from, &LibsqlStore::in_memory().await.unwrap(), &only(&user("ada"))).await.unwrap();
    erasing.abort();
}

#[tokio::test]
async fn memberships_never_end_before_they_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let clock = |seconds: i64| Arc::new(ManualClock::at(Timestamp::from_micros(seconds * 1_000_000)));
    for (at, role) in [(1_000, None), (900, Some(SpaceRole::Writer)), (800, Some(SpaceRole::Reader))] {
        let store = LibsqlStore::builder().clock(clock(at)).open(&path).await.unwrap();
        match role {
            None => drop(store.create_space(&team("ada")).await.unwrap()),
            Some(role) => drop(store.put_member(&team("ada"), "bob", role).await.unwrap()),
        }
        store.close().await.unwrap();
    }
    let store = LibsqlStore::builder().clock(clock(700)).open(&path).await.unwrap();
    assert!(store.remove_member(&team("ada"), "bob").await.unwrap());
    let members = store.access().members(&team("ada"), None, &PageRequest::default()).await.unwrap().items;
    let of_bob: Vec<_> = members.iter().filter(|member| member.user.as_str() == "bob").collect();
    assert_eq!(of_bob.len(), 2);
    assert!(of_bob.iter().all(|member| member.valid_until.is_some_and(|until| until >= member.valid_from)));
    assert!(of_bob[0].valid_until.unwrap() <= of_bob[1].valid_from);
    is_whole(&store).await;
    let owner = Owner::from_key("\u{1}team").unwrap();
    assert_eq!(owner, *team("ada").owner());
    tokio::time::timeout(Duration::from_secs(60), store.close()).await.unwrap().unwrap();
}

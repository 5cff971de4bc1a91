//! Secrets of a user who moved to another store open there, with the same key source.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use fixture::{Fixture, another_key, key, kind, operator, put, reveal, user};
use ironclaw_core::vault::VaultErrorKind;
use ironclaw_store::{LibsqlStore, Selection, copy_store};
use ironclaw_vault::EnvelopeVault;

#[tokio::test]
async fn they_open_in_the_new_store() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    put(&f.vault, &ada, "a", "old").await;
    put(&f.vault, &ada, "a", "new").await;
    put(&f.vault, &bob, "a", "bob's").await;
    let folder = tempfile::tempdir().unwrap();
    let new = LibsqlStore::open(folder.path().join("agent.db")).await.unwrap();
    let what = Selection::User { tenant: ada.tenant().clone(), owner: ada.owner().clone() };
    copy_store(&f.store.maintenance(operator()), &new.maintenance(operator()), &what, |_| {}).await.unwrap();

    assert_eq!(kind(EnvelopeVault::open(new.clone(), another_key()).await), VaultErrorKind::KeySource);
    let vault = EnvelopeVault::open(new.clone(), key()).await.unwrap();
    assert_eq!(reveal(&vault, &ada, "a").await, "new");
    // Both go on from there, each with its own.
    put(&vault, &ada, "a", "newer").await;
    put(&vault, &bob, "a", "another").await;
    assert_eq!(reveal(&vault, &ada, "a").await, "newer");
    assert_eq!(reveal(&f.vault, &ada, "a").await, "new");
    // A second user of the same vault follows.
    let what = Selection::User { tenant: bob.tenant().clone(), owner: bob.owner().clone() };
    let taken = copy_store(&f.store.maintenance(operator()), &new.maintenance(operator()), &what, |_| {}).await;
    assert!(taken.is_err(), "the new store has a bob of its own");
    let eve = user("eve");
    put(&f.vault, &eve, "a", "eve's").await;
    let what = Selection::User { tenant: eve.tenant().clone(), owner: eve.owner().clone() };
    copy_store(&f.store.maintenance(operator()), &new.maintenance(operator()), &what, |_| {}).await.unwrap();
    assert_eq!(reveal(&vault, &eve, "a").await, "eve's");
}

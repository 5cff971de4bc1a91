//! Making, opening and closing, on the real store.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use std::sync::Arc;

use fixture::{Fixture, another_key, key, kind, name, operator, put, reveal, user};
use ironclaw_core::id::{RootKeyWrapId, TenantId};
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::secrets::{RootKeyWrap, VaultHeader};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::vault::{KeyError, KeyErrorKind, SecretOptions, Vault, VaultError, VaultErrorKind};
use ironclaw_core::{PageRequest, Scope, SecretValue, Store, SystemClock, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, KeyFile, Passphrase, PassphraseCost, VaultOptions};

/// Why the key source of a vault failed.
fn key_error(error: &VaultError) -> KeyErrorKind {
    assert_eq!(error.kind(), &VaultErrorKind::KeySource);
    error.cause().unwrap().downcast_ref::<KeyError>().unwrap().kind().clone()
}

fn passphrase(text: &str) -> Passphrase {
    let cost = PassphraseCost::new(8 << 10, 1, 1).unwrap();
    Passphrase::new(SecretValue::from(text)).unwrap().cost(cost)
}

#[tokio::test]
async fn init_makes_open_opens() {
    let directory = tempfile::tempdir().unwrap();
    let file = KeyFile::at(directory.path().join("agent.key"));
    let store = LibsqlStore::in_memory().await.unwrap();
    assert!(!EnvelopeVault::is_initialised(&store).await.unwrap());
    assert_eq!(kind(EnvelopeVault::open(store.clone(), &file).await), VaultErrorKind::NotInitialised);
    assert!(!file.path().exists());

    EnvelopeVault::init(&store, &store.maintenance(operator()), &file).await.unwrap();
    assert!(EnvelopeVault::is_initialised(&store).await.unwrap());
    let vault = EnvelopeVault::open(store.clone(), &file).await.unwrap();
    put(&vault, &user("ada"), "s", "one").await;

    let again = EnvelopeVault::init(&store, &store.maintenance(operator()), &file).await;
    assert_eq!(kind(again), VaultErrorKind::AlreadyInitialised);
    assert_eq!(reveal(&vault, &user("ada"), "s").await, "one");
}

#[tokio::test]
async fn a_second_init_makes_no_key() {
    let f = Fixture::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = KeyFile::at(directory.path().join("agent.key"));
    let again = EnvelopeVault::init(&f.store, &f.store.maintenance(operator()), &file).await;
    assert_eq!(kind(again), VaultErrorKind::AlreadyInitialised);
    assert!(!file.path().exists());
}

#[tokio::test]
async fn of_many_inits_at_once_one_makes_the_vault() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { EnvelopeVault::init(&store, &store.maintenance(operator()), key()).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => made += 1,
            Err(error) => assert_eq!(error.kind(), &VaultErrorKind::AlreadyInitialised),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(store.secrets().root_key_wraps(&TenantId::default_tenant()).await.unwrap().len(), 1);
    EnvelopeVault::open(store, key()).await.unwrap();
}

#[tokio::test]
async fn making_a_vault_is_audited_under_the_operators_name() {
    let f = Fixture::new().await;
    let events = f.store.maintenance(operator()).system_events(&PageRequest::default()).await.unwrap();
    assert_eq!(events.items[0].event.action.name(), "system.init_vault");
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_found_at_open_and_none_is_made() {
    let f = Fixture::new().await;
    let wrong = EnvelopeVault::open(f.store.clone(), another_key()).await.unwrap_err();
    assert_eq!(key_error(&wrong), KeyErrorKind::WrongKey);
    let other_kind = EnvelopeVault::open(f.store.clone(), passphrase("x")).await.unwrap_err();
    assert_eq!(key_error(&other_kind), KeyErrorKind::WrongKey);
    assert!(other_kind.cause().unwrap().to_string().contains("only: environment"));

    let directory = tempfile::tempdir().unwrap();
    let store = LibsqlStore::in_memory().await.unwrap();
    let file = KeyFile::at(directory.path().join("agent.key"));
    EnvelopeVault::init(&store, &store.maintenance(operator()), &file).await.unwrap();
    let elsewhere = KeyFile::at(directory.path().join("elsewhere.key"));
    let missing = EnvelopeVault::open(store, &elsewhere).await.unwrap_err();
    assert_eq!(key_error(&missing), KeyErrorKind::Missing);
    assert!(!elsewhere.path().exists());
}

#[tokio::test]
async fn a_passphrase_opens_and_another_does_not() {
    let store = LibsqlStore::in_memory().await.unwrap();
    EnvelopeVault::init(&store, &store.maintenance(operator()), passphrase("correct horse")).await.unwrap();
    let vault = EnvelopeVault::open(store.clone(), passphrase("correct horse")).await.unwrap();
    put(&vault, &user("ada"), "s", "one").await;
    let wrong = EnvelopeVault::open(store, passphrase("correct horsf")).await.unwrap_err();
    assert_eq!(key_error(&wrong), KeyErrorKind::WrongKey);
}

#[tokio::test]
async fn of_several_wrappings_of_a_kind_the_right_one_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (KeyFile::at(directory.path().join("1")), KeyFile::at(directory.path().join("2")));
    let store = LibsqlStore::in_memory().await.unwrap();
    EnvelopeVault::init(&store, &store.maintenance(operator()), &one).await.unwrap();
    // A second wrapping that `one` does not open, with a lower and with a higher id.
    let other = LibsqlStore::in_memory().await.unwrap();
    EnvelopeVault::init(&other, &other.maintenance(operator()), &two).await.unwrap();
    let tenant = TenantId::default_tenant();
    let wrapped = other.secrets().root_key_wraps(&tenant).await.unwrap().remove(0);
    for id in [RootKeyWrapId::from_bytes([0; 16]), RootKeyWrapId::make(&SystemClock)] {
        let mut wrap = wrapped.clone();
        wrap.id = id;
        let change = SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap };
        store.maintenance(operator()).apply_system(change).await.unwrap();
    }
    EnvelopeVault::open(store.clone(), &one).await.unwrap();
    assert_eq!(key_error(&EnvelopeVault::open(store, &two).await.unwrap_err()), KeyErrorKind::WrongKey);
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("agent.db"), KeyFile::at(directory.path().join("agent.key")));
    let ada = user("ada");
    let store = LibsqlStore::open(&path).await.unwrap();
    EnvelopeVault::init(&store, &store.maintenance(operator()), &file).await.unwrap();
    let vault = EnvelopeVault::open(store.clone(), &file).await.unwrap();
    put(&vault, &ada, "s", "one").await;
    vault.close().await;
    store.close().await.unwrap();
    drop((vault, store));

    let store = LibsqlStore::open(&path).await.unwrap();
    let vault = EnvelopeVault::open(store, &file).await.unwrap();
    assert_eq!(reveal(&vault, &ada, "s").await, "one");
    assert_eq!(put(&vault, &ada, "s", "two").await, 2);
}

#[tokio::test]
async fn closed_is_closed_for_every_clone() {
    let f = Fixture::new().await;
    let (ada, s) = (user("ada"), name("s"));
    put(&f.vault, &ada, "s", "one").await;
    f.vault.clone().close().await;
    f.vault.close().await;
    let page = PageRequest::default();
    assert_eq!(kind(f.vault.reveal(&ada, &s, None).await), VaultErrorKind::Closed);
    assert_eq!(
        kind(f.vault.put(&ada, &s, fixture::value("x"), SecretOptions::default()).await),
        VaultErrorKind::Closed
    );
    assert_eq!(kind(f.vault.describe(&ada, &s).await), VaultErrorKind::Closed);
    assert_eq!(kind(f.vault.list(&ada, &page).await), VaultErrorKind::Closed);
    assert_eq!(kind(f.vault.versions(&ada, &s).await), VaultErrorKind::Closed);
    assert_eq!(kind(f.vault.delete(&ada, &s).await), VaultErrorKind::Closed);
    let vault = EnvelopeVault::open(f.store.clone(), key()).await.unwrap();
    assert_eq!(reveal(&vault, &ada, "s").await, "one");
}

#[tokio::test]
async fn a_closed_store_is_told() {
    let f = Fixture::new().await;
    f.store.close().await.unwrap();
    assert_eq!(kind(f.vault.reveal(&user("ada"), &name("s"), None).await), VaultErrorKind::Store);
    assert_eq!(kind(EnvelopeVault::open(f.store.clone(), key()).await), VaultErrorKind::Store);
    assert_eq!(kind(EnvelopeVault::is_initialised(&f.store).await), VaultErrorKind::Store);
}

#[tokio::test]
async fn tenants_have_vaults_of_their_own() {
    let f = Fixture::new().await;
    let acme = TenantId::parse("acme").unwrap();
    let options = VaultOptions::new().tenant(&acme).unwrap();
    assert_eq!(kind(options.clone().open(f.store.clone(), key()).await), VaultErrorKind::NotInitialised);
    options.init(&f.store, &f.store.maintenance(operator()), another_key()).await.unwrap();
    let vault = options.clone().open(f.store.clone(), another_key()).await.unwrap();
    assert_eq!(key_error(&options.open(f.store.clone(), key()).await.unwrap_err()), KeyErrorKind::WrongKey);
    assert_ne!(vault.id(), f.vault.id());

    let ada = user("ada");
    let other_ada = Scope::tenant_user(acme.clone(), "ada").unwrap();
    put(&f.vault, &ada, "s", "default's").await;
    assert_eq!(kind(vault.reveal(&other_ada, &name("s"), None).await), VaultErrorKind::NotFound);
    put(&vault, &other_ada, "s", "acme's").await;
    assert_eq!(reveal(&f.vault, &ada, "s").await, "default's");
    assert_eq!(reveal(&vault, &other_ada, "s").await, "acme's");
    assert_eq!(kind(vault.reveal(&ada, &name("s"), None).await), VaultErrorKind::InvalidInput);
    assert_eq!(kind(f.vault.list(&other_ada, &PageRequest::default()).await), VaultErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_root_key_does_not_open_in_another_tenant() {
    let f = Fixture::new().await;
    let (default, acme) = (TenantId::default_tenant(), TenantId::parse("acme").unwrap());
    let header = f.store.secrets().vault(&default).await.unwrap().unwrap();
    let mut wrap = f.store.secrets().root_key_wraps(&default).await.unwrap().remove(0);
    wrap.id = RootKeyWrapId::make(&SystemClock);
    let store = LibsqlStore::in_memory().await.unwrap();
    let maintenance = store.maintenance(operator());
    let init = |tenant: &TenantId, wrap: RootKeyWrap| {
        maintenance.apply_system(SystemChange::InitVault { tenant: tenant.clone(), header: header.clone(), wrap })
    };
    init(&acme, wrap.clone()).await.unwrap();
    let moved = VaultOptions::new().tenant(acme).unwrap().open(store.clone(), key()).await.unwrap_err();
    assert_eq!(key_error(&moved), KeyErrorKind::WrongKey);
    wrap.id = RootKeyWrapId::make(&SystemClock);
    init(&default, wrap).await.unwrap();
    EnvelopeVault::open(store, key()).await.unwrap();
}

#[tokio::test]
async fn a_newer_format_is_told_from_a_wrong_key() {
    let f = Fixture::new().await;
    let tenant = TenantId::default_tenant();
    let mut header = f.store.secrets().vault(&tenant).await.unwrap().unwrap();
    let wrap = f.store.secrets().root_key_wraps(&tenant).await.unwrap().remove(0);
    header.format = 2;
    let store = LibsqlStore::in_memory().await.unwrap();
    store.maintenance(operator()).apply_system(SystemChange::InitVault { tenant, header, wrap }).await.unwrap();
    assert_eq!(kind(EnvelopeVault::open(store, key()).await), VaultErrorKind::UnsupportedFormat);
}

#[tokio::test]
async fn shared_stores_and_sources_do_as_well() {
    let store: Arc<dyn Store> = Arc::new(Fixture::new().await.store);
    let source: Box<dyn ironclaw_core::KeySource> = Box::new(key());
    let vault: Arc<dyn Vault> = Arc::new(EnvelopeVault::open(store, &*source).await.unwrap());
    put(&*vault, &user("ada"), "s", "one").await;
}

#[tokio::test]
async fn a_wrapping_that_does_not_open_hides_no_other() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let (maintenance, tenant) = (store.maintenance(operator()), TenantId::default_tenant());
    EnvelopeVault::init(&store, &maintenance, key()).await.unwrap();
    let good = store.secrets().root_key_wraps(&tenant).await.unwrap().remove(0);
    let mut older = vec![good.clone()];
    for spoil in [
        |wrap: &mut RootKeyWrap| wrap.wrapped.format = 9,
        |wrap: &mut RootKeyWrap| wrap.wrapped.parameters.clear(),
        |wrap: &mut RootKeyWrap| wrap.wrapped.ciphertext[0] ^= 1,
        |wrap: &mut RootKeyWrap| wrap.wrapped.ciphertext.clear(),
    ] {
        let mut bad = good.clone();
        bad.id = RootKeyWrapId::make(&SystemClock);
        spoil(&mut bad);
        maintenance
            .apply_system(SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap: bad.clone() })
            .await
            .unwrap();
        older.push(bad);
    }
    // The good one last: it is put there anew.
    let mut last = good.clone();
    last.id = RootKeyWrapId::make(&SystemClock);
    maintenance
        .apply_system(SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap: last.clone() })
        .await
        .unwrap();
    maintenance.apply_system(SystemChange::RemoveRootKeyWrap { tenant: tenant.clone(), id: good.id }).await.unwrap();
    EnvelopeVault::open(store.clone(), key()).await.unwrap();

    // With none that opens, each is named.
    let error = EnvelopeVault::open(store.clone(), another_key()).await.unwrap_err();
    assert_eq!(key_error(&error), KeyErrorKind::WrongKey);
    for wrap in older[1..].iter().chain([&last]) {
        assert!(error.to_string().contains(&wrap.id.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_vault_has_so_many_wrappings_at_most() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let (maintenance, tenant) = (store.maintenance(operator()), TenantId::default_tenant());
    EnvelopeVault::init(&store, &maintenance, key()).await.unwrap();
    let first = store.secrets().root_key_wraps(&tenant).await.unwrap().remove(0);
    let another = || {
        let mut wrap = first.clone();
        wrap.id = RootKeyWrapId::make(&SystemClock);
        maintenance.apply_system(SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap })
    };
    for _ in 1..VaultHeader::WRAPS {
        another().await.unwrap();
    }
    assert_eq!(*another().await.unwrap_err().kind(), StoreErrorKind::Conflict);
}

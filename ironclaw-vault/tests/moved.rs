//! Ciphertext that was moved or changed does not open, and says no more than that.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use fixture::{Fixture, key, kind, name, operator, put, reveal, user};
use ironclaw_core::change::SecretOp;
use ironclaw_core::id::DataKeyId;
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::audit::{Action, Outcome};
use ironclaw_core::model::secrets::{Algorithm, DataKey, PutSecret, Sealed};
use ironclaw_core::store::Apply;
use ironclaw_core::vault::{SecretOptions, Vault, VaultErrorKind};
use ironclaw_core::{Change, Scope, SystemClock, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::EnvelopeVault;

async fn sealed(store: &LibsqlStore, scope: &Scope, secret: &str, number: u32) -> Sealed {
    store.secrets().secret_version(scope, &name(secret), Some(number)).await.unwrap().unwrap().sealed
}

/// Puts a sealed value where it may not belong, as whoever can write the database could.
async fn plant(store: &LibsqlStore, scope: &Scope, secret: &str, sealed: Sealed) {
    let number = store.secrets().next_secret_version(scope, &name(secret)).await.unwrap();
    let (name, provider, bindings, expires_at) = (name(secret), None, Vec::new(), None);
    let secret =
        Box::new(PutSecret::new(name, number, sealed).provider(provider).bindings(bindings).expires_at(expires_at));
    store.apply(scope, Change::new().with(SecretOp::Put { secret })).await.unwrap();
}

async fn plant_key(store: &LibsqlStore, scope: &Scope, key: DataKey) {
    let DataKey { id, number, root_key, wrapped, .. } = key;
    store.apply(scope, Change::new().with(SecretOp::PutDataKey { id, number, root_key, wrapped })).await.unwrap();
}

/// Neither this vault nor one without anything in memory opens the newest version.
async fn assert_closed(f: &Fixture, scope: &Scope, secret: &str) {
    let fresh = EnvelopeVault::open(f.store.clone(), key()).await.unwrap();
    for vault in [&f.vault, &fresh] {
        let error = vault.reveal(scope, &name(secret), None).await.unwrap_err();
        assert_eq!(error.kind(), &VaultErrorKind::Decryption);
        assert_eq!((error.to_string().as_str(), error.cause().is_none()), ("reveal: decryption failed", true));
    }
    assert_eq!(f.trail(scope).await.last(), Some(&(Action::SecretUse, Outcome::Failed)));
    assert_eq!(f.store.secrets().secret(scope, &name(secret)).await.unwrap().unwrap().usage_count, 0);
}

#[tokio::test]
async fn to_another_name() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "a", "one").await;
    plant(&f.store, &ada, "b", sealed(&f.store, &ada, "a", 1).await).await;
    assert_closed(&f, &ada, "b").await;
    assert_eq!(reveal(&f.vault, &ada, "a").await, "one");
}

#[tokio::test]
async fn to_another_version() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "a", "one").await;
    plant(&f.store, &ada, "a", sealed(&f.store, &ada, "a", 1).await).await;
    assert_closed(&f, &ada, "a").await;
    f.vault.reveal(&ada, &name("a"), Some(1)).await.unwrap();
}

#[tokio::test]
async fn to_another_user_with_the_data_key() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    put(&f.vault, &ada, "a", "one").await;
    // Under its own id, which this vault has in memory for ada.
    plant_key(&f.store, &bob, f.store.secrets().newest_data_key(&ada).await.unwrap().unwrap()).await;
    plant(&f.store, &bob, "a", sealed(&f.store, &ada, "a", 1).await).await;
    assert_closed(&f, &bob, "a").await;
    // Nor is anything sealed under a key that is not bob's.
    let put = f.vault.put(&bob, &name("b"), fixture::value("two"), SecretOptions::default()).await;
    assert_eq!(kind(put), VaultErrorKind::Decryption);
}

#[tokio::test]
async fn to_another_user_who_has_a_data_key() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    put(&f.vault, &ada, "a", "one").await;
    put(&f.vault, &bob, "b", "two").await;
    let data_key = f.store.secrets().newest_data_key(&bob).await.unwrap().unwrap().id;
    let mut moved = sealed(&f.store, &ada, "a", 1).await;
    moved.data_key = data_key;
    plant(&f.store, &bob, "a", moved).await;
    assert_closed(&f, &bob, "a").await;
    assert_eq!(reveal(&f.vault, &bob, "b").await, "two");
}

#[tokio::test]
async fn to_another_vault_under_the_same_key() {
    let (from, to) = (Fixture::new().await, Fixture::new().await);
    let ada = user("ada");
    put(&from.vault, &ada, "a", "one").await;
    plant_key(&to.store, &ada, from.store.secrets().newest_data_key(&ada).await.unwrap().unwrap()).await;
    plant(&to.store, &ada, "a", sealed(&from.store, &ada, "a", 1).await).await;
    assert_closed(&to, &ada, "a").await;
}

/// The counterpart of those above: with all that belongs to it, a value does open elsewhere.
#[tokio::test]
async fn a_whole_vault_can_be_copied() {
    let (from, ada) = (Fixture::new().await, user("ada"));
    put(&from.vault, &ada, "a", "one").await;
    let store = LibsqlStore::in_memory().await.unwrap();
    copy_vault(&from.store, &store, &ada).await;
    plant(&store, &ada, "a", sealed(&from.store, &ada, "a", 1).await).await;
    assert_eq!(reveal(&EnvelopeVault::open(store, key()).await.unwrap(), &ada, "a").await, "one");
}

#[tokio::test]
async fn a_data_key_under_another_number_or_id() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "a", "one").await;
    let mut key = f.store.secrets().newest_data_key(&ada).await.unwrap().unwrap();
    let id = DataKeyId::make(&SystemClock);
    (key.id, key.number) = (id, 2);
    plant_key(&f.store, &ada, key).await;
    let mut one = sealed(&f.store, &ada, "a", 1).await;
    one.data_key = id;
    plant(&f.store, &ada, "a", one).await;
    assert_closed(&f, &ada, "a").await;
}

#[tokio::test]
async fn changed_bytes_and_formats() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for (at, change) in [
        |s: &mut Sealed| s.ciphertext[0] ^= 1,
        |s: &mut Sealed| *s.ciphertext.last_mut().unwrap() ^= 0x80,
        |s: &mut Sealed| s.ciphertext.truncate(18),
        |s: &mut Sealed| s.ciphertext.clear(),
        |s: &mut Sealed| s.nonce[11] ^= 1,
        |s: &mut Sealed| s.nonce.push(0),
        |s: &mut Sealed| s.salt[31] ^= 1,
        |s: &mut Sealed| s.salt.clear(),
        |s: &mut Sealed| s.algorithm = Algorithm::XChaCha20Poly1305,
    ]
    .into_iter()
    .enumerate()
    {
        // Planted where it belongs, in a copy of the vault, so that only the change keeps it from opening.
        let secret = format!("s{at}");
        put(&f.vault, &ada, &secret, "one").await;
        let mut sealed = sealed(&f.store, &ada, &secret, 1).await;
        change(&mut sealed);
        let other = LibsqlStore::in_memory().await.unwrap();
        copy_vault(&f.store, &other, &ada).await;
        plant(&other, &ada, &secret, sealed).await;
        let vault = EnvelopeVault::open(other.clone(), key()).await.unwrap();
        assert_eq!(kind(vault.reveal(&ada, &name(&secret), None).await), VaultErrorKind::Decryption, "{at}");
    }
    let mut newer = sealed(&f.store, &ada, "s0", 1).await;
    newer.format = 2;
    plant(&f.store, &ada, "s0", newer).await;
    assert_eq!(kind(f.vault.reveal(&ada, &name("s0"), None).await), VaultErrorKind::UnsupportedFormat);
}

async fn copy_vault(from: &LibsqlStore, to: &LibsqlStore, scope: &Scope) {
    let tenant = scope.tenant().clone();
    let header = from.secrets().vault(&tenant).await.unwrap().unwrap();
    let wrap = from.secrets().root_key_wraps(&tenant).await.unwrap().remove(0);
    to.maintenance(operator()).apply_system(SystemChange::InitVault { tenant, header, wrap }).await.unwrap();
    plant_key(to, scope, from.secrets().newest_data_key(scope).await.unwrap().unwrap()).await;
}

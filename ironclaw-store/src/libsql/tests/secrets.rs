#![allow(clippy::unwrap_used, reason = "tests")]

use ironclaw_core::change::{Change, SecretOp};
use ironclaw_core::id::{DataKeyId, ErasureId, OperatorName, RootKeyWrapId, SecretName, TenantId, VaultId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::secrets::{Algorithm, PutSecret, RootKeyWrap, Sealed, VaultHeader, WrappedKey};
use ironclaw_core::store::{Apply, StoreErrorKind, VaultStore};
use ironclaw_core::{Maintenance, Scope, SystemClock, Timestamp};

use crate::libsql::LibsqlStore;
use crate::libsql::row::params;

fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

fn wrapped() -> WrappedKey {
    let algorithm = Algorithm::XChaCha20Poly1305;
    WrappedKey { format: 1, algorithm, parameters: vec![], nonce: vec![0; 24], ciphertext: vec![7; 48] }
}

async fn data_key(store: &LibsqlStore, scope: &Scope) -> DataKeyId {
    let id = DataKeyId::make(&SystemClock);
    let op = SecretOp::PutDataKey { id, number: 1, root_key: 1, wrapped: wrapped() };
    store.apply(scope, Change::new().with(op)).await.unwrap();
    id
}

fn put(name: &SecretName, number: u32, data_key: DataKeyId) -> Change {
    let sealed = Sealed {
        format: 1,
        algorithm: Algorithm::Aes256Gcm,
        data_key,
        salt: vec![1; 32],
        nonce: vec![2; 12],
        ciphertext: vec![3; 20],
    };
    let (provider, bindings, expires_at) = (None, Vec::new(), None);
    let secret = PutSecret { name: name.clone(), provider, bindings, expires_at, number, sealed };
    Change::new().with(SecretOp::Put { secret: Box::new(secret) })
}

#[tokio::test]
async fn numbers_outlive_a_secret_but_not_an_erasure() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let (ada, bob, name) = (user("ada"), user("bob"), SecretName::parse("key").unwrap());
    assert_eq!(store.secrets().next_secret_version(&ada, &name).await.unwrap(), 1);
    let (key, bobs) = (data_key(&store, &ada).await, data_key(&store, &bob).await);
    for number in 1..=2 {
        assert_eq!(store.secrets().next_secret_version(&ada, &name).await.unwrap(), number);
        store.apply(&ada, put(&name, number, key)).await.unwrap();
    }
    for _ in 0..2 {
        store.apply(&ada, Change::new().with(SecretOp::Delete { name: name.clone() })).await.unwrap();
        assert_eq!(store.secrets().next_secret_version(&ada, &name).await.unwrap(), 3);
    }
    assert_eq!(store.secrets().next_secret_version(&bob, &name).await.unwrap(), 1);
    store.apply(&bob, put(&name, 1, bobs)).await.unwrap();
    let foreign = store.apply(&bob, put(&name, 2, key)).await.unwrap_err();
    assert_eq!(foreign.kind(), &StoreErrorKind::NotFound, "another user's data key");
    let kept = store
        .read_any("test", |db| db.number("SELECT count(*) FROM secret_numbers WHERE name_hash LIKE '%key%'", params![]))
        .await
        .unwrap();
    assert_eq!(kept, 0, "a deleted secret's name is not kept in the clear");
    let erase = SystemChange::EraseUser {
        tenant: ada.tenant().clone(),
        owner: ada.owner().clone(),
        id: ErasureId::make(&SystemClock),
    };
    store.maintenance(OperatorName::parse("ops").unwrap()).apply_system(erase).await.unwrap();
    let left = store.read_any("test", |db| db.number("SELECT count(*) FROM secret_numbers", params![])).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(store.secrets().next_secret_version(&ada, &name).await.unwrap(), 1);
}

#[tokio::test]
async fn the_last_wrapping_of_the_root_key_in_use_stays() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let operator = store.maintenance(OperatorName::parse("ops").unwrap());
    let tenant = TenantId::default_tenant();
    let created_at = Timestamp::from_micros(1);
    let header = VaultHeader { id: VaultId::make(&SystemClock), format: 1, root_key: 1, created_at };
    let wrap = |root_key| {
        let (id, source) = (RootKeyWrapId::make(&SystemClock), "key-file".to_owned());
        RootKeyWrap { id, root_key, source, wrapped: wrapped(), created_at }
    };
    let (first, second, older) = (wrap(1), wrap(1), wrap(7));
    let add = |wrap: &RootKeyWrap| SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap: wrap.clone() };
    let remove = |wrap: &RootKeyWrap| SystemChange::RemoveRootKeyWrap { tenant: tenant.clone(), id: wrap.id };
    let early = operator.apply_system(add(&second)).await.unwrap_err();
    assert_eq!(early.kind(), &StoreErrorKind::NotFound);
    let init = SystemChange::InitVault { tenant: tenant.clone(), header: header.clone(), wrap: first.clone() };
    operator.apply_system(init.clone()).await.unwrap();
    assert_eq!(operator.apply_system(init).await.unwrap_err().kind(), &StoreErrorKind::AlreadyExists);
    operator.apply_system(add(&older)).await.unwrap();
    let refused = operator.apply_system(remove(&first)).await.unwrap_err();
    assert_eq!(refused.kind(), &StoreErrorKind::Conflict, "the other wrapping is of another root key");
    operator.apply_system(add(&second)).await.unwrap();
    operator.apply_system(remove(&first)).await.unwrap();
    operator.apply_system(remove(&older)).await.unwrap();
    assert_eq!(operator.apply_system(remove(&first)).await.unwrap_err().kind(), &StoreErrorKind::NotFound);
    assert_eq!(operator.apply_system(remove(&second)).await.unwrap_err().kind(), &StoreErrorKind::Conflict);
    assert_eq!(store.secrets().root_key_wraps(&tenant).await.unwrap(), [second]);
    assert_eq!(store.secrets().vault(&tenant).await.unwrap(), Some(header));
    assert_eq!(store.secrets().vault(&TenantId::parse("other").unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn the_check_finds_what_does_not_agree() {
    for (damage, expected) in [
        ("DELETE FROM secret_versions", "newest version is not there"),
        ("DELETE FROM secrets", "secret is not there"),
        ("DELETE FROM data_keys", "data key is not there"),
    ] {
        let store = LibsqlStore::in_memory().await.unwrap();
        let (ada, operator) = (user("ada"), store.maintenance(OperatorName::parse("ops").unwrap()));
        let key = data_key(&store, &ada).await;
        store.apply(&ada, put(&SecretName::parse("key").unwrap(), 1, key)).await.unwrap();
        assert_eq!(operator.check_integrity().await.unwrap(), Vec::<String>::new());
        store.engine().write("test", move |db| db.execute(damage, params![])).await.unwrap();
        let found = operator.check_integrity().await.unwrap();
        assert!(found.iter().any(|what| what.contains(expected)), "{damage}: {found:?}");
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let (ada, name) = (user("ada"), SecretName::parse("key").unwrap());
    let key = data_key(&store, &ada).await;
    store.apply(&ada, put(&name, 1, key)).await.unwrap();
    store
        .engine()
        .write("test", |db| db.execute("UPDATE secret_versions SET algorithm = 99", params![]))
        .await
        .unwrap();
    let error = store.secrets().secret_version(&ada, &name, None).await.unwrap_err();
    assert_eq!(error.kind(), &StoreErrorKind::Corrupt);
    assert!(error.to_string().contains("secret_versions.algorithm"), "{error}");
}

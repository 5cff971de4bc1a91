//! Many callers at once, callers that go away, and a store that fails.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use fixture::{Fixture, agent_of, key, kind, name, operator, put, reveal, user, value};
use ironclaw_core::id::ErasureId;
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::audit::{Action, Outcome};
use ironclaw_core::store::{self, Apply, StoreError, StoreErrorKind};
use ironclaw_core::vault::{SecretOptions, Vault, VaultError, VaultErrorKind};
use ironclaw_core::{Change, Receipt, Scope, SystemClock, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::EnvelopeVault;

/// Puts `count` values under one name at once, over these vaults in turn, and gives the numbers they got.
async fn put_at_once(vaults: &[EnvelopeVault], count: u32) -> BTreeSet<u32> {
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let vault = vaults[n as usize % vaults.len()].clone();
            tokio::spawn(async move { (put(&vault, &user("ada"), "s", &format!("value {n}")).await, n) })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for task in tasks {
        let (number, n) = task.await.unwrap();
        numbers.insert(number);
        let revealed = vaults[0].reveal(&user("ada"), &name("s"), Some(number)).await.unwrap();
        assert_eq!(revealed.expose_str(), Some(format!("value {n}").as_str()));
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_puts_at_once_are_fifty_versions() {
    let f = Fixture::new().await;
    assert!(put_at_once(std::slice::from_ref(&f.vault), 50).await.into_iter().eq(1..=50));
    // They queued: nobody lost a race, and one data key was made.
    let trail = f.trail(&user("ada")).await;
    assert!(trail.iter().all(|(_, outcome)| outcome == &Outcome::Success));
    assert_eq!(trail.iter().filter(|(action, _)| action == &Action::DataKeyMake).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_are_from_two_vaults_on_one_store() {
    // They share nothing but the store: neither queues behind the other.
    let f = Fixture::new().await;
    let other = EnvelopeVault::open(f.store.clone(), key()).await.unwrap();
    assert!(put_at_once(&[f.vault.clone(), other], 50).await.into_iter().eq(1..=50));
    let newest = f.store.secrets().newest_data_key(&user("ada")).await.unwrap().unwrap();
    assert_eq!((newest.number, newest.seals), (1, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn reveals_at_once_are_all_counted() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (vault, ada) = (f.vault.clone(), ada.clone());
            tokio::spawn(async move { reveal(&vault, &ada, "s").await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "one");
    }
    assert_eq!(f.vault.describe(&ada, &name("s")).await.unwrap().unwrap().usage_count, 20);
}

/// Polls a future that many times at most, then drops it.
async fn poll_and_drop(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if polled {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_put_leaves_a_whole_version_or_none() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for polls in 0..40 {
        let text = format!("value {polls}");
        poll_and_drop(f.vault.put(&ada, &name("s"), value(&text), SecretOptions::default()), polls).await;
    }
    // The queue of puts is not stuck, and whatever is there opens.
    let last = put(&f.vault, &ada, "s", "last").await;
    let versions = f.vault.versions(&ada, &name("s")).await.unwrap();
    assert!(versions.iter().map(|(number, _)| *number).eq(1..=last));
    for (number, _) in versions {
        let revealed = f.vault.reveal(&ada, &name("s"), Some(number)).await.unwrap();
        assert!(revealed.expose_str().is_some_and(|text| text == "last" || text.starts_with("value ")));
    }
    f.trail(&ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_reveal_changes_nothing_but_the_count() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    for polls in 0..20 {
        poll_and_drop(f.vault.reveal(&ada, &name("s"), None), polls).await;
    }
    assert_eq!(reveal(&f.vault, &ada, "s").await, "one");
    let uses = f.trail(&ada).await.iter().filter(|(action, _)| action == &Action::SecretUse).count();
    let secret = f.vault.describe(&ada, &name("s")).await.unwrap().unwrap();
    assert_eq!(secret.usage_count, uses as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_calls_that_have_begun() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    let s = name("s");
    let mut begun = pin!(f.vault.reveal(&ada, &s, None));
    let mut closing = pin!(f.vault.close());
    std::future::poll_fn(|context| {
        assert!(begun.as_mut().poll(context).is_pending());
        assert!(closing.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    // Whoever comes later waits behind the closing, and finds the vault closed.
    let (revealed, (), later) = tokio::join!(begun, closing, f.vault.describe(&ada, &s));
    assert_eq!(revealed.unwrap().expose(), b"one");
    assert_eq!(kind(later), VaultErrorKind::Closed);
}

/// The real store, whose next writes fail.
#[derive(Debug, Clone)]
struct Faulty {
    store: LibsqlStore,
    failures: Arc<AtomicU32>,
    with: StoreErrorKind,
}

impl Faulty {
    async fn vault(f: &Fixture, with: StoreErrorKind) -> (EnvelopeVault, Arc<AtomicU32>) {
        let failures = Arc::new(AtomicU32::new(0));
        let store = Self { store: f.store.clone(), failures: failures.clone(), with };
        (EnvelopeVault::open(store, key()).await.unwrap(), failures)
    }
}

#[async_trait]
impl Apply for Faulty {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(StoreError::new(self.with.clone(), "apply", "")),
            Err(_) => self.store.apply(scope, change).await,
        }
    }
}

impl VaultStore for Faulty {
    fn secrets(&self) -> &dyn store::Secrets {
        self.store.secrets()
    }

    fn access(&self) -> &dyn store::Access {
        self.store.access()
    }

    fn audit(&self) -> &dyn store::Audit {
        self.store.audit()
    }
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_revealed() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    let (vault, failures) = Faulty::vault(&f, StoreErrorKind::Full).await;
    let failing = async |result: Result<(), VaultError>| {
        assert_eq!(kind(result), VaultErrorKind::Store);
        failures.store(1, Ordering::SeqCst);
    };
    failures.store(1, Ordering::SeqCst);
    failing(vault.reveal(&ada, &name("s"), None).await.map(drop)).await;
    // A refusal that is not on record is no refusal either, but it is an error.
    failing(vault.reveal(&ada, &name("none"), None).await.map(drop)).await;
    failing(vault.reveal(&agent_of(&ada), &name("s"), None).await.map(drop)).await;
    failing(vault.put(&ada, &name("s"), value(""), SecretOptions::default()).await.map(drop)).await;
    failing(vault.put(&ada, &name("s"), value("two"), SecretOptions::default()).await.map(drop)).await;
    failing(vault.delete(&ada, &name("s")).await.map(drop)).await;
    failures.store(0, Ordering::SeqCst);
    assert_eq!(reveal(&vault, &ada, "s").await, "one");
    assert_eq!(f.trail(&ada).await.len(), 3);
}

#[tokio::test]
async fn a_put_that_loses_races_is_sealed_again_until_it_gives_up() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let (vault, failures) = Faulty::vault(&f, StoreErrorKind::Conflict).await;
    failures.store(31, Ordering::SeqCst);
    assert_eq!(put(&vault, &ada, "s", "one").await, 1);
    failures.store(32, Ordering::SeqCst);
    let result = vault.put(&ada, &name("s"), value("two"), SecretOptions::default()).await;
    assert_eq!(kind(result), VaultErrorKind::Conflict);
    assert_eq!(failures.load(Ordering::SeqCst), 0);
    assert_eq!(reveal(&vault, &ada, "s").await, "one");
}

#[tokio::test]
async fn a_data_key_that_was_erased_meanwhile_is_made_anew() {
    let f = Fixture::new().await;
    let (vault, failures) = Faulty::vault(&f, StoreErrorKind::NotFound).await;
    failures.store(1, Ordering::SeqCst);
    assert_eq!(put(&vault, &user("ada"), "s", "one").await, 1);
    let erase = SystemChange::EraseUser {
        tenant: user("ada").tenant().clone(),
        owner: user("ada").owner().clone(),
        id: ErasureId::make(&SystemClock),
    };
    f.store.maintenance(operator()).apply_system(erase).await.unwrap();
    assert_eq!(kind(vault.reveal(&user("ada"), &name("s"), None).await), VaultErrorKind::NotFound);
    put(&vault, &user("ada"), "s", "two").await;
    assert_eq!(reveal(&vault, &user("ada"), "s").await, "two");
}

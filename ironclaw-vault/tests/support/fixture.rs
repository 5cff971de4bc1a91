//! A vault on the real store, in memory.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use ironclaw_core::id::{OperatorName, SecretName};
use ironclaw_core::model::audit::{Action, AuditFilter, Outcome};
use ironclaw_core::vault::{SecretOptions, Vault, VaultError, VaultErrorKind};
use ironclaw_core::{ManualClock, PageRequest, Principal, Scope, SecretValue, Timestamp, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, EnvironmentKey, VaultOptions};

pub(crate) struct Fixture {
    pub(crate) store: LibsqlStore,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: EnvelopeVault,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    /// A new vault of the default tenant, with other options.
    pub(crate) async fn with(change: impl FnOnce(VaultOptions) -> VaultOptions) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = LibsqlStore::builder().clock(clock.clone()).in_memory().await.unwrap();
        let options = change(VaultOptions::new().clock(clock.clone()));
        options.init(&store, &store.maintenance(operator()), key()).await.unwrap();
        let vault = options.open(store.clone(), key()).await.unwrap();
        Self { store, clock, vault }
    }

    /// The actions on secrets in a user's audit trail, and how they went.
    pub(crate) async fn trail(&self, scope: &Scope) -> Vec<(Action, Outcome)> {
        trail(&self.store, scope).await
    }
}

pub(crate) async fn trail(store: &dyn VaultStore, scope: &Scope) -> Vec<(Action, Outcome)> {
    let page = PageRequest::first(1_000).unwrap();
    let events = store.audit().events(scope, &AuditFilter::default(), &page).await.unwrap();
    assert!(events.next.is_none());
    store.audit().verify(scope).await.unwrap();
    events.items.iter().map(|entry| (entry.event.action, entry.event.outcome)).collect()
}

pub(crate) fn key() -> EnvironmentKey {
    EnvironmentKey::from_hex(&"a55a".repeat(16)).unwrap()
}

pub(crate) fn another_key() -> EnvironmentKey {
    EnvironmentKey::from_hex(&"5aa5".repeat(16)).unwrap()
}

pub(crate) fn operator() -> OperatorName {
    OperatorName::parse("setup").unwrap()
}

pub(crate) fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

pub(crate) fn agent_of(scope: &Scope) -> Scope {
    scope.acting(Principal::agent("assistant").unwrap())
}

pub(crate) fn tool_of(scope: &Scope) -> Scope {
    agent_of(scope).acting(Principal::tool("weather").unwrap())
}

pub(crate) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

pub(crate) fn value(text: &str) -> SecretValue {
    SecretValue::from(text)
}

pub(crate) async fn put(vault: &dyn Vault, scope: &Scope, secret: &str, text: &str) -> u32 {
    let put = vault.put(scope, &name(secret), value(text), SecretOptions::default()).await.unwrap();
    put.current_version
}

pub(crate) async fn reveal(vault: &dyn Vault, scope: &Scope, secret: &str) -> String {
    let revealed = vault.reveal(scope, &name(secret), None).await.unwrap();
    revealed.expose_str().unwrap().to_owned()
}

/// Which way a call failed.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, VaultError>) -> VaultErrorKind {
    result.unwrap_err().kind().clone()
}

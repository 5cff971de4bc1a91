//! The suite of [`Vault`].

use std::sync::Arc;

use async_trait::async_trait;

use super::case::{Capability, Case, Subject, cases};
use super::check::Failure;
use crate::clock::{Clock, ManualClock, SystemClock, Timestamp};
use crate::store::VaultStore;
use crate::vault::Vault;

mod audited;
mod lifecycle;
mod owners;
mod values;

/// What an implementor of [`Vault`] writes to run its suite.
#[async_trait]
pub trait VaultHarness: Send + Sync {
    /// What this harness can do beyond opening vaults.
    fn capabilities(&self) -> &'static [Capability];

    /// A fresh, open vault without secrets. Without [`Capability::ManualClock`] the clock may be left aside.
    async fn open(&self, clock: Arc<dyn Clock>) -> Result<OpenedVault, Failure>;
}

/// An open vault.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenedVault {
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// Where it keeps what it seals, with [`Capability::Audit`].
    pub store: Option<Arc<dyn VaultStore>>,
}

impl OpenedVault {
    /// A vault that shows no store.
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, store: None }
    }

    /// With the store that it keeps what it seals in.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn VaultStore>) -> Self {
        self.store = Some(store);
        self
    }
}

pub(crate) fn cases() -> Vec<Case<dyn VaultHarness>> {
    cases![dyn VaultHarness;
        values {
            put_then_reveal, any_bytes, versions_are_kept, empty_and_oversized_are_refused, unknown_is_not_found,
            metadata_is_described, listed_in_order, deleted_is_gone, expired_is_not_revealed [ManualClock],
            values_are_never_printed,
        }
        owners {
            users_never_meet, tenants_never_meet, agents_are_denied, tools_are_denied,
        }
        audited {
            put_and_reveal_are_audited [Audit], denials_are_audited [Audit], uses_are_counted,
            no_value_in_the_store [Audit],
        }
        lifecycle { closed_refuses, many_at_once, dropped_at_every_await }
    ]
}

pub(crate) type VaultSubject = Subject<dyn VaultHarness>;

/// An open vault with the time it reads.
pub(crate) struct Instance {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) store: Option<Arc<dyn VaultStore>>,
}

impl Instance {
    /// The time that the vault reads.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl VaultSubject {
    /// A fresh vault.
    pub(crate) async fn fresh(&self) -> Result<Instance, Failure> {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        // Behind one pointer more: what points to a clock and a vault is one.
        let OpenedVault { vault, store } = self.harness.open(Arc::new(clock.clone())).await?;
        Ok(Instance { clock, vault: Arc::new(vault), store })
    }
}

//! A store that gives another row than it was asked for.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use async_trait::async_trait;
use fixture::{Fixture, key, kind, name, put, reveal, user};
use ironclaw_core::change::Receipt;
use ironclaw_core::id::{DataKeyId, SecretName, TenantId};
use ironclaw_core::model::secrets::{DataKey, RootKeyWrap, Secret, SecretVersion, VaultHeader};
use ironclaw_core::store::{Access, Apply, Audit, Secrets, StoreError};
use ironclaw_core::vault::{Vault, VaultErrorKind};
use ironclaw_core::{Change, Page, PageRequest, Scope, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::EnvelopeVault;

/// What is given instead.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    /// The secret `bank`, whatever is asked for.
    OtherSecret,
    /// The first version, whichever is asked for.
    OlderVersion,
    /// The same under the name and the number that were asked for.
    Renamed,
    /// A data key of another user.
    OtherKey,
}

#[derive(Debug)]
struct Liar(LibsqlStore, Lie);

#[async_trait]
impl Apply for Liar {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        self.0.apply(scope, change).await
    }
}

impl VaultStore for Liar {
    fn secrets(&self) -> &dyn Secrets {
        self
    }

    fn access(&self) -> &dyn Access {
        VaultStore::access(&self.0)
    }

    fn audit(&self) -> &dyn Audit {
        self.0.audit()
    }
}

#[async_trait]
impl Secrets for Liar {
    async fn vault(&self, tenant: &TenantId) -> Result<Option<VaultHeader>, StoreError> {
        self.0.secrets().vault(tenant).await
    }

    async fn root_key_wraps(&self, tenant: &TenantId) -> Result<Vec<RootKeyWrap>, StoreError> {
        self.0.secrets().root_key_wraps(tenant).await
    }

    async fn data_key(&self, scope: &Scope, id: DataKeyId) -> Result<Option<DataKey>, StoreError> {
        match self.1 {
            Lie::OtherKey => self.0.secrets().newest_data_key(&user("bob")).await,
            _ => self.0.secrets().data_key(scope, id).await,
        }
    }

    async fn newest_data_key(&self, scope: &Scope) -> Result<Option<DataKey>, StoreError> {
        self.0.secrets().newest_data_key(scope).await
    }

    async fn secret(&self, scope: &Scope, secret: &SecretName) -> Result<Option<Secret>, StoreError> {
        self.0.secrets().secret(scope, secret).await
    }

    async fn secrets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, StoreError> {
        self.0.secrets().secrets(scope, page).await
    }

    async fn next_secret_version(&self, scope: &Scope, secret: &SecretName) -> Result<u32, StoreError> {
        self.0.secrets().next_secret_version(scope, secret).await
    }

    async fn secret_version(
        &self,
        scope: &Scope,
        secret: &SecretName,
        number: Option<u32>,
    ) -> Result<Option<SecretVersion>, StoreError> {
        let other = name("bank");
        let (from, at) = match self.1 {
            Lie::OtherSecret | Lie::Renamed => (&other, number),
            Lie::OlderVersion => (secret, Some(1)),
            Lie::OtherKey => (secret, number),
        };
        let mut given = self.0.secrets().secret_version(scope, from, at).await?;
        if let Some(given) = given.as_mut().filter(|_| self.1 == Lie::Renamed) {
            (given.name, given.number) = (secret.clone(), number.unwrap_or(1));
        }
        Ok(given)
    }

    async fn secret_versions(
        &self,
        scope: &Scope,
        secret: &SecretName,
        page: &PageRequest,
    ) -> Result<Page<SecretVersion>, StoreError> {
        self.0.secrets().secret_versions(scope, secret, page).await
    }
}

#[tokio::test]
async fn nothing_opens_but_what_was_asked_for() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for (secret, text) in [("weather", "sunny"), ("weather", "rainy"), ("bank", "1234"), ("bank", "5678")] {
        put(&f.vault, &ada, secret, text).await;
    }
    put(&f.vault, &user("bob"), "bank", "9999").await;
    for lie in [Lie::OtherSecret, Lie::OlderVersion, Lie::Renamed, Lie::OtherKey] {
        let vault = EnvelopeVault::open(Liar(f.store.clone(), lie), key()).await.unwrap();
        for number in [None, Some(2)] {
            let revealed = vault.reveal(&ada, &name("weather"), number).await;
            assert_eq!(kind(revealed), VaultErrorKind::Decryption, "{lie:?} {number:?}");
        }
    }
    assert_eq!(reveal(&f.vault, &ada, "weather").await, "rainy");
}

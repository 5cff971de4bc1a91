//! The suites of every vault and every key source.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../ironclaw-store/tests/support/database.rs"]
mod database;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ironclaw_core::conformance::vault::OpenedVault;
use ironclaw_core::conformance::{Capability, Failure, KeySourceHarness, Suites, VaultHarness};
use ironclaw_core::id::OperatorName;
use ironclaw_core::model::secrets::Algorithm;
use ironclaw_core::{Clock, KeySource, SecretValue};
use ironclaw_store::{LibsqlStore, PostgresMaintenance, PostgresStore};
use ironclaw_vault::{EnvironmentKey, KeyFile, Passphrase, PassphraseCost, VaultOptions};

use crate::database::{Database, app_url, operator_url, unavailable};

fn main() -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("no folder for key files: {error}");
            return ExitCode::FAILURE;
        }
    };
    Suites::new()
        .vault("aes_256_gcm", Envelope(Algorithm::Aes256Gcm))
        .vault("xchacha20_poly1305", Envelope(Algorithm::XChaCha20Poly1305))
        .vault("postgres", OnPostgres::default())
        .key_source("key_file", KeyFiles { folder, made: AtomicU64::new(0) })
        .key_source("environment", EnvironmentKeys(AtomicU64::new(0)))
        .key_source("passphrase", Passphrases(AtomicU64::new(0)))
        .run()
}

/// Vaults that seal with one cipher.
struct Envelope(Algorithm);

#[async_trait]
impl VaultHarness for Envelope {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::ManualClock, Capability::Audit]
    }

    async fn open(&self, clock: Arc<dyn Clock>) -> Result<OpenedVault, Failure> {
        let store = LibsqlStore::builder().clock(clock.clone()).in_memory().await?;
        let key = EnvironmentKey::from_hex(&"a55a".repeat(16))?;
        let options = VaultOptions::new().clock(clock).algorithm(self.0);
        options.init(&store, &store.maintenance(OperatorName::parse("conformance")?), &key).await?;
        let vault = options.open(store.clone(), &key).await?;
        Ok(OpenedVault::new(Arc::new(vault)).store(Arc::new(store)))
    }
}

/// Vaults on a server, each in a database of its own.
#[derive(Default)]
struct OnPostgres(Mutex<Vec<Database>>);

#[async_trait]
impl VaultHarness for OnPostgres {
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::ManualClock, Capability::Audit]
    }

    async fn open(&self, clock: Arc<dyn Clock>) -> Result<OpenedVault, Failure> {
        if let Some(missing) = unavailable(false) {
            return Err(Failure::unavailable(missing));
        }
        let database = Database::fresh().await;
        let builder = PostgresStore::builder().clock(clock.clone()).max_connections(4);
        let store = builder.connect(&app_url(database.name())).await?;
        let operator = OperatorName::parse("conformance")?;
        let maintenance = PostgresMaintenance::connect(&operator_url(database.name()), operator).await?;
        self.0.lock().unwrap().push(database);
        let key = EnvironmentKey::from_hex(&"a55a".repeat(16))?;
        let options = VaultOptions::new().clock(clock);
        options.init(&store, &maintenance, &key).await?;
        maintenance.close().await;
        let vault = options.open(store.clone(), &key).await?;
        Ok(OpenedVault::new(Arc::new(vault)).store(Arc::new(store)))
    }
}

struct KeyFiles {
    folder: tempfile::TempDir,
    made: AtomicU64,
}

#[async_trait]
impl KeySourceHarness for KeyFiles {
    async fn fresh(&self) -> Result<Arc<dyn KeySource>, Failure> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(KeyFile::at(self.folder.path().join(format!("{number}.key")))))
    }
}

struct EnvironmentKeys(AtomicU64);

#[async_trait]
impl KeySourceHarness for EnvironmentKeys {
    async fn fresh(&self) -> Result<Arc<dyn KeySource>, Failure> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(EnvironmentKey::from_hex(&format!("{:064x}", u128::from(number) + (1 << 100)))?))
    }
}

struct Passphrases(AtomicU64);

#[async_trait]
impl KeySourceHarness for Passphrases {
    async fn fresh(&self) -> Result<Arc<dyn KeySource>, Failure> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let passphrase = SecretValue::from(format!("correct horse battery staple {number}"));
        Ok(Arc::new(Passphrase::new(passphrase)?.cost(PassphraseCost::new(8 << 10, 1, 1)?)))
    }
}

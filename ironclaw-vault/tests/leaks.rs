//! A secret that goes through every path, searched for everywhere afterwards: errors, logs, audit trail, files.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use std::error::Error;
use std::fmt::{Debug, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fixture::{agent_of, name, operator, user, value};
use ironclaw_core::change::SecretOp;
use ironclaw_core::model::audit::AuditFilter;
use ironclaw_core::model::secrets::{Binding, PutSecret};
use ironclaw_core::store::Apply;
use ironclaw_core::vault::{KeySource, SecretOptions, Vault};
use ironclaw_core::{Change, Clock, ManualClock, PageRequest, SecretValue, Store, Timestamp, VaultStore};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, EnvironmentKey, KeyFile, Passphrase, PassphraseCost, VaultOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

const MARKER: &str = "M4RKER-9f3c-secret";
/// A passphrase and a key, which must not show either.
const PASSPHRASE: &str = "M4RKER-9f3c-passphrase";
const DIGITS: &str = "4d34524b45522d396633632d6b65792d4d34524b45522d396633632d6b657921";

/// Everything that was printed: logs of this process from all threads, and what the test adds.
#[derive(Clone, Default)]
struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    fn add(&self, what: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{what:?}\n{what:#?}").unwrap();
    }

    fn add_error<T: Debug, E: Error + 'static>(&self, result: Result<T, E>) {
        let error = result.unwrap_err();
        self.add(&error);
        let mut next: Option<&dyn Error> = Some(&error);
        while let Some(error) = next {
            writeln!(self.0.lock().unwrap(), "{error}").unwrap();
            next = error.source();
        }
    }
}

impl Visit for &Transcript {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Transcript {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut &*self);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The forms in which bytes are commonly printed or stored.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{bytes:?}");
    let list = debug.trim_matches(['[', ']']).to_owned();
    vec![secret.to_owned(), hex.to_uppercase(), hex, list.replace(' ', ""), list.replace(", ", ",\n    "), list]
}

fn assert_clean(place: &str, bytes: &[u8]) {
    for form in [MARKER, PASSPHRASE, DIGITS].into_iter().flat_map(forms) {
        let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
        assert!(!found, "{form:?} is in {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_shows_nowhere() {
    let transcript = Transcript::default();
    tracing::subscriber::set_global_default(transcript.clone()).unwrap();
    tracing::debug!("the transcript is on");
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000)));
    let path = directory.path().join("agent.db");
    let store = LibsqlStore::builder().clock(clock.clone()).open(&path).await.unwrap();
    let passphrase = Passphrase::new(SecretValue::from(PASSPHRASE)).unwrap();
    let passphrase = passphrase.cost(PassphraseCost::new(8 << 10, 1, 1).unwrap());
    let options = VaultOptions::new().clock(clock.clone());
    options.init(&store, &store.maintenance(operator()), &passphrase).await.unwrap();
    let vault = options.clone().open(store.clone(), &passphrase).await.unwrap();
    let ada = user("ada");
    let marker = || value(MARKER);

    // What succeeds.
    let bindings = vec![Binding::new("api.example.com")];
    let expires_at = Some(clock.now().after(Duration::from_secs(60)));
    let with_options =
        SecretOptions::default().provider("example".to_owned()).bindings(bindings).expires_at(expires_at);
    transcript.add(&vault.put(&ada, &name("s"), marker(), with_options).await.unwrap());
    transcript.add(&vault.put(&ada, &name("s"), marker(), SecretOptions::default()).await.unwrap());
    let revealed = vault.reveal(&ada, &name("s"), None).await.unwrap();
    assert_eq!(revealed.expose_str(), Some(MARKER));
    transcript.add(&revealed);
    transcript.add(&vault.list(&ada, &PageRequest::default()).await.unwrap());
    transcript.add(&(&vault, &options, &passphrase));

    // What fails.
    let put = async |value, options| vault.put(&ada, &name("s"), value, options).await;
    transcript.add_error(put(value(&MARKER.repeat(10_000)), SecretOptions::default()).await);
    let hosts = |host: &str| SecretOptions::default().bindings(vec![Binding::new(host)]);
    transcript.add_error(put(marker(), hosts("https://example.com")).await);
    transcript.add_error(put(marker(), hosts(MARKER)).await);
    transcript.add_error(put(marker(), SecretOptions::default().provider(format!("{MARKER}\0"))).await);
    let agent = agent_of(&ada);
    transcript.add_error(vault.put(&agent, &name("s"), marker(), SecretOptions::default()).await);
    transcript.add_error(vault.reveal(&agent, &name("s"), None).await);
    transcript.add_error(vault.reveal(&ada, &name("s"), Some(9)).await);
    let expired = SecretOptions::default().expires_at(clock.now());
    vault.put(&ada, &name("expired"), marker(), expired).await.unwrap();
    transcript.add_error(vault.reveal(&ada, &name("expired"), None).await);
    let sealed = store.secrets().secret_version(&ada, &name("s"), None).await.unwrap().unwrap().sealed;
    transcript.add(&sealed);
    let (name_of_copy, provider, bindings, expires_at) = (name("moved"), None, Vec::new(), None);
    let moved = PutSecret::new(name_of_copy, 1, sealed).provider(provider).bindings(bindings).expires_at(expires_at);
    store.apply(&ada, Change::new().with(SecretOp::Put { secret: Box::new(moved) })).await.unwrap();
    transcript.add_error(vault.reveal(&ada, &name("moved"), None).await);

    // Keys.
    let tenant = ada.tenant();
    transcript.add_error(EnvironmentKey::from_hex(&format!("{DIGITS}0")));
    transcript.add_error(EnvironmentKey::from_hex(MARKER));
    transcript.add_error(EnvelopeVault::open(store.clone(), EnvironmentKey::from_hex(DIGITS).unwrap()).await);
    let other = Passphrase::new(SecretValue::from(format!("{PASSPHRASE}2"))).unwrap();
    transcript.add_error(EnvelopeVault::open(store.clone(), &other).await);
    let wraps = store.secrets().root_key_wraps(tenant).await.unwrap();
    transcript.add_error(other.unwrap(&wraps[0].wrapped, b"elsewhere").await);
    for text in [MARKER, DIGITS, &format!("ironclaw-key-9:{DIGITS}")] {
        let path = elsewhere.path().join("agent.key");
        write_private(&path, text);
        transcript.add_error(KeyFile::at(path).unwrap(&wraps[0].wrapped, b"").await);
    }

    // What is kept.
    let events = store.audit().events(&ada, &AuditFilter::default(), &PageRequest::default()).await.unwrap();
    assert!(events.items.len() > 8);
    transcript.add(&events);
    assert!(vault.delete(&ada, &name("expired")).await.unwrap());
    vault.close().await;
    transcript.add_error(vault.put(&ada, &name("s"), marker(), SecretOptions::default()).await);
    transcript.add(&vault);
    assert_files_clean(directory.path());
    store.close().await.unwrap();
    transcript.add_error(options.open(store, &passphrase).await);
    assert_files_clean(directory.path());

    let printed = transcript.0.lock().unwrap();
    assert!(printed.contains("the transcript is on"));
    assert_clean("the transcript", printed.as_bytes());
}

fn assert_files_clean(directory: &Path) {
    let mut files = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 0);
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

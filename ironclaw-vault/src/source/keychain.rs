use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::model::secrets::WrappedKey;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes};
use keyring::{Entry, Error};
use zeroize::{Zeroize, Zeroizing};

use super::{derivation, key_text, run_blocking, seal_error, unwrap_under, wrap_under};
use crate::key::Key;

/// A key in the operating system's keychain: Keychain on macOS, Credential Manager on Windows, the Secret Service
/// (GNOME Keyring, KWallet) elsewhere.
///
/// A keychain may ask its user, and may never answer: each call runs on a thread of its own and is given up after a
/// timeout (30 s unless set). Where there is no D-Bus session the Secret Service is
/// [`Unavailable`](KeyErrorKind::Unavailable), for as long as the process runs: the connection is tried once.
///
/// Two processes that make the same vault's key in the same instant would overwrite each other's: run `init` from one.
#[derive(Debug, Clone)]
pub struct Keychain {
    service: String,
    account: String,
    timeout: Duration,
}

impl Keychain {
    /// The entry of `service` (by convention the application's name) and `account` (by convention the vault's).
    /// Nothing is read yet.
    pub fn new(service: impl Into<String>, account: impl Into<String>) -> Self {
        Self { service: service.into(), account: account.into(), timeout: Duration::from_secs(30) }
    }

    /// Waits that long for the keychain and its user.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn read(&self, operation: &'static str) -> Result<Key, KeyError> {
        self.call(operation, move |service, account| read(operation, &entry(operation, service, account)?)).await
    }

    /// Runs `work` on a thread of its own, because it may hang for minutes, and waits for it on one of the runtime's
    /// for blocking work. A thread that is given up ends when the keychain answers.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&str, &str) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let Self { service, account, timeout } = self.clone();
        run_blocking(operation, move || {
            let (sender, receiver) = mpsc::channel();
            std::thread::Builder::new()
                .name("ironclaw-keychain".to_owned())
                // Nobody listens any more after the timeout.
                .spawn(move || drop(sender.send(work(&service, &account))))
                .map_err(|error| KeyError::new(KeyErrorKind::Unavailable, operation, "no thread").with_source(error))?;
            receiver.recv_timeout(timeout).unwrap_or_else(|error| match error {
                RecvTimeoutError::Timeout => Err(KeyError::new(
                    KeyErrorKind::TimedOut,
                    operation,
                    format!(
                        "the keychain did not answer within {} ms: unlock it, or answer its prompt, and try again",
                        timeout.as_millis()
                    ),
                )),
                RecvTimeoutError::Disconnected => {
                    Err(KeyError::new(KeyErrorKind::Unavailable, operation, "the keychain's client failed"))
                }
            })
        })
        .await
    }
}

#[async_trait]
impl KeySource for Keychain {
    fn kind(&self) -> &'static str {
        "keychain"
    }

    async fn create(&self) -> Result<(), KeyError> {
        self.call("create", |service, account| create(&entry("create", service, account)?)).await
    }

    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError> {
        wrap_under(&self.read("wrap").await?, &[], root, associated_data)
    }

    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError> {
        let derivation = derivation(wrapped, 0)?;
        unwrap_under(&self.read("unwrap").await?, derivation, wrapped, associated_data)
    }
}

fn entry(operation: &'static str, service: &str, account: &str) -> Result<Entry, KeyError> {
    if let Err(error) = Entry::store_status() {
        let context = "there is no keychain to connect to (on Linux: no Secret Service on the D-Bus session): use \
                       another key source, or start one and then this process again";
        return Err(KeyError::new(KeyErrorKind::Unavailable, operation, context).with_source(error.to_string()));
    }
    Entry::new(service, account).map_err(|error| keyring_error(operation, error))
}

fn read(operation: &'static str, entry: &Entry) -> Result<Key, KeyError> {
    // As text, because KWallet keeps nothing else.
    let text = entry.get_password().map(Zeroizing::new).map_err(|error| keyring_error(operation, error))?;
    key_text::decode(operation, text.as_bytes())
}

/// Puts a new key into the entry, unless there is one.
fn create(entry: &Entry) -> Result<(), KeyError> {
    /// A keychain has no "create unless it is there": within this process only one at a time may look and then put.
    static CREATING: Mutex<()> = Mutex::new(());
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    match read("create", entry) {
        Err(error) if error.kind() == &KeyErrorKind::Missing => {
            let key = Key::make_random().map_err(|error| seal_error("create", error))?;
            entry.set_password(key_text::encode(&key).trim_end()).map_err(|error| keyring_error("create", error))
        }
        other => other.map(drop),
    }
}

/// Some of the keychain's errors carry what was read: only their text goes on, and only where it can't hold the key.
fn keyring_error(operation: &'static str, error: Error) -> KeyError {
    let (kind, context) = match error {
        Error::NoEntry => (
            KeyErrorKind::Missing,
            "the keychain has no key under this service and account: restore it, for without it the vault can't be \
             opened",
        ),
        Error::BadEncoding(mut bytes) | Error::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            (KeyErrorKind::Malformed, "what the keychain holds under this service and account is no key")
        }
        Error::Ambiguous(_) => {
            (KeyErrorKind::Malformed, "the keychain has several entries under this service and account")
        }
        Error::NoStorageAccess(source) => {
            let context = "the keychain is locked, or its user refused: unlock it and try again";
            return KeyError::new(KeyErrorKind::Locked, operation, context).with_source(source.to_string());
        }
        Error::TooLong(..) | Error::Invalid(..) => {
            (KeyErrorKind::Malformed, "the keychain refuses this service or account name")
        }
        other => {
            return KeyError::new(KeyErrorKind::Unavailable, operation, "the keychain failed")
                .with_source(other.to_string());
        }
    };
    KeyError::new(kind, operation, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_no_keychain_and_locked_are_told_apart() {
        let boxed = || Box::<dyn std::error::Error + Send + Sync>::from("why");
        for (error, kind) in [
            (Error::NoEntry, KeyErrorKind::Missing),
            (Error::NoDefaultStore, KeyErrorKind::Unavailable),
            (Error::PlatformFailure(boxed()), KeyErrorKind::Unavailable),
            (Error::NoStorageAccess(boxed()), KeyErrorKind::Locked),
            (Error::Ambiguous(Vec::new()), KeyErrorKind::Malformed),
        ] {
            assert_eq!(keyring_error("unwrap", error).kind(), &kind);
        }
    }

    /// An entry of a keychain that is there, without one in the system.
    fn entry() -> Entry {
        use keyring_core::api::CredentialStoreApi;
        Entry { inner: keyring_core::mock::Store::new().unwrap().build("test", "test", None).unwrap() }
    }

    #[test]
    fn a_key_is_made_once() {
        let entry = entry();
        assert_eq!(read("wrap", &entry).unwrap_err().kind(), &KeyErrorKind::Missing);
        create(&entry).unwrap();
        let made = read("wrap", &entry).unwrap();
        create(&entry).unwrap();
        assert_eq!(read("unwrap", &entry).unwrap().expose(), made.expose());
    }

    #[test]
    fn what_is_no_key_is_neither_used_nor_overwritten() {
        let entry = entry();
        entry.set_password("hunter2").unwrap();
        assert_eq!(read("wrap", &entry).unwrap_err().kind(), &KeyErrorKind::Malformed);
        assert_eq!(create(&entry).unwrap_err().kind(), &KeyErrorKind::Malformed);
        assert_eq!(entry.get_password().unwrap(), "hunter2");
    }

    #[test]
    fn what_was_read_is_not_in_the_error() {
        let secret = || b"MARKER".to_vec();
        for error in [Error::BadEncoding(secret()), Error::BadDataFormat(secret(), "why".into())] {
            let error = keyring_error("unwrap", error);
            assert_eq!(error.kind(), &KeyErrorKind::Malformed);
            let printed = format!("{error} {error:?}");
            assert!(!printed.contains("MARKER") && !printed.contains("77, 65"), "{printed}");
        }
    }

    #[tokio::test]
    async fn a_keychain_that_never_answers_is_given_up() {
        let (release, held) = mpsc::channel::<()>();
        let keychain = Keychain::new("test", "test").timeout(Duration::from_millis(20));
        let error = keychain
            .call("unwrap", move |_, _| {
                // Ends when the test does.
                held.recv().map_err(|_| KeyError::new(KeyErrorKind::Unavailable, "unwrap", ""))
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &KeyErrorKind::TimedOut);
        drop(release);
    }

    #[tokio::test]
    async fn a_client_that_panics_is_unavailable() {
        let error = Keychain::new("test", "test").call("wrap", |_, _| -> Result<(), _> { panic!() }).await.unwrap_err();
        assert_eq!(error.kind(), &KeyErrorKind::Unavailable);
    }
}

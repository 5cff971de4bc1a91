//! Making and opening a vault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ironclaw_core::id::{RootKeyWrapId, VaultId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::secrets::{RootKeyWrap, VaultHeader, WrappedKey};
use ironclaw_core::store::StoreErrorKind;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes, VaultError, VaultErrorKind};
use ironclaw_core::{Maintenance, VaultStore};
use subtle::ConstantTimeEq;
use tokio::sync::RwLock;

use super::keys::Keys;
use super::put::Stripes;
use super::{EnvelopeVault, Inner, error};
use crate::associated;
use crate::key::Key;
use crate::options::VaultOptions;

/// The format of a vault that is written here.
const FORMAT: u16 = 1;
/// The number of a new vault's root key.
const FIRST_ROOT_KEY: u32 = 1;

impl VaultOptions {
    /// Whether the tenant has a vault in this store.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// [`VaultErrorKind::Store`].
    pub async fn is_initialised(&self, store: &dyn VaultStore) -> Result<bool, VaultError> {
        let header = store.secrets().vault(&self.tenant).await;
        Ok(header.map_err(|e| error::from_store("is_initialised", e))?.is_some())
    }

    /// Makes the tenant's vault, as [`EnvelopeVault::init`] does.
    ///
    /// # Errors
    /// As [`EnvelopeVault::init`].
    pub async fn init(
        &self,
        store: &dyn VaultStore,
        maintenance: &dyn Maintenance,
        source: impl KeySource,
    ) -> Result<(), VaultError> {
        // Before the source makes a key that would belong to nothing.
        if self.is_initialised(store).await? {
            return Err(already_initialised());
        }
        source.create().await.map_err(|e| error::from_key_source("init", e))?;

        let created_at = self.clock.now();
        let (id, root_key) = (VaultId::make(&*self.clock), FIRST_ROOT_KEY);
        let root = Key::make_random().map_err(|e| error::from_seal("init", e))?;
        let wrap = RootKeyWrap::new(
            RootKeyWrapId::make(&*self.clock),
            root_key,
            source.kind(),
            self.wrap_checked(id, root_key, &root, &source).await?,
            created_at,
        );
        let header = VaultHeader::new(id, FORMAT, root_key, created_at);
        let change = SystemChange::InitVault { tenant: self.tenant.clone(), header, wrap };
        match maintenance.apply_system(change).await {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == &StoreErrorKind::AlreadyExists => Err(already_initialised().with_source(e)),
            Err(e) => Err(error::from_store("init", e)),
        }
    }

    /// Wraps a new root key and unwraps it again, before anything depends on it.
    async fn wrap_checked(
        &self,
        vault: VaultId,
        number: u32,
        root: &Key,
        source: &impl KeySource,
    ) -> Result<WrappedKey, VaultError> {
        let bound = associated::root_key(vault, &self.tenant, number, source.kind());
        let failed = |e| error::from_key_source("init", e);
        let wrapped = source.wrap(&RootKeyBytes::from(root), &bound).await.map_err(failed)?;
        let unwrapped = source.unwrap(&wrapped, &bound).await.map_err(failed)?;
        if !bool::from(unwrapped.expose().ct_eq(root.expose())) {
            let context = "the key source does not give back what it wrapped";
            return Err(failed(KeyError::new(KeyErrorKind::WrongKey, "unwrap", context)));
        }
        Ok(wrapped)
    }

    /// Opens the tenant's vault, as [`EnvelopeVault::open`] does.
    ///
    /// # Errors
    /// As [`EnvelopeVault::open`].
    pub async fn open(
        self,
        store: impl VaultStore + 'static,
        source: impl KeySource,
    ) -> Result<EnvelopeVault, VaultError> {
        let store: Arc<dyn VaultStore> = Arc::new(store);
        let header = store.secrets().vault(&self.tenant).await.map_err(|e| error::from_store("open", e))?;
        let Some(header) = header else {
            let context = "this store has no vault for the tenant: make one with `init`";
            return Err(VaultError::new(VaultErrorKind::NotInitialised, "open", context));
        };
        if header.format != FORMAT {
            let context = format!("the vault has format {}, this version knows {FORMAT}", header.format);
            return Err(VaultError::new(VaultErrorKind::UnsupportedFormat, "open", context));
        }
        let wraps = store.secrets().root_key_wraps(&self.tenant).await.map_err(|e| error::from_store("open", e))?;
        let root = self.unwrap_root(&header, &wraps, &source).await.map_err(|e| error::from_key_source("open", e))?;
        Ok(EnvelopeVault(Arc::new(Inner {
            store,
            id: header.id,
            options: self,
            keys: RwLock::new(Some(Keys::new(Key::from(&root), header.root_key))),
            putting: Stripes::default(),
        })))
    }

    /// Tries the wrappings that a source of this kind made, for there may be several: two key files, say. One that is damaged
    /// or another's hides no other.
    async fn unwrap_root(
        &self,
        header: &VaultHeader,
        wraps: &[RootKeyWrap],
        source: &impl KeySource,
    ) -> Result<RootKeyBytes, KeyError> {
        let kind = source.kind();
        let mut failures: Vec<(RootKeyWrapId, KeyError)> = Vec::new();
        let begun = Instant::now();
        for wrap in current(header, wraps).filter(|wrap| wrap.source == kind).take(VaultHeader::WRAPS) {
            let bound = associated::root_key(header.id, &self.tenant, wrap.root_key, kind);
            match source.unwrap(&wrap.wrapped, &bound).await {
                Ok(root) => return Ok(root),
                Err(error) if !is_of_the_wrap(error.kind()) => return Err(error),
                Err(error) => {
                    tracing::warn!(wrap = %wrap.id, error = %error, "a wrapping of the vault's root key did not open");
                    failures.push((wrap.id, error));
                }
            }
            if begun.elapsed() > TRYING {
                break;
            }
        }
        Err(none_opened(kind, header, wraps, failures))
    }
}

/// How long wrappings are tried, after which no other is begun: whoever can write the store could else add many that each
/// cost what a passphrase may.
const TRYING: Duration = Duration::from_secs(30);

/// The wrappings of the root key in use.
fn current<'a>(header: &VaultHeader, wraps: &'a [RootKeyWrap]) -> impl Iterator<Item = &'a RootKeyWrap> {
    let number = header.root_key;
    wraps.iter().filter(move |wrap| wrap.root_key == number)
}

/// Whether another wrapping may open where one failed in this way; otherwise the source itself failed.
fn is_of_the_wrap(kind: &KeyErrorKind) -> bool {
    use KeyErrorKind::{Malformed, Missing, UnsupportedFormat, WrongKey};
    matches!(kind, WrongKey | UnsupportedFormat | Malformed | Missing)
}

/// Says why none of the wrappings opened: of one its own error, of several each one's.
fn none_opened(
    kind: &str,
    header: &VaultHeader,
    wraps: &[RootKeyWrap],
    mut failures: Vec<(RootKeyWrapId, KeyError)>,
) -> KeyError {
    let is_one_kind = failures.windows(2).all(|two| two[0].1.kind() == two[1].1.kind());
    // No key is no key, however often it is asked for.
    if failures.len() == 1 || is_one_kind && failures.first().is_some_and(|(_, e)| e.kind() == &KeyErrorKind::Missing) {
        return failures.remove(0).1;
    }
    let untried = current(header, wraps).filter(|wrap| wrap.source == kind).count() - failures.len();
    let context = match failures.is_empty() {
        true => {
            let sources: Vec<_> = current(header, wraps).map(|wrap| wrap.source.as_str()).collect();
            format!("no {kind} wraps this vault's root key, only: {}", sources.join(", "))
        }
        false => {
            let each: Vec<_> = failures.iter().map(|(id, error)| format!("{id} {}", error.kind())).collect();
            let rest = if untried > 0 {
                format!("; {untried} more were not tried, for it took too long")
            } else {
                String::new()
            };
            format!("none of the vault's wrappings by a {kind} opened: {}{rest}", each.join(", "))
        }
    };
    KeyError::new(KeyErrorKind::WrongKey, "unwrap", context)
}

fn already_initialised() -> VaultError {
    let context = "the tenant has a vault in this store: `open` it with the key that it was made with";
    VaultError::new(VaultErrorKind::AlreadyInitialised, "init", context)
}

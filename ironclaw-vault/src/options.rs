use std::sync::Arc;

use ironclaw_core::id::TenantId;
use ironclaw_core::input::{InputError, parsed};
use ironclaw_core::model::secrets::Algorithm;
use ironclaw_core::{Clock, Limits, SystemClock};

/// How a vault is made, opened and used.
///
/// The defaults: the default tenant, AES-256-GCM, the machine's clock, the default [`Limits`], and 2^31 values under one
/// data key.
///
/// ```
/// use ironclaw_core::model::secrets::Algorithm;
/// use ironclaw_vault::VaultOptions;
///
/// let options = VaultOptions::new().algorithm(Algorithm::XChaCha20Poly1305);
/// ```
#[derive(Debug, Clone)]
pub struct VaultOptions {
    pub(crate) tenant: TenantId,
    pub(crate) algorithm: Algorithm,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) seals_per_data_key: u64,
}

impl VaultOptions {
    /// How many values one data key may seal at most: half of the 2^32 that NIST SP 800-38D allows a key of AES-GCM
    /// with random nonces.
    ///
    /// Each value has a derived key of its own, so that not even this is near a limit; it is kept all the same.
    pub const MAX_SEALS_PER_DATA_KEY: u64 = 1 << 31;

    /// The defaults.
    pub fn new() -> Self {
        Self {
            tenant: TenantId::default_tenant(),
            algorithm: Algorithm::Aes256Gcm,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            seals_per_data_key: Self::MAX_SEALS_PER_DATA_KEY,
        }
    }

    /// The tenant whose vault it is. Each has its own, and users of others are refused.
    ///
    /// # Errors
    /// What [`TenantId::parse`] refuses.
    pub fn tenant(self, tenant: impl TryInto<TenantId, Error: Into<InputError>>) -> Result<Self, InputError> {
        Ok(Self { tenant: parsed(tenant)?, ..self })
    }

    /// The cipher that seals from now on. What another one sealed opens all the same.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Where the time comes from: ids carry it, and secrets expire by it.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The sizes that are accepted. The store has its own, and the smaller one holds.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How many values one data key seals before a user gets a new one; at least 1, at most
    /// [`Self::MAX_SEALS_PER_DATA_KEY`].
    #[must_use]
    pub fn seals_per_data_key(self, seals: u64) -> Self {
        Self { seals_per_data_key: seals.clamp(1, Self::MAX_SEALS_PER_DATA_KEY), ..self }
    }
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self::new()
    }
}

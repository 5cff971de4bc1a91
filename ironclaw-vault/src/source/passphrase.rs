use argon2::{Algorithm, Argon2, Block, Params, Version};
use async_trait::async_trait;
use ironclaw_core::SecretValue;
use ironclaw_core::model::secrets::WrappedKey;
use ironclaw_core::vault::{KeyError, KeyErrorKind, KeySource, RootKeyBytes};
use zeroize::Zeroizing;

use super::{derivation, run_blocking, seal_error, unwrap_under, wrap_under};
use crate::key::{Key, make_random_bytes};

const SALT_BYTES: usize = 16;
/// Memory, passes, lanes, in 4 bytes each (big-endian), and the salt.
const DERIVATION_BYTES: usize = 12 + SALT_BYTES;

/// A key derived from a passphrase with Argon2id (RFC 9106).
///
/// What a derivation costs is kept with what it wrapped: another cost given later changes nothing for a vault that
/// exists. The passphrase is taken byte for byte; no spelling of a character is made equal to another.
#[derive(Debug, Clone)]
pub struct Passphrase {
    passphrase: SecretValue,
    cost: PassphraseCost,
}

impl Passphrase {
    /// A key source for this passphrase, at the default cost.
    ///
    /// # Errors
    /// [`KeyErrorKind::Malformed`] if it is empty or longer than 64 KiB.
    pub fn new(passphrase: impl Into<SecretValue>) -> Result<Self, KeyError> {
        let passphrase = passphrase.into();
        if !(1..=64 << 10).contains(&passphrase.expose().len()) {
            let context = "expected a passphrase of 1 byte to 64 KiB";
            return Err(KeyError::new(KeyErrorKind::Malformed, "create", context));
        }
        Ok(Self { passphrase, cost: PassphraseCost::default() })
    }

    /// The same passphrase, wrapping at another cost.
    #[must_use]
    pub fn cost(self, cost: PassphraseCost) -> Self {
        Self { cost, ..self }
    }
}

#[async_trait]
impl KeySource for Passphrase {
    fn kind(&self) -> &'static str {
        "passphrase"
    }

    async fn create(&self) -> Result<(), KeyError> {
        Ok(())
    }

    /// Derives on a thread for blocking work. Dropping the future lets that end by itself.
    async fn wrap(&self, root: &RootKeyBytes, associated_data: &[u8]) -> Result<WrappedKey, KeyError> {
        let mut salt = [0; SALT_BYTES];
        make_random_bytes(&mut salt).map_err(|error| seal_error("wrap", error))?;
        let (passphrase, cost) = (self.passphrase.clone(), self.cost);
        let key = run_blocking("wrap", move || derive_key("wrap", &passphrase, cost, &salt)).await?;
        wrap_under(&key, &cost.encode(&salt), root, associated_data)
    }

    /// Derives on a thread for blocking work. Dropping the future lets that end by itself.
    async fn unwrap(&self, wrapped: &WrappedKey, associated_data: &[u8]) -> Result<RootKeyBytes, KeyError> {
        let derivation = derivation(wrapped, DERIVATION_BYTES)?;
        let (cost, salt) = PassphraseCost::decode(derivation)?;
        let passphrase = self.passphrase.clone();
        let key = run_blocking("unwrap", move || derive_key("unwrap", &passphrase, cost, &salt)).await?;
        unwrap_under(&key, derivation, wrapped, associated_data)
    }
}

/// What one guess at a passphrase costs.
///
/// The default is 64 MiB of memory, 3 passes and 1 lane: a fraction of a second. It is bounded, when set and when read
/// from a store, to 8 MiB to 1 GiB of memory, 1 to 16 passes and 1 to 16 lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseCost {
    /// A cost of that much memory (in KiB), that many passes over it and that many lanes.
    ///
    /// # Errors
    /// [`KeyErrorKind::Malformed`] outside of the bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, KeyError> {
        let cost = Self { memory_kib, passes, lanes };
        if !cost.is_bounded() {
            let context = "expected 8,192 to 1,048,576 KiB of memory, 1 to 16 passes and 1 to 16 lanes";
            return Err(KeyError::new(KeyErrorKind::Malformed, "create", context));
        }
        Ok(cost)
    }

    /// Whoever can write the store could else ask for 100 GiB, or for hours.
    fn is_bounded(self) -> bool {
        (8 << 10..=1 << 20).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }

    fn encode(self, salt: &[u8; SALT_BYTES]) -> [u8; DERIVATION_BYTES] {
        let mut bytes = [0; DERIVATION_BYTES];
        bytes[..4].copy_from_slice(&self.memory_kib.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.passes.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.lanes.to_be_bytes());
        bytes[12..].copy_from_slice(salt);
        bytes
    }

    fn decode(derivation: &[u8]) -> Result<(Self, [u8; SALT_BYTES]), KeyError> {
        let number = |at: usize| derivation[at..at + 4].iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        let cost = Self { memory_kib: number(0), passes: number(4), lanes: number(8) };
        if !cost.is_bounded() {
            let context = format!(
                "the wrapped root key asks for {} KiB of memory, {} passes and {} lanes, which is outside of what is \
                 accepted",
                cost.memory_kib, cost.passes, cost.lanes
            );
            return Err(KeyError::new(KeyErrorKind::UnsupportedFormat, "unwrap", context));
        }
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&derivation[12..]);
        Ok((cost, salt))
    }
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }
}

fn derive_key(
    operation: &'static str,
    passphrase: &SecretValue,
    cost: PassphraseCost,
    salt: &[u8; SALT_BYTES],
) -> Result<Key, KeyError> {
    let failed = |context: &'static str| KeyError::new(KeyErrorKind::Unavailable, operation, context);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(Key::BYTES))
        .map_err(|error| failed("Argon2id refused its parameters").with_source(error.to_string()))?;
    // The memory is ours, because Argon2's own is not wiped.
    let mut memory = Zeroizing::new(Vec::new());
    memory
        .try_reserve_exact(params.block_count())
        .map_err(|error| failed("there is not enough memory for Argon2id").with_source(error))?;
    memory.resize_with(params.block_count(), Block::new);
    let mut key = Key::zeroed();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase.expose(), salt, key.as_mut(), memory.as_mut_slice())
        .map_err(|error| failed("Argon2id failed").with_source(error.to_string()))?;
    Ok(key)
}

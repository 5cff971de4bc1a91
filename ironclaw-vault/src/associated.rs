//! Associated data: what a sealed value is bound to, so that moved elsewhere it does not open.
//!
//! Each field is its length in 4 bytes (big-endian) and its bytes, so that no two lists of fields encode alike.

use ironclaw_core::id::{DataKeyId, SecretName, TenantId, VaultId};
use ironclaw_core::model::secrets::{Algorithm, Place};

use crate::error::SealError;
use crate::seal::{Purpose, algorithm_code};

/// The format of sealed secrets and wrapped keys that is written here.
pub(crate) const FORMAT: u16 = 1;

/// What a version of a secret is bound to.
pub(crate) fn secret(
    place: &Place,
    name: &SecretName,
    number: u32,
    data_key: DataKeyId,
    algorithm: Algorithm,
) -> Result<Vec<u8>, SealError> {
    let encoding = at(Purpose::Secret, place)
        .field(name.as_str().as_bytes())
        .field(&number.to_be_bytes())
        .field(data_key.as_bytes());
    encoding.finish(algorithm)
}

/// What a wrapped data key is bound to.
pub(crate) fn data_key(
    place: &Place,
    id: DataKeyId,
    number: u32,
    root_key: u32,
    algorithm: Algorithm,
) -> Result<Vec<u8>, SealError> {
    let encoding =
        at(Purpose::DataKey, place).field(id.as_bytes()).field(&number.to_be_bytes()).field(&root_key.to_be_bytes());
    encoding.finish(algorithm)
}

/// What the vault asks a key source to bind a wrapped root key to.
pub(crate) fn root_key(vault: VaultId, tenant: &TenantId, root_key: u32, source: &str) -> Vec<u8> {
    let encoding = Encoding::new(b"ironclaw-vault/1/vault")
        .field(vault.as_bytes())
        .field(tenant.as_str().as_bytes())
        .field(&root_key.to_be_bytes())
        .field(source.as_bytes());
    encoding.0
}

/// What a key source here binds a wrapped root key to: the vault's part, and what its own key came from.
pub(crate) fn wrap(vault: &[u8], derivation: &[u8], algorithm: Algorithm) -> Result<Vec<u8>, SealError> {
    Encoding::new(Purpose::RootKey.label()).field(vault).field(derivation).finish(algorithm)
}

fn at(purpose: Purpose, place: &Place) -> Encoding {
    Encoding::new(purpose.label())
        .field(place.vault.as_bytes())
        .field(place.tenant.as_str().as_bytes())
        .field(place.owner.key().as_bytes())
}

struct Encoding(Vec<u8>);

impl Encoding {
    fn new(label: &[u8]) -> Self {
        Self(Vec::with_capacity(256)).field(label)
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        // Names are at most 256 bytes, and nothing else here is longer than a few of them.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn finish(self, algorithm: Algorithm) -> Result<Vec<u8>, SealError> {
        let algorithm = algorithm_code(algorithm)?;
        Ok(self.field(&FORMAT.to_be_bytes()).field(&[algorithm]).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use ironclaw_core::id::UserId;

    fn place() -> Place {
        Place::new(VaultId::from_bytes([1; 16]), TenantId::parse("acme").unwrap(), UserId::parse("ada").unwrap())
    }

    #[test]
    fn frozen_vectors() {
        let name = SecretName::parse("openai").unwrap();
        let id = DataKeyId::from_bytes([2; 16]);
        let prefix = "0101010101010101010101010101010100000004";
        let place_hex = format!("00000010{prefix}61636d6500000003616461");
        assert_eq!(
            hex::encode(&secret(&place(), &name, 7, id, Algorithm::Aes256Gcm).unwrap()),
            format!(
                "00000017{}{place_hex}000000066f70656e6169{}{}{}{}",
                hex::encode(b"ironclaw-vault/1/secret"),
                "0000000400000007",
                "0000001002020202020202020202020202020202",
                "000000020001",
                "0000000101"
            )
        );
        assert_eq!(
            hex::encode(&data_key(&place(), id, 3, 1, Algorithm::XChaCha20Poly1305).unwrap()),
            format!(
                "00000019{}{place_hex}{}{}{}{}{}",
                hex::encode(b"ironclaw-vault/1/data-key"),
                "0000001002020202020202020202020202020202",
                "0000000400000003",
                "0000000400000001",
                "000000020001",
                "0000000102"
            )
        );
        let root = root_key(place().vault, &place().tenant, 1, "key-file");
        assert_eq!(
            hex::encode(&root),
            format!(
                "00000016{}00000010{prefix}61636d65{}{}",
                hex::encode(b"ironclaw-vault/1/vault"),
                "0000000400000001",
                "000000086b65792d66696c65"
            )
        );
        assert_eq!(
            hex::encode(&wrap(b"vault", b"", Algorithm::Aes256Gcm).unwrap()),
            format!(
                "00000019{}00000005{}00000000{}{}",
                hex::encode(b"ironclaw-vault/1/root-key"),
                hex::encode(b"vault"),
                "000000020001",
                "0000000101"
            )
        );
    }

    #[test]
    fn no_two_places_encode_alike() {
        let encode = |tenant: &str, owner: &str, name: &str| {
            let place = Place::new(
                VaultId::from_bytes([1; 16]),
                TenantId::parse(tenant).unwrap(),
                UserId::parse(owner).unwrap(),
            );
            let name = SecretName::parse(name).unwrap();
            secret(&place, &name, 1, DataKeyId::from_bytes([2; 16]), Algorithm::Aes256Gcm).unwrap()
        };
        assert_ne!(encode("ab", "c", "d"), encode("a", "bc", "d"));
        assert_ne!(encode("a", "bc", "d"), encode("a", "b", "cd"));
    }
}

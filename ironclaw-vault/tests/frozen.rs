//! A vault as version 1 of the formats stored it: it opens for ever.
//!
//! The bytes were computed by an independent implementation (Python's `cryptography`).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use fixture::{name, operator, put, user};
use ironclaw_core::change::SecretOp;
use ironclaw_core::id::{DataKeyId, RootKeyWrapId, TenantId, VaultId};
use ironclaw_core::maintenance::{Maintenance, SystemChange};
use ironclaw_core::model::secrets::{Algorithm, PutSecret, RootKeyWrap, Sealed, VaultHeader, WrappedKey};
use ironclaw_core::store::Apply;
use ironclaw_core::vault::Vault;
use ironclaw_core::{Change, Timestamp};
use ironclaw_store::LibsqlStore;
use ironclaw_vault::{EnvelopeVault, EnvironmentKey};

const KEY: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
const SALT: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
const NONCE: &str = "404142434445464748494a4b4c4d4e4f5051525354555657";
const ROOT_KEY: &str =
    "583154f622593397dabcc417b6365379b7374e806f3194e99fd845d00c8cd1ec69de73257ba5cbe4fc7c5f069528f13b";

struct Frozen {
    algorithm: Algorithm,
    nonce: &'static str,
    data_key: &'static str,
    secrets: [&'static str; 2],
}

const FROZEN: [Frozen; 2] = [
    Frozen {
        algorithm: Algorithm::Aes256Gcm,
        nonce: NONCE.split_at(24).0,
        data_key: "9b43c0eb64579ac9b20cca108c28c7cef3aa84fbfe754a888a60062033a947da239b8140166a142f83ee110c8d4c4ebc",
        secrets: [
            "6a9a9e6722c531cf4dad23dbfc5dcc821920aa8cb4de483db37356",
            "6a9a9e6722c531cf4dad2021d6b831ec0a24578bd640925dc3eb10",
        ],
    },
    Frozen {
        algorithm: Algorithm::XChaCha20Poly1305,
        nonce: NONCE,
        data_key: "bbc700b64b8d8b717767d160eb3dda5a1a9a950d3bc957f93b58b1fbd981bc7a1ae454471b7073b7363dbc3c05262db8",
        secrets: [
            "a79504fc3619b463c1c4b49c7d8cd0cf03a6cddb8880217ce26308",
            "a79504fc3619b463c1c4b710cbfef4a305d1cc119cd4193494fd87",
        ],
    },
];

#[tokio::test]
async fn a_vault_of_format_1_opens() {
    for frozen in FROZEN {
        let ada = user("ada");
        let store = LibsqlStore::in_memory().await.unwrap();
        store.maintenance(operator()).apply_system(vault()).await.unwrap();
        for operation in frozen.operations() {
            store.apply(&ada, Change::new().with(operation)).await.unwrap();
        }
        let vault = EnvelopeVault::open(store, EnvironmentKey::from_hex(KEY).unwrap()).await.unwrap();
        for number in [1, 2] {
            let revealed = vault.reveal(&ada, &name("openai"), Some(number)).await.unwrap();
            assert_eq!(revealed.expose_str(), Some(format!("sk-frozen-{number}").as_str()));
        }
        assert_eq!(put(&vault, &ada, "openai", "new").await, 3);
    }
}

fn vault() -> SystemChange {
    let created_at = Timestamp::from_micros(0);
    let header = VaultHeader::new(VaultId::from_bytes([1; 16]), 1, 1, created_at);
    let wrapped =
        WrappedKey::new(1, Algorithm::Aes256Gcm, unhex(&NONCE[..24]), unhex(ROOT_KEY)).parameters(unhex(SALT));
    let (id, source) = (RootKeyWrapId::from_bytes([3; 16]), "environment".to_owned());
    let wrap = RootKeyWrap::new(id, 1, source, wrapped, created_at);
    SystemChange::InitVault { tenant: TenantId::default_tenant(), header, wrap }
}

impl Frozen {
    fn operations(&self) -> Vec<SecretOp> {
        let (algorithm, id, nonce) = (self.algorithm, DataKeyId::from_bytes([2; 16]), unhex(self.nonce));
        let (parameters, ciphertext) = (unhex(SALT), unhex(self.data_key));
        let wrapped = WrappedKey::new(1, algorithm, nonce.clone(), ciphertext).parameters(parameters);
        let mut operations = vec![SecretOp::PutDataKey { id, number: 1, root_key: 1, wrapped }];
        for (number, ciphertext) in (1..).zip(self.secrets) {
            let (salt, ciphertext, nonce) = (unhex(SALT), unhex(ciphertext), nonce.clone());
            let sealed = Sealed::new(1, algorithm, id, nonce, ciphertext).salt(salt);
            let (name, provider, bindings, expires_at) = (name("openai"), None, Vec::new(), None);
            let secret = Box::new(
                PutSecret::new(name, number, sealed).provider(provider).bindings(bindings).expires_at(expires_at),
            );
            operations.push(SecretOp::Put { secret });
        }
        operations
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

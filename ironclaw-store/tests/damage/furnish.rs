//! A store whose every table has rows.

use std::path::Path;

use ironclaw_core::change::SecretOp;
use ironclaw_core::change::SettingOp;
use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::{ErasureId, HoldId, IdempotencyKey, RootKeyWrapId, SettingKey, TenantId, UserId, VaultId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::{UserRole, UserStatus};
use ironclaw_core::model::audit::AuditCheckpoint;
use ironclaw_core::model::privacy::{Hold, RetainedCategory};
use ironclaw_core::model::secrets::{Algorithm, RootKeyWrap, VaultHeader, WrappedKey};
use ironclaw_core::store::{Apply, Store, VaultStore};
use ironclaw_core::{Change, Clock, Maintenance, PageRequest, Scope, SystemClock};
use ironclaw_store::LibsqlStore;
use serde_json::json;

use crate::maintenance;

/// A user.
pub(crate) fn user(name: &str) -> Scope {
    Scope::user(name).unwrap()
}

/// Makes the store, with users `ada` (number 1) and `bob` (number 2), and closes it.
pub(crate) async fn furnish(path: &Path) -> Vec<(Scope, Sample)> {
    let store = LibsqlStore::open(path).await.unwrap();
    let m = maintenance(&store);
    let now = SystemClock.now();
    let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("ada").unwrap());
    let mut samples = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let scope = user(name);
        samples.push((scope.clone(), Sample::write(&store, &scope, now).await.unwrap()));
        let put = SettingOp::Put { key: SettingKey::parse("kept").unwrap(), value: json!({ "of": name }) };
        let change = Change::new().with(put).idempotent(IdempotencyKey::parse("once").unwrap());
        store.apply(&scope, change).await.unwrap();
        // A number that outlives its secret.
        let gone =
            store.secrets().secrets(&scope, &PageRequest::default()).await.unwrap().items.last().unwrap().name.clone();
        if name == "eve" {
            store.apply(&scope, Change::new().with(SecretOp::Delete { name: gone })).await.unwrap();
        }
    }
    let role = UserRole { name: "editor".parse().unwrap(), permissions: vec!["write".to_owned()], updated_at: now };
    let wrapped = WrappedKey {
        format: 1,
        algorithm: Algorithm::Aes256Gcm,
        parameters: vec![1],
        nonce: vec![0; 12],
        ciphertext: vec![7; 48],
    };
    let header = VaultHeader { id: VaultId::make(&SystemClock), format: 1, root_key: 1, created_at: now };
    let wrap = RootKeyWrap {
        id: RootKeyWrapId::make(&SystemClock),
        root_key: 1,
        source: "key-file".to_owned(),
        wrapped,
        created_at: now,
    };
    let hold = Hold {
        id: HoldId::make(&SystemClock),
        tenant: tenant.clone(),
        owner: owner.clone(),
        reason: "case 12".to_owned(),
        created_at: now,
        released_at: None,
    };
    let checkpoint = AuditCheckpoint { size: 5, root: [3; 32], note: "signed".to_owned(), created_at: now };
    let roles = vec![role.name.clone()];
    let id = hold.id;
    for change in [
        SystemChange::InitVault { tenant: tenant.clone(), header, wrap },
        SystemChange::PutRole { tenant: tenant.clone(), role },
        SystemChange::PutUser { tenant: tenant.clone(), owner: owner.clone(), status: UserStatus::Active, roles },
        SystemChange::PlaceHold { hold },
        SystemChange::ReleaseHold { id },
        SystemChange::PutRetention { tenant: tenant.clone(), category: RetainedCategory::Jobs, days: 400 },
        SystemChange::PutQuota { tenant: tenant.clone(), owner, name: "kept".parse().unwrap(), limit: 1 << 40 },
        SystemChange::PutCheckpoint { checkpoint },
        SystemChange::EraseUser { tenant, owner: UserId::parse("zoe").unwrap(), id: ErasureId::make(&SystemClock) },
    ] {
        if matches!(change, SystemChange::EraseUser { .. }) {
            store
                .apply(
                    &user("zoe"),
                    Change::new().with(SettingOp::Put { key: SettingKey::parse("k").unwrap(), value: json!(1) }),
                )
                .await
                .unwrap();
        }
        m.apply_system(change).await.unwrap();
    }
    assert_eq!(m.check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
    samples
}

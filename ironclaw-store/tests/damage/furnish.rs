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
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::store::{Apply, SpaceExt, Store, VaultStore};
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
    let team = user("ada").in_space("team").unwrap();
    store.create_space(&team).await.unwrap();
    for role in [SpaceRole::Manager, SpaceRole::Writer] {
        store.put_member(&team, "bob", role).await.unwrap();
    }
    samples.push((team.clone(), Sample::write(&store, &team, now).await.unwrap()));
    let role = UserRole::new("editor".parse().unwrap(), vec!["write".to_owned()], now);
    let wrapped = WrappedKey::new(1, Algorithm::Aes256Gcm, vec![0; 12], vec![7; 48]).parameters(vec![1]);
    let header = VaultHeader::new(VaultId::make(&SystemClock), 1, 1, now);
    let wrap = RootKeyWrap::new(RootKeyWrapId::make(&SystemClock), 1, "key-file", wrapped, now);
    let hold = Hold::new(HoldId::make(&SystemClock), tenant.clone(), owner.clone(), "case 12", now);
    let checkpoint = AuditCheckpoint::new(5, [3; 32], "signed", now);
    let roles = vec![role.name.clone()];
    let id = hold.id;
    for change in [
        SystemChange::InitVault { tenant: tenant.clone(), header, wrap },
        SystemChange::PutRole { tenant: tenant.clone(), role },
        SystemChange::PutUser { tenant: tenant.clone(), owner: owner.clone(), status: UserStatus::Active, roles },
        SystemChange::PlaceHold { hold },
        SystemChange::ReleaseHold { id },
        SystemChange::PutRetention { tenant: tenant.clone(), category: RetainedCategory::Jobs, days: 400 },
        SystemChange::PutQuota {
            tenant: tenant.clone(),
            owner: owner.into(),
            name: "kept".parse().unwrap(),
            limit: 1 << 40,
        },
        SystemChange::PutCheckpoint { checkpoint },
        SystemChange::EraseUser {
            tenant,
            owner: UserId::parse("zoe").unwrap().into(),
            id: ErasureId::make(&SystemClock),
        },
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

use serde_json::{Value, json};

use super::fixtures::{apply, setting};
use super::{Instance, StoreSubject, user};
use crate::change::SettingOp;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, at_once, refused};
use crate::conformance::text::{HOSTILE, hostile_json, hostile_name, long_text};
use crate::id::{QuotaName, SettingKey};
use crate::maintenance::SystemChange;
use crate::model::settings::{Quota, Setting};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::StoreErrorKind;

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    assert_eq!(t.store.settings().setting(&ada, &SettingKey::parse("none")?).await?, None);
    assert_eq!(t.store.settings().settings(&ada, &PageRequest::default()).await?.items, []);
    assert_eq!(t.store.settings().quota(&ada, &QuotaName::parse("none")?).await?, None);
    Ok(())
}

pub(super) async fn round_trips_every_value(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut values = vec![Value::Null, json!(false), json!(0), json!(u64::MAX), json!(i64::MIN), json!(0.5)];
    values.extend([json!(""), json!([]), json!({}), hostile_json("x"), json!(long_text(1 << 20))]);
    values.extend(HOSTILE.iter().map(|text| json!(text)));
    let mut expected = Vec::new();
    for (n, value) in values.into_iter().enumerate() {
        let key = SettingKey::parse(hostile_name(&n.to_string()))?;
        let updated_at = apply(&*t.store, &ada, SettingOp::Put { key: key.clone(), value: value.clone() }).await?.at;
        let found = t.store.settings().setting(&ada, &key).await?.present()?;
        let setting = Setting { key, value, updated_at, version: 1 };
        assert!(found == setting, "setting {n} came back another");
        expected.push(setting);
    }
    expected.sort_by(|a, b| a.key.cmp(&b.key));
    let found = all_pages!(4, |page| t.store.settings().settings(&ada, page));
    assert!(found == expected, "the listing differs");
    Ok(())
}

pub(super) async fn put_counts_versions(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let key = SettingKey::parse("a.b")?;
    for version in 1..=3 {
        let receipt = apply(&*t.store, &ada, setting("a.b", version)?).await?;
        assert_eq!(receipt.numbers, [version]);
        let found = t.store.settings().setting(&ada, &key).await?.present()?;
        assert_eq!((found.value, found.version), (json!(version), version));
    }
    Ok(())
}

pub(super) async fn delete_says_whether_it_was_there(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let key = SettingKey::parse("a")?;
    apply(&*t.store, &ada, setting("a", 1)?).await?;
    apply(&*t.store, &ada, setting("A", 2)?).await?;
    assert_eq!(apply(&*t.store, &ada, SettingOp::Delete { key: key.clone() }).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, SettingOp::Delete { key: key.clone() }).await?.numbers, [0]);
    assert_eq!(t.store.settings().setting(&ada, &key).await?, None);
    assert!(t.store.settings().setting(&ada, &SettingKey::parse("A")?).await?.is_some(), "keys tell case apart");
    Ok(())
}

/// Sets a quota of the owner.
pub(super) async fn put_quota(t: &Instance, scope: &Scope, name: &QuotaName, limit: u64) -> Result<(), Failure> {
    let (tenant, owner, name) = (scope.tenant().clone(), scope.owner().clone(), name.clone());
    t.maintenance.apply_system(SystemChange::PutQuota { tenant, owner, name, limit }).await?;
    Ok(())
}

pub(super) async fn quota_is_charged_until_it_is_used_up(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = QuotaName::parse("tokens")?;
    put_quota(&t, &ada, &name, 10).await?;
    let charge = |amount| SettingOp::ChargeQuota { name: name.clone(), amount };
    for amount in [4, 0, 6] {
        apply(&*t.store, &ada, charge(amount)).await?;
    }
    for amount in [1, u64::MAX] {
        refused(apply(&*t.store, &ada, charge(amount)).await, StoreErrorKind::QuotaExceeded);
    }
    assert_eq!(t.store.settings().quota(&ada, &name).await?, Some(Quota { name: name.clone(), limit: 10, used: 10 }));
    put_quota(&t, &ada, &name, 12).await?;
    refused(apply(&*t.store, &ada, charge(3)).await, StoreErrorKind::QuotaExceeded);
    apply(&*t.store, &ada, charge(2)).await?;
    put_quota(&t, &ada, &name, 5).await?;
    refused(apply(&*t.store, &ada, charge(1)).await, StoreErrorKind::QuotaExceeded);
    assert_eq!(t.store.settings().quota(&ada, &name).await?, Some(Quota { name, limit: 5, used: 12 }));
    Ok(())
}

pub(super) async fn unset_quota_is_unlimited(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = QuotaName::parse("tokens")?;
    for amount in [1, u64::MAX, u64::MAX] {
        apply(&*t.store, &ada, SettingOp::ChargeQuota { name: name.clone(), amount }).await?;
    }
    assert_eq!(t.store.settings().quota(&ada, &name).await?, None);
    Ok(())
}

pub(super) async fn quota_is_never_overdrawn_by_many(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = QuotaName::parse("tokens")?;
    put_quota(&t, &ada, &name, 20).await?;
    let results = at_once(50, |_| {
        let (store, ada, name) = (t.store.clone(), ada.clone(), name.clone());
        async move { apply(&*store, &ada, SettingOp::ChargeQuota { name, amount: 3 }).await }
    })
    .await?;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 6);
    for refusal in results.into_iter().filter(Result::is_err) {
        refused(refusal, StoreErrorKind::QuotaExceeded);
    }
    assert_eq!(t.store.settings().quota(&ada, &name).await?.present()?.used, 18);
    Ok(())
}

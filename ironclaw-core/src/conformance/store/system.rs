use std::time::Duration;

use super::fixtures::{apply, setting};
use super::settings::put_quota;
use super::world::World;
use super::{Instance, StoreSubject, tenant_user, user};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::conformance::check::{Failure, Outcome, Present, all_pages, refused};
use crate::conformance::text::{hostile, hostile_name};
use crate::id::{HoldId, QuotaName, RoleName, RootKeyWrapId, TenantId, VaultId};
use crate::maintenance::SystemChange;
use crate::model::access::{UserRole, UserStatus};
use crate::model::audit::{Action, AuditCheckpoint, PrincipalKind, StreamId};
use crate::model::privacy::{Hold, RetainedCategory};
use crate::model::secrets::{RootKeyWrap, VaultHeader};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::StoreErrorKind;

/// Places a legal hold on the owner.
pub(super) async fn place_hold(t: &Instance, scope: &Scope) -> Result<HoldId, Failure> {
    let id = HoldId::make(&SystemClock);
    let (tenant, owner, reason) = (scope.tenant().clone(), scope.owner().clone(), hostile("reason"));
    // Times of the caller are not taken over.
    let (created_at, released_at) = (Timestamp::from_micros(1), Some(Timestamp::from_micros(2)));
    let hold = Hold { id, tenant, owner, reason, created_at, released_at };
    t.maintenance.apply_system(SystemChange::PlaceHold { hold }).await?;
    Ok(id)
}

/// Releases a legal hold.
pub(super) async fn release_hold(t: &Instance, id: HoldId) -> Result<(), Failure> {
    t.maintenance.apply_system(SystemChange::ReleaseHold { id }).await?;
    Ok(())
}

/// Sets the owner's status, without roles.
pub(super) async fn put_status(t: &Instance, scope: &Scope, status: UserStatus) -> Result<(), Failure> {
    let (tenant, owner, roles) = (scope.tenant().clone(), scope.person().clone(), Vec::new());
    t.maintenance.apply_system(SystemChange::PutUser { tenant, owner, status, roles }).await?;
    Ok(())
}

fn role(name: &str) -> Result<UserRole, Failure> {
    let permissions = vec![hostile("permission"), String::new()];
    Ok(UserRole { name: RoleName::parse(name)?, permissions, updated_at: Timestamp::from_micros(1) })
}

pub(super) async fn users_and_roles(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let tenant = ada.tenant().clone();
    let names = [hostile_name("b role"), "a role".to_owned()];
    for name in &names {
        let (tenant, role) = (tenant.clone(), role(name)?);
        t.maintenance.apply_system(SystemChange::PutRole { tenant, role }).await?;
    }
    let roles = names.iter().map(RoleName::parse).collect::<Result<Vec<_>, _>>()?;
    let (owner, status) = (ada.person().clone(), UserStatus::Active);
    let put = SystemChange::PutUser { tenant: tenant.clone(), owner, status, roles: roles.clone() };
    let at = t.maintenance.apply_system(put).await?.at;
    let found = t.store.access().user(&ada).await?.present()?;
    let mut held = found.roles.clone();
    held.sort_unstable();
    assert_eq!(held, [roles[1].clone(), roles[0].clone()]);
    assert_eq!((found.id.as_str(), found.status, found.updated_at), ("ada", UserStatus::Active, at));
    let described = t.store.access().roles(&ada).await?;
    assert_eq!(described.iter().map(|r| &r.name).collect::<Vec<_>>(), [&roles[1], &roles[0]]);
    assert!(described.iter().all(|r| r.permissions == [hostile("permission"), String::new()]));
    assert!(described.iter().all(|r| r.updated_at > Timestamp::from_micros(1)), "the store dates a role");

    // Roles are a tenant's: the same user of another tenant holds none.
    assert_eq!(t.store.access().roles(&tenant_user("other", "ada")?).await?, []);
    let name = roles[0].clone();
    t.maintenance.apply_system(SystemChange::DeleteRole { tenant, name }).await?;
    assert_eq!(t.store.access().roles(&ada).await?.len(), 1);
    assert_eq!(t.store.access().user(&ada).await?.present()?.roles, [roles[1].clone()]);

    for (tenant, name) in [("b", "x"), ("a", "y"), ("a", "x")] {
        apply(&*t.store, &tenant_user(tenant, name)?, setting("a", 1)?).await?;
    }
    let users = all_pages!(2, |page| t.maintenance.users(page));
    let seen: Vec<_> = users.iter().map(|(tenant, user)| (tenant.as_str(), user.id.as_str())).collect();
    assert_eq!(seen, [("a", "x"), ("a", "y"), ("b", "x"), ("default", "ada")]);
    Ok(())
}

pub(super) async fn role_must_exist(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (tenant, owner, status) = (ada.tenant().clone(), ada.person().clone(), UserStatus::Active);
    let other = TenantId::parse("other")?;
    t.maintenance.apply_system(SystemChange::PutRole { tenant: other, role: role("admin")? }).await?;
    let put = SystemChange::PutUser { tenant, owner, status, roles: vec![RoleName::parse("admin")?] };
    refused(t.maintenance.apply_system(put).await, StoreErrorKind::NotFound);
    assert_eq!(t.store.access().user(&ada).await?, None);
    Ok(())
}

/// A header of a vault.
pub(super) fn header() -> VaultHeader {
    VaultHeader { id: VaultId::make(&SystemClock), format: 7, root_key: 3, created_at: SystemClock.now() }
}

/// A wrapping of its root key.
pub(super) fn wrap(t: &Instance) -> Result<RootKeyWrap, Failure> {
    let wrapped = World::new(t.now())?.wrapped();
    let (id, source) = (RootKeyWrapId::make(&SystemClock), "key-file".to_owned());
    Ok(RootKeyWrap { id, root_key: 3, source, wrapped, created_at: t.now() })
}

pub(super) async fn vault_is_made_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let tenant = TenantId::default_tenant();
    let (header, first) = (header(), wrap(&t)?);
    let init = SystemChange::InitVault { tenant: tenant.clone(), header: header.clone(), wrap: first.clone() };
    t.maintenance.apply_system(init.clone()).await?;
    refused(t.maintenance.apply_system(init).await, StoreErrorKind::AlreadyExists);
    let found = t.store.secrets().vault(&tenant).await?.present()?;
    assert_eq!((found.id, found.format, found.root_key), (header.id, 7, 3));
    let wraps = t.store.secrets().root_key_wraps(&tenant).await?;
    assert_eq!(wraps.len(), 1);
    assert_eq!((wraps[0].id, wraps[0].root_key, &wraps[0].source), (first.id, 3, &first.source));
    assert_eq!(wraps[0].wrapped, first.wrapped);
    let other = TenantId::parse("other")?;
    assert_eq!(t.store.secrets().vault(&other).await?, None);
    assert_eq!(t.store.secrets().root_key_wraps(&other).await?, []);
    Ok(())
}

pub(super) async fn root_key_wraps(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let tenant = TenantId::default_tenant();
    let first = wrap(&t)?;
    t.clock.advance(Duration::from_secs(1));
    let second = wrap(&t)?;
    let add = SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap: second.clone() };
    refused(t.maintenance.apply_system(add.clone()).await, StoreErrorKind::NotFound);
    let init = SystemChange::InitVault { tenant: tenant.clone(), header: header(), wrap: first.clone() };
    t.maintenance.apply_system(init).await?;
    t.maintenance.apply_system(add).await?;
    let ids = |wraps: Vec<RootKeyWrap>| wraps.into_iter().map(|wrap| wrap.id).collect::<Vec<_>>();
    assert_eq!(ids(t.store.secrets().root_key_wraps(&tenant).await?), [first.id, second.id]);
    let remove = |id| SystemChange::RemoveRootKeyWrap { tenant: tenant.clone(), id };
    t.maintenance.apply_system(remove(first.id)).await?;
    refused(t.maintenance.apply_system(remove(first.id)).await, StoreErrorKind::NotFound);
    let last = t.maintenance.apply_system(remove(second.id)).await;
    assert!(last.is_err(), "the last wrapping can't be removed");
    assert_eq!(ids(t.store.secrets().root_key_wraps(&tenant).await?), [second.id]);
    Ok(())
}

pub(super) async fn holds_and_their_release(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let (first, second) = (place_hold(&t, &ada).await?, place_hold(&t, &bob).await?);
    release_hold(&t, first).await?;
    let again = t.maintenance.apply_system(SystemChange::ReleaseHold { id: first }).await;
    refused(again, StoreErrorKind::NotFound);
    let unknown = SystemChange::ReleaseHold { id: HoldId::make(&SystemClock) };
    refused(t.maintenance.apply_system(unknown).await, StoreErrorKind::NotFound);
    let holds = all_pages!(1, |page| t.maintenance.holds(page));
    let seen: Vec<_> = holds.iter().map(|hold| (hold.id, hold.owner.name(), hold.released_at.is_some())).collect();
    assert_eq!(seen, [(first, "ada", true), (second, "bob", false)]);
    assert!(holds.iter().all(|hold| hold.reason == hostile("reason")));
    assert!(holds.iter().all(|hold| hold.created_at > Timestamp::from_micros(1)), "the store dates a hold");
    Ok(())
}

pub(super) async fn quotas(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, QuotaName::parse(hostile_name("quota"))?);
    for limit in [0, 5, u64::from(u32::MAX)] {
        put_quota(&t, &ada, &name, limit).await?;
        let quota = t.store.settings().quota(&ada, &name).await?.present()?;
        assert_eq!((quota.limit, quota.used), (limit, 0));
    }
    assert_eq!(t.store.settings().quota(&user("bob")?, &name).await?, None);
    Ok(())
}

pub(super) async fn retention_policies(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let put = |tenant: &str, category, days| {
        Ok::<_, Failure>(SystemChange::PutRetention { tenant: TenantId::parse(tenant)?, category, days })
    };
    for (tenant, category, days) in [
        ("b", RetainedCategory::Jobs, 3),
        ("a", RetainedCategory::Workspace, u32::MAX),
        ("a", RetainedCategory::Conversations, 1),
        ("b", RetainedCategory::Jobs, 4),
    ] {
        t.maintenance.apply_system(put(tenant, category, days)?).await?;
    }
    let none = t.maintenance.apply_system(put("a", RetainedCategory::Jobs, 0)?).await;
    let none = none.map_err(|e| e.kind().clone());
    assert!(matches!(none, Err(StoreErrorKind::InvalidInput(_))), "{none:?}");
    let found = t.maintenance.retention_policies().await?;
    let mut seen: Vec<_> = found.iter().map(|p| (p.tenant.as_str(), p.category, p.days)).collect();
    assert!(seen.is_sorted_by_key(|(tenant, ..)| *tenant), "{seen:?}");
    seen.sort_by_key(|(.., days)| *days);
    let expected = [
        ("a", RetainedCategory::Conversations, 1),
        ("b", RetainedCategory::Jobs, 4),
        ("a", RetainedCategory::Workspace, u32::MAX),
    ];
    assert_eq!(seen, expected);
    for _ in 0..2 {
        let (tenant, category) = (TenantId::parse("b")?, RetainedCategory::Jobs);
        t.maintenance.apply_system(SystemChange::DeleteRetention { tenant, category }).await?;
    }
    assert_eq!(t.maintenance.retention_policies().await?.len(), 2);
    Ok(())
}

pub(super) async fn checkpoints(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for size in [1, 5] {
        let (root, note, created_at) = ([size as u8; 32], hostile("note"), Timestamp::from_micros(1));
        let checkpoint = AuditCheckpoint { size, root, note, created_at };
        t.maintenance.apply_system(SystemChange::PutCheckpoint { checkpoint }).await?;
    }
    let found = all_pages!(1, |page| t.maintenance.checkpoints(page));
    let seen: Vec<_> = found.iter().map(|c| (c.size, c.root, c.note == hostile("note"))).collect();
    assert_eq!(seen, [(1, [1; 32], true), (5, [5; 32], true)]);
    assert!(found.iter().all(|c| c.created_at > Timestamp::from_micros(1)));
    Ok(())
}

pub(super) async fn is_audited_under_the_operator(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let hold = place_hold(&t, &ada).await?;
    put_quota(&t, &ada, &QuotaName::parse("q")?, 5).await?;
    release_hold(&t, hold).await?;
    put_status(&t, &ada, UserStatus::Suspended).await?;
    let unknown = SystemChange::ReleaseHold { id: HoldId::make(&SystemClock) };
    refused(t.maintenance.apply_system(unknown).await, StoreErrorKind::NotFound);
    let events = all_pages!(2, |page| t.maintenance.system_events(page));
    let actions: Vec<_> = events.iter().map(|entry| entry.event.action).collect();
    let expected = [Action::HoldPlace, Action::QuotaPut, Action::HoldRelease, Action::UserPut, Action::HoldRelease];
    assert_eq!(actions, expected);
    let successes = events.iter().filter(|e| e.event.outcome == crate::model::audit::Outcome::Success).count();
    assert_eq!(successes, 4, "the refused release is audited as refused");
    for entry in &events {
        assert_eq!(entry.event.stream, StreamId::SYSTEM);
        let kinds: Vec<_> = entry.event.principals.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [PrincipalKind::Operator]);
    }
    let heads = t.maintenance.verify_audit().await?;
    assert!(heads.iter().any(|head| head.stream == StreamId::SYSTEM && head.sequence == 5), "{heads:?}");
    let page = PageRequest::default();
    assert_eq!(t.store.audit().events(&ada, &crate::model::audit::AuditFilter::default(), &page).await?.items, []);
    Ok(())
}

pub(super) async fn integrity_is_good(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    World::new(t.now())?.seed(&*t.store, &ada).await?;
    apply(&*t.store, &ada, crate::change::PrivacyOp::Forget).await?;
    World::new(t.now())?.seed(&*t.store, &user("bob")?).await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

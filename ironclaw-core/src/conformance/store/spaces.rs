//! Spaces: who finds what there, what members may do, and what is left when they go.

use std::time::Duration;

use super::fixtures::{File, apply, conversation, data_key_op, say, setting};
use super::system::put_status;
use super::{Instance, StoreSubject, tenant_user, user, with_agent};
use crate::Receipt;
use crate::change::{AccessOp, Change, ConversationOp, PrivacyOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, at_once, refused};
use crate::id::{DataKeyId, ErasureId, HoldId, IdempotencyKey, MembershipId, QuotaName, SpaceName, UserId};
use crate::maintenance::SystemChange;
use crate::model::access::UserStatus;
use crate::model::audit::{Action, AuditFilter, AuditPrincipal, Outcome as Audited};
use crate::model::privacy::Hold;
use crate::model::spaces::{Membership, SpaceRole};
use crate::page::PageRequest;
use crate::scope::{Owner, Scope};
use crate::store::{Store, StoreError, StoreErrorKind};

/// What makes a space.
fn create() -> AccessOp {
    AccessOp::CreateSpace { membership: MembershipId::make(&SystemClock) }
}

/// Makes the space that a scope is in.
async fn found(store: &dyn Store, scope: &Scope) -> Result<Receipt, StoreError> {
    apply(store, scope, create()).await
}

fn member_op(member: &Scope, role: SpaceRole) -> AccessOp {
    AccessOp::PutMember { id: MembershipId::make(&SystemClock), user: member.person().clone(), role }
}

async fn put(store: &dyn Store, by: &Scope, member: &Scope, role: SpaceRole) -> Result<Receipt, StoreError> {
    apply(store, by, member_op(member, role)).await
}

async fn members(t: &Instance, scope: &Scope) -> Result<Vec<Membership>, Failure> {
    Ok(all_pages!(2, |page| t.store.access().members(scope, None, page)))
}

/// The membership in force of somebody, as this scope sees it.
async fn membership(t: &Instance, scope: &Scope, of: &Scope) -> Result<Membership, Failure> {
    let mut all = members(t, scope).await?.into_iter();
    all.find(|member| member.user == *of.person() && member.valid_until.is_none()).present()
}

async fn erase(t: &Instance, scope: &Scope) -> Result<Receipt, StoreError> {
    let (tenant, owner) = (scope.tenant().clone(), scope.owner().clone());
    t.maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) }).await
}

/// Ada and Bob in a space that Ada made, where Bob has a role.
async fn two(t: &Instance, role: SpaceRole) -> Result<(Scope, Scope), Failure> {
    let (ada, bob) = (user("ada")?.in_space("team")?, user("bob")?.in_space("team")?);
    found(&*t.store, &ada).await?;
    put(&*t.store, &ada, &bob, role).await?;
    Ok((ada, bob))
}

pub(super) async fn whoever_is_no_member_finds_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?.in_space("team")?;
    found(&*t.store, &ada).await?;
    let id = conversation(&*t.store, &ada).await?;
    say(&*t.store, &ada, id, "the launch is on Friday").await?;
    File::new("plan.md", "the launch")?.write(&*t.store, &ada).await?;
    apply(&*t.store, &ada, setting("a", 1)?).await?;
    for stranger in [user("bob")?.in_space("team")?, tenant_user("other", "ada")?.in_space("team")?] {
        let nowhere = stranger.in_space("nowhere")?;
        for scope in [&stranger, &nowhere] {
            assert_eq!(t.store.conversations().conversation(scope, id).await?, None);
            let page = PageRequest::default();
            assert!(t.store.conversations().conversations(scope, &page).await?.items.is_empty());
            assert!(t.store.access().members(scope, None, &page).await?.items.is_empty());
            assert_eq!(t.store.audit().head(scope).await?, None);
            assert_eq!(t.store.audit().verify(scope).await?, None);
            assert_eq!(t.store.settings().setting(scope, &"a".parse()?).await?, None);
        }
        // The same words for what is there and what is not.
        let told = async |scope: &Scope| match say(&*t.store, scope, id, "me too").await {
            Ok(_) => Err(Failure::new("a stranger wrote")),
            Err(error) => Ok((error.kind().clone(), error.to_string())),
        };
        assert_eq!(told(&stranger).await?, told(&nowhere).await?);
        refused(say(&*t.store, &stranger, id, "me too").await, StoreErrorKind::NotFound);
        refused(put(&*t.store, &stranger, &stranger, SpaceRole::Manager).await, StoreErrorKind::NotFound);
        refused(apply(&*t.store, &stranger, PrivacyOp::Forget).await, StoreErrorKind::NotFound);
        assert!(t.store.access().spaces(&stranger, &PageRequest::default()).await?.items.is_empty());
        // That they tried is in their own trail, and not in the space's.
        let failed = AuditFilter { outcome: Some(Audited::Failed), ..AuditFilter::default() };
        let own = t.store.audit().events(&stranger.outside(), &failed, &PageRequest::default()).await?;
        assert!(own.items.len() >= 3, "{} events", own.items.len());
        assert!(t.store.audit().events(&ada, &failed, &PageRequest::default()).await?.items.is_empty());
    }
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 1);
    // Nor is it in anybody's own place.
    assert_eq!(t.store.conversations().conversation(&ada.outside(), id).await?, None);
    t.store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn a_name_is_one_space(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    // A user of the same name, and a space of the same name elsewhere, are others.
    let (ada, of_ada) = (user("team")?, user("team")?.in_space("team")?);
    let other = tenant_user("other", "team")?.in_space("team")?;
    for scope in [&of_ada, &other] {
        found(&*t.store, scope).await?;
    }
    for (scope, value) in [(&ada, 1), (&of_ada, 2), (&other, 3)] {
        apply(&*t.store, scope, setting("a", value)?).await?;
    }
    for (scope, value) in [(&ada, 1), (&of_ada, 2), (&other, 3)] {
        assert_eq!(t.store.settings().setting(scope, &"a".parse()?).await?.present()?.value, value);
    }
    // Taken, for members and for others.
    for scope in [&of_ada, &user("bob")?.in_space("team")?] {
        refused(found(&*t.store, scope).await, StoreErrorKind::AlreadyExists);
    }
    refused(
        t.store.apply(&user("bob")?.in_space("new")?, Change::new().with(create()).with(create())).await,
        StoreErrorKind::AlreadyExists,
    );
    assert_eq!(
        t.store.access().members(&user("bob")?.in_space("new")?, None, &PageRequest::default()).await?.items,
        []
    );
    // Outside of a space, or by an agent, none is made.
    assert!(matches!(found(&*t.store, &ada).await.map_err(|e| e.kind().clone()), Err(StoreErrorKind::InvalidInput(_))));
    refused(found(&*t.store, &with_agent(&ada.in_space("more")?, "helper")?).await, StoreErrorKind::Denied);
    refused(put(&*t.store, &with_agent(&of_ada, "helper")?, &other, SpaceRole::Reader).await, StoreErrorKind::Denied);
    // Together with what is done in it, in one change.
    let whole = ada.in_space("whole")?;
    let bob = user("bob")?.in_space("whole")?;
    t.store
        .apply(&whole, Change::new().with(create()).with(member_op(&bob, SpaceRole::Writer)).with(setting("a", 4)?))
        .await?;
    assert_eq!(t.store.settings().setting(&bob, &"a".parse()?).await?.present()?.value, 4);
    Ok(())
}

pub(super) async fn roles_are_checked_in_the_write(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Reader).await?;
    let id = conversation(&*t.store, &ada).await?;
    assert!(t.store.conversations().conversation(&bob, id).await?.is_some());
    let writes: Vec<Change> = vec![
        Change::new().with(ConversationOp::Rename { id, title: "mine".into() }),
        File::new("a.md", "a")?.change(),
        Change::new().with(data_key_op(DataKeyId::make(&SystemClock), 1)),
    ];
    let decides: Vec<Change> = vec![
        Change::new().with(setting("a", 1)?),
        Change::new().with(AccessOp::PutAgent { name: "helper".parse()?, active: true }),
        Change::new().with(member_op(&bob, SpaceRole::Manager)),
        Change::new().with(PrivacyOp::Forget),
    ];
    for change in writes.iter().chain(&decides) {
        refused(t.store.apply(&bob, change.clone()).await, StoreErrorKind::Denied);
    }
    let denied = AuditFilter { outcome: Some(Audited::Denied), ..AuditFilter::default() };
    let events = all_pages!(5, |page| t.store.audit().events(&ada, &denied, page));
    let told: usize = writes.iter().chain(&decides).map(|change| change.events().len()).sum();
    assert_eq!(events.len(), told, "every refusal is in the space's trail");
    put(&*t.store, &ada, &bob, SpaceRole::Writer).await?;
    for change in &writes {
        t.store.apply(&bob, change.clone()).await?;
    }
    for change in &decides {
        refused(t.store.apply(&bob, change.clone()).await, StoreErrorKind::Denied);
    }
    put(&*t.store, &ada, &bob, SpaceRole::Manager).await?;
    for change in decides {
        t.store.apply(&bob, change).await?;
    }
    assert_eq!(t.store.conversations().conversation(&ada, id).await?, None, "a manager forgot");
    t.store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn memberships_keep_their_intervals(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Reader).await?;
    let first = membership(&t, &ada, &bob).await?;
    t.clock.advance(Duration::from_secs(1));
    let second = put(&*t.store, &ada, &bob, SpaceRole::Writer).await?.at;
    let id = membership(&t, &bob, &bob).await?.id;
    // A user who never wrote anything sees where they are a member.
    let own = t.store.access().spaces(&bob.outside(), &PageRequest::default()).await?.items;
    assert_eq!(own.iter().map(|m| (m.space.as_str(), m.role)).collect::<Vec<_>>(), [("team", SpaceRole::Writer)]);
    assert_eq!(t.store.access().spaces(&bob, &PageRequest::default()).await?.items, own);
    t.clock.advance(Duration::from_secs(1));
    let left = apply(&*t.store, &bob, AccessOp::RemoveMember { id }).await?.at;
    assert!(t.store.access().members(&bob, None, &PageRequest::default()).await?.items.is_empty());
    assert!(t.store.access().spaces(&bob, &PageRequest::default()).await?.items.is_empty());
    let of_bob = |at| {
        let (t, ada, bob) = (&t, &ada, &bob);
        async move {
            let found = t.store.access().members(ada, at, &PageRequest::default()).await?.items;
            let roles = found.into_iter().filter(|m| m.user == *bob.person()).map(|m| m.role).collect::<Vec<_>>();
            Ok::<_, StoreError>(roles)
        }
    };
    assert_eq!(of_bob(Some(first.valid_from)).await?, [SpaceRole::Reader]);
    assert_eq!(of_bob(Some(second)).await?, [SpaceRole::Writer]);
    assert_eq!(of_bob(Some(left)).await?, []);
    assert_eq!(of_bob(None).await?, [SpaceRole::Reader, SpaceRole::Writer]);
    // Ended again it stays as it was; somebody else's can't be ended by who is no manager.
    apply(&*t.store, &ada, AccessOp::RemoveMember { id }).await?;
    assert_eq!(of_bob(Some(second)).await?, [SpaceRole::Writer]);
    put(&*t.store, &ada, &bob, SpaceRole::Writer).await?;
    let of_ada = membership(&t, &ada, &ada).await?.id;
    refused(apply(&*t.store, &bob, AccessOp::RemoveMember { id: of_ada }).await, StoreErrorKind::Denied);
    let unknown = AccessOp::RemoveMember { id: MembershipId::make(&SystemClock) };
    refused(apply(&*t.store, &ada, unknown).await, StoreErrorKind::NotFound);
    let listed = all_pages!(1, |page| t.maintenance.members(ada.tenant(), ada.space().present()?, None, page));
    assert_eq!(listed, members(&t, &ada).await?);
    Ok(())
}

pub(super) async fn the_last_manager_stays(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Writer).await?;
    let id = membership(&t, &ada, &ada).await?.id;
    refused(apply(&*t.store, &ada, AccessOp::RemoveMember { id }).await, StoreErrorKind::Conflict);
    refused(put(&*t.store, &ada, &ada, SpaceRole::Writer).await, StoreErrorKind::Conflict);
    put(&*t.store, &ada, &ada, SpaceRole::Manager).await?;
    put(&*t.store, &ada, &bob, SpaceRole::Manager).await?;
    for round in 0..8 {
        // Both go at once, in one way or the other: one of them stays.
        let (of_ada, of_bob) = (membership(&t, &ada, &ada).await?.id, membership(&t, &bob, &bob).await?.id);
        let (target, own) =
            if round % 2 == 0 { ([of_bob, of_ada], [&ada, &bob]) } else { ([of_ada, of_bob], [&ada, &bob]) };
        let results = at_once(2, |n| {
            let (store, scope, id) = (t.store.clone(), own[n].clone(), target[n]);
            async move { apply(&*store, &scope, AccessOp::RemoveMember { id }).await }
        })
        .await?;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let tenant = ada.tenant();
        let left = all_pages!(9, |page| t.maintenance.members(tenant, ada.space().present()?, None, page));
        let left: Vec<_> = left.into_iter().filter(|m| m.valid_until.is_none()).collect();
        assert_eq!(left.len(), 1);
        let stays = if left[0].user == *ada.person() { &ada } else { &bob };
        let goes = if left[0].user == *ada.person() { &bob } else { &ada };
        put(&*t.store, stays, goes, SpaceRole::Manager).await?;
    }
    t.store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn a_removed_member_writes_no_more(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Writer).await?;
    let id = conversation(&*t.store, &ada).await?;
    for _ in 0..8 {
        put(&*t.store, &ada, &bob, SpaceRole::Writer).await?;
        let membership = membership(&t, &ada, &bob).await?.id;
        let results = at_once(6, |n| {
            let (store, ada, bob) = (t.store.clone(), ada.clone(), bob.clone());
            async move {
                match n {
                    3 => apply(&*store, &ada, AccessOp::RemoveMember { id: membership }).await.map(|r| r.at),
                    _ => apply(&*store, &bob, super::fixtures::saying(id, "still here")).await.map(|r| r.at),
                }
            }
        })
        .await?;
        let removed = *results[3].as_ref().map_err(|error| Failure::new(error))?;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(at) => assert!(n == 3 || at <= removed, "written at {at:?}, after {removed:?}"),
                Err(error) => assert_eq!(*error.kind(), StoreErrorKind::NotFound),
            }
        }
        refused(say(&*t.store, &bob, id, "late").await, StoreErrorKind::NotFound);
        assert_eq!(t.store.conversations().conversation(&bob, id).await?, None);
    }
    Ok(())
}

pub(super) async fn a_suspended_member_writes_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Writer).await?;
    put_status(&t, &bob, UserStatus::Suspended).await?;
    refused(conversation(&*t.store, &bob).await, StoreErrorKind::Suspended);
    conversation(&*t.store, &ada).await?;
    put_status(&t, &bob, UserStatus::Active).await?;
    conversation(&*t.store, &bob).await?;
    Ok(())
}

pub(super) async fn each_member_has_keys_of_their_own(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Manager).await?;
    let key = IdempotencyKey::parse("turn-1")?;
    let change = |value| Ok::<_, Failure>(Change::new().with(setting("a", value)?).idempotent(key.clone()));
    for (scope, value) in [(&bob, 1), (&ada, 1), (&ada.outside(), 2)] {
        assert!(!t.store.apply(scope, change(value)?).await?.replayed, "nobody has taken another's key");
        assert!(t.store.apply(scope, change(value)?).await?.replayed);
        refused(t.store.apply(scope, change(3)?).await, StoreErrorKind::IdempotencyKeyReused);
    }
    Ok(())
}

/// Who acted, by the events of a trail from the oldest.
async fn actors(t: &Instance, scope: &Scope) -> Result<Vec<(Action, Vec<AuditPrincipal>)>, Failure> {
    let entries = all_pages!(9, |page| t.store.audit().events(scope, &AuditFilter::default(), page));
    Ok(entries.into_iter().map(|entry| (entry.event.action, entry.event.principals)).collect())
}

pub(super) async fn events_carry_the_members_pseudonym(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Manager).await?;
    for scope in [&ada, &bob, &with_agent(&bob, "helper")?, &bob.outside()] {
        apply(&*t.store, scope, setting("a", 1)?).await?;
    }
    let told = actors(&t, &ada).await?;
    let actions: Vec<_> = told.iter().map(|(action, _)| *action).collect();
    let put = Action::SettingPut;
    assert_eq!(actions, [Action::SpaceCreate, Action::MemberPut, put, put, put]);
    let first = |n: usize| told[n].1[0];
    assert!(first(0) == first(1) && first(1) == first(2), "it was Ada each time");
    assert!(first(2) != first(3) && first(3) == first(4), "then Bob, and Bob's agent");
    assert_eq!(told[4].1.len(), 2);
    let page = t.store.audit().events(&ada, &AuditFilter::default(), &PageRequest::default()).await?;
    let names: Vec<_> = page.items.iter().map(|entry| entry.names[0].as_deref()).collect();
    assert_eq!(names, [Some("ada"), Some("ada"), Some("ada"), Some("bob"), Some("bob")], "members see who did it");
    let own = actors(&t, &bob.outside()).await?;
    assert_ne!(own[0].1[0], first(3), "what a member does elsewhere can't be told from the space's trail");
    t.maintenance.verify_audit().await?;
    Ok(())
}

pub(super) async fn whoever_is_erased_leaves_the_space(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let name = "needle-3f9a";
    let (ada, gone) = (user("ada")?.in_space("team")?, user(name)?.in_space("team")?);
    found(&*t.store, &ada).await?;
    put(&*t.store, &ada, &gone, SpaceRole::Manager).await?;
    let request = crate::RequestContext::new(Some("request-77b1".into()), None, None)?;
    let acting = gone.in_request(request);
    let id = conversation(&*t.store, &acting).await?;
    say(&*t.store, &acting, id, "the launch is on Friday").await?;
    refused(
        apply(&*t.store, &acting, PrivacyOp::Forget)
            .await
            .and(conversation(&*t.store, &user("eve")?.in_space("team")?).await),
        StoreErrorKind::NotFound,
    );
    let id = conversation(&*t.store, &acting).await?;
    // A hold on the space keeps what it tells of its members.
    let hold = |owner: Owner| Hold {
        id: HoldId::make(&SystemClock),
        tenant: ada.tenant().clone(),
        owner,
        reason: "a case".into(),
        created_at: t.now(),
        released_at: None,
    };
    let placed = hold(ada.owner().clone());
    t.maintenance.apply_system(SystemChange::PlaceHold { hold: placed.clone() }).await?;
    refused(erase(&t, &gone.outside()).await, StoreErrorKind::LegalHold);
    refused(erase(&t, &ada).await, StoreErrorKind::LegalHold);
    refused(apply(&*t.store, &ada, ConversationOp::Delete { id }).await, StoreErrorKind::LegalHold);
    assert_eq!(t.maintenance.holds(&PageRequest::default()).await?.items[0].owner, *ada.owner());
    t.maintenance.apply_system(SystemChange::ReleaseHold { id: placed.id }).await?;
    let head = t.store.audit().verify(&ada).await?.present()?;
    erase(&t, &gone.outside()).await?;
    assert_eq!(t.store.audit().verify(&ada).await?.present()?, head, "the trail still verifies");
    assert!(t.store.conversations().conversation(&ada, id).await?.is_some(), "what they wrote is the space's");
    assert!(members(&t, &ada).await?.iter().all(|member| member.user.as_str() != name));
    refused(conversation(&*t.store, &gone).await, StoreErrorKind::NotFound);
    t.maintenance.verify_audit().await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    // One who comes by that name later is somebody else.
    assert_eq!(t.store.access().spaces(&gone, &PageRequest::default()).await?.items, []);
    Ok(())
}

pub(super) async fn the_erased_are_named_nowhere(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (name, space) = ("needle-3f9a", "needle-c041");
    let (ada, gone) = (user("ada")?.in_space(space)?, user(name)?.in_space(space)?);
    found(&*t.store, &ada).await?;
    put(&*t.store, &ada, &gone, SpaceRole::Manager).await?;
    let request = crate::RequestContext::new(Some("request-77b1".into()), None, None)?;
    let acting = gone.in_request(request);
    conversation(&*t.store, &acting).await?;
    put(&*t.store, &acting, &user("eve")?, SpaceRole::Reader).await?;
    let eve = membership(&t, &ada, &user("eve")?).await?.id;
    apply(&*t.store, &acting, AccessOp::RemoveMember { id: eve }).await?;
    let (tenant, user_id) = (ada.tenant().clone(), gone.person().clone());
    let appoint = SystemChange::AppointManager {
        tenant,
        space: SpaceName::parse(space)?,
        user: user_id,
        membership: MembershipId::make(&SystemClock),
    };
    t.maintenance.apply_system(appoint).await?;
    let names = async |t: &Instance, text: &str| -> Result<Vec<String>, Failure> {
        let stored = subject.harness.stored(&t.place).await?;
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        Ok(stored.into_iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place).collect())
    };
    assert!(!names(&t, name).await?.is_empty() && !names(&t, "request-77b1").await?.is_empty());
    erase(&t, &gone.outside()).await?;
    assert_eq!(t.maintenance.scrub().await?.pending, Vec::<String>::new());
    for text in [name, "request-77b1"] {
        assert_eq!(names(&t, text).await?, Vec::<String>::new(), "{text}");
    }
    // The same of a space, which takes nothing of its members with it.
    conversation(&*t.store, &ada.outside()).await?;
    erase(&t, &ada).await?;
    assert_eq!(t.maintenance.scrub().await?.pending, Vec::<String>::new());
    assert_eq!(names(&t, space).await?, Vec::<String>::new());
    assert_eq!(t.store.audit().head(&ada).await?, None);
    t.store.audit().verify(&ada.outside()).await?.present()?;
    t.maintenance.verify_audit().await?;
    Ok(())
}

pub(super) async fn operators_appoint_and_limit(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = two(&t, SpaceRole::Reader).await?;
    let (tenant, space) = (ada.tenant().clone(), ada.space().present()?.clone());
    let appoint = |space: &SpaceName, user: &UserId| {
        let (tenant, space, user) = (tenant.clone(), space.clone(), user.clone());
        SystemChange::AppointManager { tenant, space, user, membership: MembershipId::make(&SystemClock) }
    };
    erase(&t, &ada.outside()).await?;
    refused(apply(&*t.store, &bob, setting("a", 1)?).await, StoreErrorKind::Denied);
    t.maintenance.apply_system(appoint(&space, bob.person())).await?;
    apply(&*t.store, &bob, setting("a", 1)?).await?;
    // Where there is none yet, it is made.
    let fresh = bob.in_space("fresh")?;
    t.maintenance.apply_system(appoint(fresh.space().present()?, bob.person())).await?;
    conversation(&*t.store, &fresh).await?;
    let spaces = all_pages!(1, |page| t.maintenance.spaces(page));
    assert_eq!(spaces.iter().map(|(_, space)| space.name.as_str()).collect::<Vec<_>>(), ["fresh", "team"]);
    let users = all_pages!(1, |page| t.maintenance.users(page));
    assert!(users.iter().all(|(_, user)| user.id.as_str() == "bob"), "a space is no user: {users:?}");
    let (owner, name) = (bob.owner().clone(), QuotaName::parse("tokens")?);
    let quota =
        |owner: Owner, limit| SystemChange::PutQuota { tenant: tenant.clone(), owner, name: name.clone(), limit };
    t.maintenance.apply_system(quota(owner, 10)).await?;
    let charge = crate::change::SettingOp::ChargeQuota { name: name.clone(), amount: 6 };
    apply(&*t.store, &bob, charge.clone()).await?;
    refused(apply(&*t.store, &bob, charge.clone()).await, StoreErrorKind::QuotaExceeded);
    apply(&*t.store, &bob.outside(), charge).await?;
    let nowhere = Owner::from(SpaceName::parse("nowhere")?);
    refused(t.maintenance.apply_system(quota(nowhere, 10)).await, StoreErrorKind::NotFound);
    assert_eq!(t.store.access().user(&bob).await?, None, "a space is no user");
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    t.maintenance.verify_audit().await?;
    Ok(())
}

use std::time::Duration;

use super::fixtures::apply;
use super::world::World;
use super::{StoreSubject, user};
use crate::change::AccessOp;
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, refused};
use crate::id::{AgentName, PolicyId};
use crate::model::access::{Approval, ApprovalState, Lease};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, page) = (user("ada")?, PageRequest::default());
    let world = World::new(t.now())?;
    let read = t.store.access();
    assert_eq!(read.user(&ada).await?, None);
    assert_eq!(read.roles(&ada).await?, []);
    assert_eq!(read.agent(&ada, &world.agent).await?, None);
    assert_eq!(read.agents(&ada, &page).await?.items, []);
    assert_eq!(read.policies(&ada, None, None, &page).await?.items, []);
    assert_eq!(read.token(&ada, world.token).await?, None);
    assert_eq!(read.api_key(&ada, world.api_key).await?, None);
    assert_eq!(read.api_keys(&ada, &page).await?.items, []);
    assert_eq!(read.lease(&ada, world.lease).await?, None);
    assert_eq!(read.approval(&ada, world.approval).await?, None);
    assert_eq!(read.approvals(&ada, &page).await?.items, []);
    assert_eq!(read.tool_grants(&ada, &world.tool, &page).await?.items, []);
    Ok(())
}

pub(super) async fn round_trips_every_field(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, page) = (user("ada")?, PageRequest::default());
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let read = t.store.access();
    let agent = read.agent(&ada, &world.agent).await?.present()?;
    assert_eq!((&agent.name, agent.active), (&world.agent, true));
    assert_eq!(read.agents(&ada, &page).await?.items, [agent]);
    assert_eq!(read.policies(&ada, None, None, &page).await?.items, [world.new_policy()]);
    assert_eq!(read.policies(&ada, Some(&world.agent), Some(world.now), &page).await?.items, [world.new_policy()]);
    let other = AgentName::parse("another")?;
    assert_eq!(read.policies(&ada, Some(&other), None, &page).await?.items, []);
    assert_eq!(read.token(&ada, world.token).await?, Some(world.new_token()));
    assert_eq!(read.api_key(&ada, world.api_key).await?, Some(world.new_api_key()));
    assert_eq!(read.api_keys(&ada, &page).await?.items, [world.new_api_key()]);
    assert_eq!(read.lease(&ada, world.lease).await?, Some(Lease { uses_left: 9, ..world.new_lease() }));

    let decided = read.approval(&ada, world.approval).await?.present()?;
    let decided_at = Some(decided.decided_at.present()?);
    let (asked, open) = (world.new_approval(world.approval), world.new_approval(world.open_approval));
    assert_eq!(decided, Approval { state: ApprovalState::Approved, decided_at, ..asked });
    assert_eq!(read.approval(&ada, world.open_approval).await?, Some(open.clone()));
    let mut approvals = vec![decided, open];
    approvals.sort_by_key(|approval| approval.id);
    assert_eq!(read.approvals(&ada, &page).await?.items, approvals);
    assert_eq!(read.tool_grants(&ada, &world.tool, &page).await?.items, [world.new_grant()]);
    let user = read.user(&ada).await?.present()?;
    assert_eq!((user.id.as_str(), user.roles.len()), ("ada", 0));
    Ok(())
}

pub(super) async fn every_change_of_policy_counts_the_epoch(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let (name, other) = (world.agent.clone(), AgentName::parse("another")?);
    apply(&*t.store, &ada, AccessOp::PutAgent { name: other.clone(), active: true }).await?;
    let untouched = t.store.access().agent(&ada, &other).await?.present()?;
    let steps = [
        AccessOp::PutAgent { name: name.clone(), active: true },
        AccessOp::PutPolicy { policy: world.new_policy() },
        AccessOp::RevokePolicy { id: world.policy },
        AccessOp::PutAgent { name: name.clone(), active: false },
    ];
    let mut epoch = 0;
    for step in steps {
        apply(&*t.store, &ada, step.clone()).await?;
        let agent = t.store.access().agent(&ada, &name).await?.present()?;
        assert!(agent.policy_epoch > epoch, "{step:?} did not count the epoch {epoch} up");
        epoch = agent.policy_epoch;
    }
    assert!(!t.store.access().agent(&ada, &name).await?.present()?.active);
    assert_eq!(t.store.access().agent(&ada, &other).await?.present()?, untouched);
    Ok(())
}

pub(super) async fn policies_of_a_time(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let second = Duration::from_secs(1);
    apply(&*t.store, &ada, AccessOp::PutAgent { name: world.agent.clone(), active: true }).await?;
    let mut forever = world.new_policy();
    forever.id = PolicyId::make(&SystemClock);
    forever.valid_until = None;
    let bounded = world.new_policy();
    for policy in [&forever, &bounded] {
        apply(&*t.store, &ada, AccessOp::PutPolicy { policy: policy.clone() }).await?;
    }
    t.clock.advance(10 * second);
    let revoked_at = apply(&*t.store, &ada, AccessOp::RevokePolicy { id: forever.id }).await?.at;
    let end = bounded.valid_until.present()?;
    let times = [
        (bounded.valid_from.before(second), 0),
        (bounded.valid_from, 2),
        (revoked_at.before(second), 2),
        (revoked_at, 1),
        (end.before(second), 1),
        (end, 0),
    ];
    for (at, expected) in times {
        let found = t.store.access().policies(&ada, None, Some(at), &PageRequest::default()).await?.items;
        assert_eq!(found.len(), expected, "at {at}: {found:?}");
    }
    let ever = t.store.access().policies(&ada, Some(&world.agent), None, &PageRequest::default()).await?.items;
    assert_eq!(ever.len(), 2, "a revoked policy is kept: who had access on that day?");
    let kept = ever.iter().find(|policy| policy.id == forever.id).present()?;
    assert_eq!(kept.valid_until, Some(revoked_at));
    Ok(())
}

pub(super) async fn revoking_is_dated(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, page) = (user("ada")?, PageRequest::default());
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    t.clock.advance(Duration::from_secs(5));
    let read = t.store.access();
    let token = apply(&*t.store, &ada, AccessOp::RevokeToken { id: world.token }).await?.at;
    assert_eq!(read.token(&ada, world.token).await?.present()?.revoked_at, Some(token));
    let key = apply(&*t.store, &ada, AccessOp::RevokeApiKey { id: world.api_key }).await?.at;
    assert_eq!(read.api_key(&ada, world.api_key).await?.present()?.revoked_at, Some(key));
    let lease = apply(&*t.store, &ada, AccessOp::RevokeLease { id: world.lease }).await?.at;
    assert_eq!(read.lease(&ada, world.lease).await?.present()?.revoked_at, Some(lease));
    let grant = apply(&*t.store, &ada, AccessOp::RevokeToolGrant { id: world.grant }).await?.at;
    let grants = read.tool_grants(&ada, &world.tool, &page).await?.items;
    assert_eq!(grants.first().present()?.revoked_at, Some(grant), "an ended grant is still listed");
    Ok(())
}

pub(super) async fn unknown_is_not_found(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let operations = [
        AccessOp::RevokePolicy { id: world.policy },
        AccessOp::RevokeToken { id: world.token },
        AccessOp::RevokeApiKey { id: world.api_key },
        AccessOp::RevokeLease { id: world.lease },
        AccessOp::RedeemLease { id: world.lease },
        AccessOp::DecideApproval { id: world.approval, approved: true },
        AccessOp::RevokeToolGrant { id: world.grant },
        AccessOp::PutPolicy { policy: world.new_policy() },
    ];
    for operation in operations {
        let result = apply(&*t.store, &ada, operation.clone()).await;
        assert!(result.is_err(), "{operation:?}");
        refused(result, StoreErrorKind::NotFound);
    }
    Ok(())
}

pub(super) async fn approvals_are_decided_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    apply(&*t.store, &ada, AccessOp::PutAgent { name: world.agent.clone(), active: true }).await?;
    for (id, approved, state) in
        [(world.approval, true, ApprovalState::Approved), (world.open_approval, false, ApprovalState::Denied)]
    {
        apply(&*t.store, &ada, AccessOp::RequestApproval { approval: world.new_approval(id) }).await?;
        let at = apply(&*t.store, &ada, AccessOp::DecideApproval { id, approved }).await?.at;
        for again in [true, false] {
            let decide = AccessOp::DecideApproval { id, approved: again };
            refused(apply(&*t.store, &ada, decide).await, StoreErrorKind::Conflict);
        }
        let found = t.store.access().approval(&ada, id).await?.present()?;
        assert_eq!((found.state, found.decided_at), (state, Some(at)));
    }
    Ok(())
}

pub(super) async fn lapsed_approval_is_a_conflict(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    apply(&*t.store, &ada, AccessOp::PutAgent { name: world.agent.clone(), active: true }).await?;
    let approval = world.new_approval(world.approval);
    apply(&*t.store, &ada, AccessOp::RequestApproval { approval }).await?;
    t.clock.advance(Duration::from_secs(7_203));
    let decide = AccessOp::DecideApproval { id: world.approval, approved: true };
    refused(apply(&*t.store, &ada, decide).await, StoreErrorKind::Conflict);
    let found = t.store.access().approval(&ada, world.approval).await?.present()?;
    assert_eq!((found.state, found.decided_at), (ApprovalState::Pending, None));
    Ok(())
}

pub(super) async fn an_id_is_given_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let operations = [
        AccessOp::PutPolicy { policy: world.new_policy() },
        AccessOp::IssueToken { token: world.new_token() },
        AccessOp::MakeApiKey { key: world.new_api_key() },
        AccessOp::GrantLease { lease: world.new_lease() },
        AccessOp::RequestApproval { approval: world.new_approval(world.approval) },
        AccessOp::GrantTool { grant: world.new_grant() },
    ];
    for operation in operations {
        refused(apply(&*t.store, &ada, operation).await, StoreErrorKind::AlreadyExists);
    }
    let lease = t.store.access().lease(&ada, world.lease).await?.present()?;
    assert_eq!(lease.uses_left, 9, "a lease can't be granted again to refill it");
    Ok(())
}

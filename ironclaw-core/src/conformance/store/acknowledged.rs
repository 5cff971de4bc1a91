//! What was taken back is taken back: once it is acknowledged that a hold stands, a user is suspended, a policy has
//! ended, nothing goes through any more that it forbids, however long it had been waiting.

use std::future::Future;
use std::time::Duration;

use super::fixtures::{File, apply, conversation, data_key, job, lease, secret_op, setting};
use super::races::{Answer, ROUNDS, call, is_of_its_own, system};
use super::settings::put_quota;
use super::{Instance, StoreSubject, user};
use crate::change::{
    AccessOp, Change, ConversationOp, JobOp, Operation, Precondition, SecretOp, SettingOp, WorkspaceOp,
};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::{Failure, Outcome, Present, all_pages};
use crate::id::{AgentName, ConversationId, HoldId, QuotaName, SecretName, SettingKey, TenantId};
use crate::maintenance::SystemChange;
use crate::model::access::UserStatus;
use crate::model::jobs::JobFilter;
use crate::model::privacy::{Hold, RetainedCategory};
use crate::scope::Scope;
use crate::store::SearchFilter;

/// How many calls are under way when something is taken back.
const CALLS: usize = 16;

/// Makes the calls at once, takes back beside them what they need, and asserts that from the acknowledgement on what
/// `seen` gives stays as it was.
async fn nothing_after<C, S>(
    calls: Vec<C>,
    taking_back: impl Future<Output = Answer> + Send + 'static,
    seen: impl Fn() -> S,
) -> Outcome
where
    C: Future<Output = Answer> + Send + 'static,
    S: Future<Output = Result<u64, Failure>>,
{
    let half = calls.len() / 2;
    let mut calls = calls.into_iter();
    let mut under_way: Vec<_> = calls.by_ref().take(half).map(tokio::spawn).collect();
    let taking_back = tokio::spawn(taking_back);
    under_way.extend(calls.map(tokio::spawn));
    taking_back.await??;
    let at = seen().await?;
    for call in under_way {
        if let Err(error) = call.await? {
            assert!(is_of_its_own(&error), "{error:?}");
        }
    }
    assert_eq!(seen().await?, at, "what was waiting went through");
    Ok(())
}

/// How many things of a user there are that can be deleted.
async fn things(t: &Instance, scope: &Scope) -> Result<u64, Failure> {
    let (store, filter, files) = (&*t.store, JobFilter::default(), SearchFilter::default());
    let mut things = all_pages!(1_000, |page| store.conversations().conversations(scope, page)).len();
    things += all_pages!(1_000, |page| store.jobs().jobs(scope, &filter, page)).len();
    things += all_pages!(1_000, |page| store.settings().settings(scope, page)).len();
    things += all_pages!(1_000, |page| store.secrets().secrets(scope, page)).len();
    things += all_pages!(1_000, |page| store.workspace().entries(scope, files.prefix.as_ref(), page)).len();
    Ok(things as u64)
}

/// Makes something that can be deleted, of some kind, and what deletes it.
async fn deletable(t: &Instance, scope: &Scope, nr: usize) -> Result<Operation, Failure> {
    let store = &*t.store;
    Ok(match nr % 5 {
        0 => ConversationOp::Delete { id: conversation(store, scope).await? }.into(),
        1 => JobOp::Delete { job: job(store, scope).await? }.into(),
        2 => {
            let key = format!("setting {nr}");
            apply(store, scope, setting(&key, 1)?).await?;
            SettingOp::Delete { key: SettingKey::parse(key)? }.into()
        }
        3 => {
            let name = SecretName::parse(format!("secret {nr}"))?;
            let key = match store.secrets().newest_data_key(scope).await? {
                Some(key) => key.id,
                None => data_key(store, scope).await?,
            };
            apply(store, scope, secret_op(&name, 1, key)).await?;
            SecretOp::Delete { name }.into()
        }
        _ => {
            let file = File::new(&format!("{nr}.md"), "text")?;
            file.write(store, scope).await?;
            WorkspaceOp::DeleteEntry { path: file.path }.into()
        }
    })
}

pub(super) async fn nothing_is_deleted_after_a_hold(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS / 2 {
        let ada = user(&format!("ada {round}"))?;
        let mut calls = Vec::new();
        for nr in 0..CALLS {
            calls.push(call(&t, &ada, Change::new().with(deletable(&t, &ada, nr + round).await?)));
        }
        let hold = Hold {
            id: HoldId::make(&SystemClock),
            tenant: ada.tenant().clone(),
            owner: ada.owner().clone(),
            reason: String::new(),
            created_at: Timestamp::from_micros(1),
            released_at: None,
        };
        nothing_after(calls, system(&t, SystemChange::PlaceHold { hold }), || things(&t, &ada)).await?;
    }
    Ok(())
}

/// Changes that write a setting each, and need something.
fn writes(
    t: &Instance,
    scope: &Scope,
    needs: Option<&Precondition>,
) -> Result<Vec<impl Future<Output = Answer> + Send + use<>>, Failure> {
    let write = |nr: usize| {
        let change = Change::new().with(setting(&format!("written {nr}"), 1)?);
        Ok(call(t, scope, needs.iter().fold(change, |change, &needed| change.require(needed.clone()))))
    };
    (0..CALLS).map(write).collect()
}

pub(super) async fn nothing_is_written_after_a_suspension(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS / 2 {
        let ada = user(&format!("ada {round}"))?;
        let (tenant, owner) = (ada.tenant().clone(), ada.person().clone());
        let suspend = SystemChange::PutUser { tenant, owner, status: UserStatus::Suspended, roles: Vec::new() };
        nothing_after(writes(&t, &ada, None)?, system(&t, suspend), || things(&t, &ada)).await?;
    }
    Ok(())
}

pub(super) async fn nothing_is_done_under_an_old_policy(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS / 2 {
        let (ada, agent) = (user(&format!("ada {round}"))?, AgentName::parse("agent")?);
        apply(&*t.store, &ada, AccessOp::PutAgent { name: agent.clone(), active: true }).await?;
        let epoch = t.store.access().agent(&ada, &agent).await?.present()?.policy_epoch;
        let needed = Precondition::PolicyEpoch { agent: agent.clone(), epoch };
        let end = call(&t, &ada, Change::new().with(AccessOp::PutAgent { name: agent, active: false }));
        nothing_after(writes(&t, &ada, Some(&needed))?, end, || things(&t, &ada)).await?;
    }
    Ok(())
}

pub(super) async fn no_use_is_taken_after_a_revocation(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS / 2 {
        let ada = user(&format!("ada {round}"))?;
        let id = lease(&*t.store, &ada, 1_000, t.now()).await?.id;
        let redeem = |_| call(&t, &ada, Change::new().with(AccessOp::RedeemLease { id }));
        let revoke = call(&t, &ada, Change::new().with(AccessOp::RevokeLease { id }));
        let (store, ada) = (&t.store, &ada);
        let left = || async move { Ok(u64::from(store.access().lease(ada, id).await?.present()?.uses_left)) };
        nothing_after((0..CALLS).map(redeem).collect(), revoke, left).await?;
    }
    Ok(())
}

pub(super) async fn nothing_is_charged_beyond_a_lower_quota(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS / 2 {
        let (ada, name) = (user(&format!("ada {round}"))?, QuotaName::parse("quota")?);
        put_quota(&t, &ada, &name, 1_000).await?;
        let charge = |_| call(&t, &ada, Change::new().with(SettingOp::ChargeQuota { name: name.clone(), amount: 1 }));
        let (tenant, owner) = (ada.tenant().clone(), ada.owner().clone());
        let lower = system(&t, SystemChange::PutQuota { tenant, owner, name: name.clone(), limit: 0 });
        let (store, ada, name) = (&t.store, &ada, &name);
        let used = || async move { Ok(store.settings().quota(ada, name).await?.present()?.used) };
        nothing_after((0..CALLS).map(charge).collect(), lower, used).await?;
    }
    Ok(())
}

pub(super) async fn nothing_is_deleted_after_a_policy(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (tenant, category) = (TenantId::default_tenant(), RetainedCategory::Conversations);
    for _ in 0..2 {
        // More than a store may delete at once, so that the policy can end between.
        let create = |_| ConversationOp::Create { id: ConversationId::make(&SystemClock), title: "old".into() };
        t.store.apply(&ada, (0..1_500).map(create).fold(Change::new(), Change::with)).await?;
        t.clock.advance(Duration::from_secs(2 * 86_400));
        let put = SystemChange::PutRetention { tenant: tenant.clone(), category, days: 1 };
        t.maintenance.apply_system(put).await?;
        let maintenance = t.maintenance.clone();
        let retention = tokio::spawn(async move { maintenance.apply_retention().await });
        let before = things(&t, &ada).await?;
        while things(&t, &ada).await? == before && !retention.is_finished() {}
        let delete = SystemChange::DeleteRetention { tenant: tenant.clone(), category };
        t.maintenance.apply_system(delete).await?;
        let at = things(&t, &ada).await?;
        retention.await??;
        assert_eq!(things(&t, &ada).await?, at, "a policy that was deleted is followed");
    }
    Ok(())
}

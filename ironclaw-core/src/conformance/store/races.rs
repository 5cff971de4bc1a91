//! Two calls at once of which one only may go through: everything that is looked at before it is written.
//!
//! | looked at | before | case |
//! |---|---|---|
//! | suspension | every change | `acknowledged::nothing_is_written_after_a_suspension` |
//! | legal holds | whatever loses a value | `acknowledged::nothing_is_deleted_after_a_hold` |
//! | legal holds | an erasure | `nobody_is_erased_twice_or_under_a_hold` |
//! | an idempotency key | every change that has one | `changes::same_key_at_once_applies_once` |
//! | a row's version | what requires it | `one_change_of_two_goes_through`, `concurrency::row_version_lets_one_win` |
//! | an agent's policy epoch | what requires it | `acknowledged::nothing_is_done_under_an_old_policy` |
//! | uses, expiry, revocation of a lease | a use | `one_change_of_two_goes_through`, `leases::a_hundred_redeem_ten_uses`, `acknowledged::no_use_is_taken_after_a_revocation` |
//! | a quota | a charge | `one_change_of_two_goes_through`, `settings::quota_is_never_overdrawn_by_many`, `acknowledged::nothing_is_charged_beyond_a_lower_quota` |
//! | whether an id is taken | what creates | `one_change_of_two_goes_through`, `concurrency::one_create_wins` |
//! | the highest number | a message, an event, a secret's version, a data key | `one_change_of_two_goes_through`, `concurrency::a_hundred_append_to_one_conversation` |
//! | a job's state and holder | a claim, a new state | `one_change_of_two_goes_through`, `jobs::claim_is_exclusive_among_many`, `processes::both_claim` |
//! | an approval's state | a decision | `one_change_of_two_goes_through` |
//! | a version's state and size | a part, publishing | `one_change_of_two_goes_through` |
//! | a model's dimensions | registering it | `one_change_of_two_goes_through` |
//! | a vault, its other wrappings | making one, removing a wrapping | `a_vault_keeps_a_wrapping` |
//! | whether a role exists | giving it | `nobody_holds_a_role_that_is_gone` |
//! | whether a hold stands | releasing it | `a_hold_is_released_once` |
//! | whether a checkpoint is there | putting it | `a_checkpoint_is_put_once` |
//! | whether a user is known | naming them in an event | `no_event_names_the_erased` |
//! | who has something old | a round of retention | `retention_brings_nobody_back` |
//! | a retention policy | each of its rounds | `acknowledged::nothing_is_deleted_after_a_policy` |

use std::future::Future;
use std::time::Duration;

use super::fixtures::{File, apply, conversation, data_key_op, job, lease, saying, secret_op, setting};
use super::settings::put_quota;
use super::system::{header, place_hold, release_hold, wrap};
use super::world::World;
use super::{Instance, StoreSubject, tenant_user, user};
use crate::change::{
    AccessOp, Change, ConversationOp, JobOp, Operation, Precondition, Receipt, Row, SettingOp, WorkspaceOp,
};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::{Failure, Outcome, Present, all_pages};
use crate::embedder::EmbeddingModel;
use crate::id::{
    ApprovalId, ConversationId, DataKeyId, EmbeddingModelId, ErasureId, HoldId, MessageId, QuotaName, RoleName,
    SecretName, SettingKey, TenantId, VersionId, WorkerName,
};
use crate::maintenance::SystemChange;
use crate::model::access::{UserRole, UserStatus};
use crate::model::audit::AuditCheckpoint;
use crate::model::jobs::JobState;
use crate::model::privacy::{Hold, RetainedCategory};
use crate::scope::Scope;
use crate::store::{StoreError, StoreErrorKind};

/// How often each two are let loose on each other.
pub(super) const ROUNDS: usize = 20;

/// What a call gives.
pub(super) type Answer = Result<Receipt, StoreError>;

/// Makes both calls at once; every other round the second begins first.
async fn both(
    round: usize,
    one: impl Future<Output = Answer> + Send + 'static,
    other: impl Future<Output = Answer> + Send + 'static,
) -> Result<[Answer; 2], Failure> {
    let (one, other) = match round % 2 {
        0 => {
            let one = tokio::spawn(one);
            (one, tokio::spawn(other))
        }
        _ => {
            let other = tokio::spawn(other);
            (tokio::spawn(one), other)
        }
    };
    Ok([one.await?, other.await?])
}

/// The call of an operator.
pub(super) fn system(t: &Instance, change: SystemChange) -> impl Future<Output = Answer> + Send + use<> {
    let maintenance = t.maintenance.clone();
    async move { maintenance.apply_system(change).await }
}

/// The call of a user.
pub(super) fn call(t: &Instance, scope: &Scope, change: Change) -> impl Future<Output = Answer> + Send + use<> {
    let (store, scope) = (t.store.clone(), scope.clone());
    async move { store.apply(&scope, change).await }
}

/// Asserts that one went through, and the other was refused for a reason of its own.
#[track_caller]
fn assert_one(what: &str, answers: &[Answer; 2]) {
    let went_through = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(went_through, 1, "{what}: {answers:?}");
    for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(is_of_its_own(refusal), "{what}: {refusal:?}");
    }
}

/// Whether the call was refused for what was there, and not because something failed.
pub(super) fn is_of_its_own(error: &StoreError) -> bool {
    use StoreErrorKind::{
        AlreadyExists, Conflict, InvalidInput, LegalHold, NotFound, PreconditionFailed, QuotaExceeded, Suspended,
    };
    let kind = error.kind();
    matches!(kind, AlreadyExists | Conflict | InvalidInput(_) | LegalHold | NotFound | PreconditionFailed)
        || matches!(kind, QuotaExceeded | Suspended)
}

pub(super) async fn one_change_of_two_goes_through(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let ada = user(&format!("ada {round}"))?;
        for (what, one, other) in rivals(&t, &ada).await? {
            let (one, other) = (call(&t, &ada, one), call(&t, &ada, other));
            assert_one(what, &both(round, one, other).await?);
        }
        t.store.audit().verify(&ada).await?;
    }
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

/// Two changes each that look at the same before they write, on what is made here.
async fn rivals(t: &Instance, ada: &Scope) -> Result<Vec<(&'static str, Change, Change)>, Failure> {
    let store = &*t.store;
    let one = |operation: Operation| Change::new().with(operation);
    let lease = lease(store, ada, 1, t.now()).await?.id;
    let (key, secret) = (store.secrets().newest_data_key(ada).await?.present()?.id, SecretName::parse("disputed")?);
    let (held, ended) = (job(store, ada).await?, job(store, ada).await?);
    let conversation = conversation(store, ada).await?;
    let quota = QuotaName::parse("one")?;
    put_quota(t, ada, &quota, 1).await?;
    let mut asked = World::new(t.now())?.new_approval(ApprovalId::make(&SystemClock));
    asked.agent = store.access().lease(ada, lease).await?.present()?.agent;
    let question = asked.id;
    apply(store, ada, AccessOp::RequestApproval { approval: asked }).await?;
    let (filled, published) = (VersionId::make(&SystemClock), VersionId::make(&SystemClock));
    let (file, other_file) = (File::new("a.md", "text")?, File::new("b.md", "text")?);
    apply(store, ada, file.begin(filled)).await?;
    apply(store, ada, other_file.begin(published)).await?;
    apply(store, ada, other_file.put(published)).await?;
    let of_dimensions = |dimensions| {
        let id = EmbeddingModelId::parse("disputed")?;
        Ok::<_, Failure>(one(
            WorkspaceOp::RegisterModel { model: EmbeddingModel { id, dimensions, lexical: false } }.into()
        ))
    };
    let claim = |worker: &str| {
        let (worker, until) = (WorkerName::parse(worker)?, t.now().after(Duration::from_secs(60)));
        Ok::<_, Failure>(one(JobOp::Claim { job: held, worker, until }.into()))
    };
    let ending = |state| one(JobOp::SetState { job: ended, state, error: None }.into());
    let new_row = |value: i32| {
        let row = Row::Setting(SettingKey::parse("new")?);
        let change = Change::new().with(setting("new", value)?);
        Ok::<_, Failure>(change.require(Precondition::RowVersion { row, version: 0 }))
    };
    let (created, message) = (ConversationId::make(&SystemClock), MessageId::make(&SystemClock));
    let create = || one(ConversationOp::Create { id: created, title: String::new() }.into());
    let say = || {
        let ConversationOp::AppendMessage { conversation, message: mut said } = saying(conversation, "text") else {
            return Change::new();
        };
        said.id = message;
        one(ConversationOp::AppendMessage { conversation, message: said }.into())
    };
    let data_key_2 = || one(data_key_op(DataKeyId::make(&SystemClock), 2).into());
    let charge = || one(SettingOp::ChargeQuota { name: quota.clone(), amount: 1 }.into());
    let redeem = || one(AccessOp::RedeemLease { id: lease }.into());
    let decide = |approved| one(AccessOp::DecideApproval { id: question, approved }.into());
    let put_secret = || one(secret_op(&secret, 1, key).into());
    Ok(vec![
        ("a use of a lease", redeem(), redeem()),
        ("a version of a secret", put_secret(), put_secret()),
        ("a data key", data_key_2(), data_key_2()),
        ("an answer", decide(true), decide(false)),
        ("a claim", claim("one")?, claim("other")?),
        ("the end of a job", ending(JobState::Succeeded), ending(JobState::Failed)),
        ("a quota", charge(), charge()),
        ("a row that is not there", new_row(1)?, new_row(2)?),
        ("a conversation", create(), create()),
        ("a message", say(), say()),
        ("a part", one(file.put(filled).into()), one(file.put(filled).into())),
        ("a version of a file", one(other_file.publish(published).into()), one(other_file.publish(published).into())),
        ("a model", of_dimensions(3)?, of_dimensions(4)?),
    ])
}

pub(super) async fn a_vault_keeps_a_wrapping(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let tenant = TenantId::parse(format!("tenant {round}"))?;
        let init = |wrap| SystemChange::InitVault { tenant: tenant.clone(), header: header(), wrap };
        let (one, other) = (wrap(&t)?, wrap(&t)?);
        assert_one("a vault", &both(round, system(&t, init(one)), system(&t, init(other))).await?);
        let add = SystemChange::AddRootKeyWrap { tenant: tenant.clone(), wrap: wrap(&t)? };
        t.maintenance.apply_system(add).await?;
        let wraps = t.store.secrets().root_key_wraps(&tenant).await?;
        assert_eq!(wraps.len(), 2, "the vault that was refused left its wrapping");
        let remove = |place: usize| SystemChange::RemoveRootKeyWrap { tenant: tenant.clone(), id: wraps[place].id };
        let removals = both(round, system(&t, remove(0)), system(&t, remove(1))).await?;
        assert_eq!(t.store.secrets().root_key_wraps(&tenant).await?.len(), 1, "{removals:?}");
        assert_one("the last wrapping but one", &removals);
    }
    Ok(())
}

pub(super) async fn nobody_holds_a_role_that_is_gone(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let ada = tenant_user("roles", &format!("ada {round}"))?;
        let (tenant, owner, name) = (ada.tenant().clone(), ada.person().clone(), RoleName::parse("brief")?);
        let role = UserRole { name: name.clone(), permissions: Vec::new(), updated_at: Timestamp::from_micros(1) };
        t.maintenance.apply_system(SystemChange::PutRole { tenant: tenant.clone(), role }).await?;
        let (status, roles) = (UserStatus::Active, vec![name.clone()]);
        let give = SystemChange::PutUser { tenant: tenant.clone(), owner, status, roles };
        let delete = SystemChange::DeleteRole { tenant, name };
        let [given, deleted] = both(round, system(&t, give), system(&t, delete)).await?;
        assert_eq!(deleted?.numbers, [1]);
        assert!(given.as_ref().err().is_none_or(is_of_its_own), "{given:?}");
        let held = t.store.access().user(&ada).await?.map(|user| user.roles).unwrap_or_default();
        assert_eq!(held, [], "{given:?}");
    }
    Ok(())
}

pub(super) async fn a_hold_is_released_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let id = place_hold(&t, &user("ada")?).await?;
        let release = || system(&t, SystemChange::ReleaseHold { id });
        assert_one("a release", &both(round, release(), release()).await?);
    }
    Ok(())
}

pub(super) async fn a_checkpoint_is_put_once(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let put = |note: &str| {
            let (size, root, created_at) = (round as u64, [7; 32], Timestamp::from_micros(1));
            let checkpoint = AuditCheckpoint { size, root, note: note.to_owned(), created_at };
            system(&t, SystemChange::PutCheckpoint { checkpoint })
        };
        assert_one("a checkpoint", &both(round, put("one"), put("other")).await?);
    }
    Ok(())
}

fn erase(scope: &Scope) -> SystemChange {
    let (tenant, owner) = (scope.tenant().clone(), scope.owner().clone());
    SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) }
}

pub(super) async fn nobody_is_erased_twice_or_under_a_hold(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let ada = user(&format!("ada {round}"))?;
        conversation(&*t.store, &ada).await?;
        assert_one("an erasure", &both(round, system(&t, erase(&ada)), system(&t, erase(&ada))).await?);

        let bob = user(&format!("bob {round}"))?;
        let id = conversation(&*t.store, &bob).await?;
        let hold = Hold {
            id: HoldId::make(&SystemClock),
            tenant: bob.tenant().clone(),
            owner: bob.owner().clone(),
            reason: String::new(),
            created_at: Timestamp::from_micros(1),
            released_at: None,
        };
        let place = SystemChange::PlaceHold { hold: hold.clone() };
        let [erased, placed] = both(round, system(&t, erase(&bob)), system(&t, place)).await?;
        placed?;
        // Whichever came first, the hold stands: on what there was, or on whoever comes to have the name.
        let holds = all_pages!(1_000, |page| t.maintenance.holds(page));
        assert!(holds.iter().any(|standing| standing.id == hold.id), "the hold is gone: {erased:?}");
        let left = t.store.conversations().conversation(&bob, id).await?;
        assert_eq!(left.is_none(), erased.is_ok(), "{erased:?}");
        assert!(erased.is_ok() || erased.is_err_and(|error| *error.kind() == StoreErrorKind::LegalHold));
    }
    Ok(())
}

pub(super) async fn retention_brings_nobody_back(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let put = SystemChange::PutRetention {
        tenant: TenantId::default_tenant(),
        category: RetainedCategory::Conversations,
        days: 1,
    };
    t.maintenance.apply_system(put).await?;
    for round in 0..ROUNDS {
        let ada = user(&format!("ada {round}"))?;
        conversation(&*t.store, &ada).await?;
        t.clock.advance(Duration::from_secs(2 * 86_400));
        let maintenance = t.maintenance.clone();
        let retention = tokio::spawn(async move { maintenance.apply_retention().await });
        t.maintenance.apply_system(erase(&ada)).await?;
        retention.await??;
        assert_eq!(t.store.access().user(&ada).await?, None, "round {round}");
    }
    Ok(())
}

pub(super) async fn no_event_names_the_erased(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    for round in 0..ROUNDS {
        let name = format!("erasable {round}");
        let ada = user(&name)?;
        let hold = place_hold(&t, &ada).await?;
        release_hold(&t, hold).await?;
        // Refused, and the refusal is an event that names the user while they are known.
        let again = system(&t, SystemChange::ReleaseHold { id: hold });
        let [erased, released] = both(round, system(&t, erase(&ada)), again).await?;
        erased?;
        assert!(released.is_err_and(|error| *error.kind() == StoreErrorKind::NotFound));
        let events = all_pages!(1_000, |page| t.maintenance.system_events(page));
        let named = |details: &std::collections::BTreeMap<String, String>| details.values().any(|value| *value == name);
        let naming =
            events.iter().filter(|entry| entry.private.as_ref().is_some_and(|private| named(&private.details)));
        assert_eq!(naming.count(), 0, "round {round}");
    }
    Ok(())
}

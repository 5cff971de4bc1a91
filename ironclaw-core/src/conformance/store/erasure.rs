//! After an erasure no text of the user is anywhere.

use serde_json::json;

use super::fixtures::{File, apply, conversation, say, saying, setting};
use super::input::Fields;
use super::settings::put_quota;
use super::world::World;
use super::{Instance, StoreSubject, user};
use crate::change::{Change, ConversationOp, PrivacyOp, SecretOp};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::{Failure, Outcome, refused};
use crate::conformance::random::letters;
use crate::id::{
    AgentName, ConversationId, EmbeddingModelId, ErasureId, HoldId, IdempotencyKey, QuotaName, RoleName, SecretName,
    SettingKey, ToolName,
};
use crate::maintenance::SystemChange;
use crate::model::access::{UserRole, UserStatus};
use crate::model::audit::{Action, AuditRecord};
use crate::model::privacy::{Hold, RetainedCategory};
use crate::model::workspace::WorkspacePath;
use crate::scope::{Principal, RequestContext, Scope};
use crate::store::StoreErrorKind;

/// In every name and text of the user, and nowhere else.
const NEEDLE: &str = "needle";
/// The user's address.
const ADDRESS: &str = "203.0.113.77";

fn needle(what: &str) -> String {
    format!("{NEEDLE}{what}")
}

/// A world whose names all have the needle in them.
fn world(t: &Instance) -> Result<World, Failure> {
    Ok(World {
        model: EmbeddingModelId::parse(needle("model"))?,
        path: WorkspacePath::parse(format!("{}/{}.md", needle("folder"), needle("file")))?,
        secret: SecretName::parse(needle("secret"))?,
        agent: AgentName::parse(needle("agent"))?,
        tool: ToolName::parse(needle("tool"))?,
        setting: SettingKey::parse(needle("setting"))?,
        quota: QuotaName::parse(needle("quota"))?,
        ..World::new(t.now())?
    })
}

/// Every operation, done, failed and refused, by the user in person and by a tool of an agent.
async fn operate(t: &Instance, ada: &Scope, world: &World) -> Outcome {
    world.seed(&*t.store, ada).await?;
    let request = RequestContext::new(Some(needle("request")), Some(ADDRESS.parse()?), Some(needle("program")))?;
    let agent = ada.acting(Principal::Agent(world.agent.clone())).in_request(request);
    let tool = agent.acting(Principal::Tool(world.tool.clone()));
    let keyed = Change::new().with(setting(&needle("other"), needle("value"))?);
    t.store.apply(&tool, keyed.idempotent(IdempotencyKey::parse(needle("key"))?)).await?;
    let (mut done, mut failed) = (0, 0);
    let fresh = World { conversation: world.conversation, job: world.job, data_key: world.data_key, ..self::world(t)? };
    for (world, scope) in [(fresh, ada), (world.clone(), &tool)] {
        let fields = Fields { world };
        let values = fields.values(&json!({ needle("field"): [needle("item")] }));
        for (_, operation) in fields.texts(&needle("text")).into_iter().chain(values) {
            match apply(&*t.store, scope, operation).await {
                Ok(_) => done += 1,
                Err(_) => failed += 1,
            }
        }
    }
    assert!(done > 20 && failed > 5, "{done} were done, and {failed} failed");
    let too_long = needle(&letters(5_000));
    let rename = ConversationOp::Rename { id: world.conversation, title: too_long };
    assert!(apply(&*t.store, &agent, rename).await.is_err());
    refused(apply(&*t.store, &agent, PrivacyOp::Forget).await, StoreErrorKind::Denied);
    let missing = SecretName::parse(needle("missing"))?;
    refused(apply(&*t.store, ada, SecretOp::Use { name: missing, number: 1 }).await, StoreErrorKind::NotFound);
    refused(apply(&*t.store, ada, saying(ConversationId::make(&SystemClock), "x")).await, StoreErrorKind::NotFound);
    let reported = AuditRecord::new(Action::HostEvent).detail(&needle("detail"), needle("reported"));
    t.store.apply(ada, Change::new().event(reported.clone())).await?;
    let claimed = AuditRecord { action: Action::UserErase, ..reported };
    assert!(t.store.apply(ada, Change::new().event(claimed)).await.is_err());
    Ok(())
}

/// Everything that an operator does with a user, done, failed and refused.
async fn administer(t: &Instance, ada: &Scope) -> Outcome {
    let (tenant, owner, status) = (ada.tenant().clone(), ada.owner().clone(), UserStatus::Active);
    let system = async |change: SystemChange| t.maintenance.apply_system(change).await;
    let role =
        UserRole { name: RoleName::parse("role")?, permissions: Vec::new(), updated_at: Timestamp::from_micros(1) };
    system(SystemChange::PutRole { tenant: tenant.clone(), role: role.clone() }).await?;
    let put_user = |roles| SystemChange::PutUser { tenant: tenant.clone(), owner: ada.person().clone(), status, roles };
    system(put_user(vec![role.name])).await?;
    refused(system(put_user(vec![RoleName::parse("no role")?])).await, StoreErrorKind::NotFound);
    put_quota(t, ada, &QuotaName::parse(needle("limit"))?, 10).await?;
    let hold = Hold {
        id: HoldId::make(&SystemClock),
        tenant: tenant.clone(),
        owner: owner.clone(),
        reason: needle("reason"),
        created_at: Timestamp::from_micros(1),
        released_at: None,
    };
    system(SystemChange::PlaceHold { hold: hold.clone() }).await?;
    refused(system(SystemChange::PlaceHold { hold: hold.clone() }).await, StoreErrorKind::AlreadyExists);
    let unfit = Hold { id: HoldId::make(&SystemClock), reason: format!("{}\0", needle("unfit")), ..hold.clone() };
    assert!(system(SystemChange::PlaceHold { hold: unfit }).await.is_err());
    refused(erase(t, ada).await, StoreErrorKind::LegalHold);
    refused(apply(&*t.store, ada, PrivacyOp::Forget).await, StoreErrorKind::LegalHold);
    system(SystemChange::ReleaseHold { id: hold.id }).await?;
    refused(system(SystemChange::ReleaseHold { id: hold.id }).await, StoreErrorKind::NotFound);
    let category = RetainedCategory::Conversations;
    system(SystemChange::PutRetention { tenant, category, days: 10 }).await?;
    t.maintenance.apply_retention().await?;
    Ok(())
}

async fn erase(t: &Instance, scope: &Scope) -> Result<crate::Receipt, crate::store::StoreError> {
    let (tenant, owner) = (scope.tenant().clone(), scope.owner().clone());
    t.maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id: ErasureId::make(&SystemClock) }).await
}

/// Where a text is stored.
fn places<'a>(stored: &'a [(String, Vec<u8>)], text: &str) -> Vec<&'a str> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    stored.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.as_str()).collect()
}

pub(super) async fn no_name_is_left(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user(&needle("owner"))?;
    operate(&t, &ada, &world(&t)?).await?;
    administer(&t, &ada).await?;
    subject.harness.copies(&t.place, &ada).await?;
    let stored = subject.harness.stored(&t.place).await?;
    let of_content = ["The lighthouse keeper", "^a:b -NOT ("];
    // Of a key a store may keep a hash.
    let names = "owner model folder secret agent tool setting quota other value field item text request program missing \
                 detail reported limit reason";
    for text in names.split_whitespace().map(needle).chain([ADDRESS, of_content[0], of_content[1]].map(String::from)) {
        assert!(!places(&stored, &text).is_empty(), "{text} is not found where it is");
    }
    // What is forgotten is erased as well, and what came after it.
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    let again = conversation(&*t.store, &ada).await?;
    say(&*t.store, &ada, again, &needle("said")).await?;
    File::new(&needle("path"), &needle("content"))?.write(&*t.store, &ada).await?;
    erase(&t, &ada).await?;
    // Whoever names an erased user does not bring the name back.
    refused(erase(&t, &ada).await, StoreErrorKind::NotFound);
    subject.harness.copies(&t.place, &ada).await?;
    let (tenant, owner, status) = (ada.tenant().clone(), ada.person().clone(), UserStatus::Active);
    let put = SystemChange::PutUser { tenant, owner, status, roles: vec![RoleName::parse("no role")?] };
    refused(t.maintenance.apply_system(put).await, StoreErrorKind::NotFound);
    assert_eq!(t.maintenance.scrub().await?.pending, Vec::<String>::new());
    let stored = subject.harness.stored(&t.place).await?;
    for text in [NEEDLE, ADDRESS, of_content[0], of_content[1]] {
        assert_eq!(places(&stored, text), Vec::<&str>::new(), "{text} is still there");
    }
    t.maintenance.verify_audit().await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

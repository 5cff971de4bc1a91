//! What is read back of what is known.

use ironclaw_core::change::{Change, ConversationOp, SecretOp, SettingOp};
use ironclaw_core::id::{ConversationId, MessageId, SecretName, TenantId};
use ironclaw_core::model::access::{ApprovalState, UserStatus};
use ironclaw_core::model::audit::{Action, AuditFilter, Outcome};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::jobs::{JobFilter, JobState};
use ironclaw_core::model::spaces::SpaceRole;

use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, Store, VectorQuery};
use ironclaw_core::{Limits, Maintenance, PageRequest};
use serde_json::json;

use crate::known::{self, *};

/// Reads every category back, and verifies and checks the whole store.
pub(crate) async fn check(store: &dyn Store, maintenance: &dyn Maintenance, depth: usize) {
    conversations(store, depth).await;
    workspace(store, depth).await;
    jobs(store, depth).await;
    secrets(store).await;
    access(store, depth).await;
    settings(store, depth).await;
    audit(store).await;
    system(maintenance).await;
    goes_on(store).await;
    maintenance.verify_audit().await.unwrap();
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

fn page() -> PageRequest {
    PageRequest::first(PageRequest::MAX).unwrap()
}

async fn conversations(store: &dyn Store, depth: usize) {
    let read = store.conversations();
    let found = read.conversation(&ada(), conversation()).await.unwrap().unwrap();
    assert_eq!((found.title.as_str(), found.messages), ("The launch", 3));
    assert_eq!(read.conversations(&ada(), &page()).await.unwrap().items, [found]);
    let kept = read.messages(&ada(), conversation(), &page()).await.unwrap().items;
    let sent: Vec<NewMessage> = kept.iter().map(|message| message.message.clone()).collect();
    assert_eq!(sent, messages(depth));
    let words = TextQuery::new("launch", &Limits::default());
    let hits = read.search_messages(&ada(), &words, 10).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.message.message.id).collect::<Vec<_>>(), [question()]);
}

async fn workspace(store: &dyn Store, depth: usize) {
    let read = store.workspace();
    let entry = read.entry(&ada(), &path("notes/plan.md")).await.unwrap().unwrap();
    assert_eq!((entry.version, entry.size, entry.chunks), (version(), FILE.len() as u64, 2));
    assert_eq!(entry.metadata, json!({ "of": nested(depth - 1) }));
    assert_eq!(read.entries(&ada(), None, &page()).await.unwrap().items, [entry]);
    let content = read.content(&ada(), &path("notes/plan.md"), 0, u64::MAX).await.unwrap().unwrap();
    assert_eq!(content, FILE.as_bytes());
    let models = read.embedding_models(&ada()).await.unwrap();
    assert_eq!((models.len(), models[0].dimensions, models[0].lexical), (1, 3, true));
    let (words, everywhere) = (TextQuery::new("keeper", &Limits::default()), SearchFilter::default());
    let hits = read.search_text(&ada(), &words, &everywhere, 10).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [first_chunk()]);
    let query = VectorQuery::new(name("embedder"), VECTORS[1].to_vec());
    let hits = read.search_vectors(&ada(), &query, &everywhere, 10).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [second_chunk(), first_chunk()]);
    let chunks = read.chunks(&ada(), &[second_chunk()]).await.unwrap();
    assert_eq!(chunks[0].text, FILE[SPLIT..]);
}

async fn jobs(store: &dyn Store, depth: usize) {
    let read = store.jobs();
    let found = read.job(&ada(), job()).await.unwrap().unwrap();
    assert_eq!((&found.job, found.state), (&new_job(depth), JobState::Running));
    assert_eq!(found.claim.as_ref().unwrap().worker.as_str(), "worker");
    assert_eq!(read.jobs(&ada(), &JobFilter::default(), &page()).await.unwrap().items, [found]);
    let events = read.job_events(&ada(), job(), &page()).await.unwrap().items;
    assert_eq!(events.into_iter().map(|event| event.step).collect::<Vec<_>>(), steps(depth));
    assert_eq!(read.llm_calls(&ada(), job(), &page()).await.unwrap().items, [llm_call(depth)]);
    assert_eq!(read.sandbox_jobs(&ada(), job(), &page()).await.unwrap().items, [sandbox_job(depth)]);
}

async fn secrets(store: &dyn Store) {
    let (read, api) = (store.secrets(), name::<SecretName>("api"));
    let tenant = TenantId::default_tenant();
    assert_eq!(read.vault(&tenant).await.unwrap().unwrap().id, vault());
    let wraps = read.root_key_wraps(&tenant).await.unwrap();
    assert_eq!((wraps.len(), wraps[0].id, &wraps[0].wrapped), (1, wrap(), &wrapped()));
    let key = read.data_key(&ada(), data_key()).await.unwrap().unwrap();
    assert_eq!((key.number, key.seals, key.wrapped), (1, 3, wrapped()));
    let found = read.secret(&ada(), &api).await.unwrap().unwrap();
    assert_eq!((found.current_version, found.usage_count, &found.bindings), (2, 1, &secret(2).bindings));
    assert_eq!(read.secrets(&ada(), &page()).await.unwrap().items, [found]);
    let versions = read.secret_versions(&ada(), &api, &page()).await.unwrap().items;
    let sealed: Vec<_> = versions.into_iter().map(|version| (version.number, version.sealed)).collect();
    assert_eq!(sealed, [1, 2].map(|number| (number, secret(number).sealed)));
    assert_eq!(read.next_secret_version(&ada(), &name("gone")).await.unwrap(), 2);
}

async fn access(store: &dyn Store, depth: usize) {
    let read = store.access();
    let found = read.user(&ada()).await.unwrap().unwrap();
    assert_eq!((found.status, found.roles), (UserStatus::Active, vec![name("writer")]));
    assert_eq!(read.roles(&ada()).await.unwrap()[0].permissions, ["write"]);
    let agents = read.agents(&ada(), &page()).await.unwrap().items;
    assert_eq!((agents.len(), agents[0].active, agents[0].policy_epoch), (1, true, 2));
    assert_eq!(read.policies(&ada(), None, None, &page()).await.unwrap().items, [policy(depth)]);
    assert_eq!(read.token(&ada(), token().id).await.unwrap().unwrap(), token());
    assert_eq!(read.api_keys(&ada(), &page()).await.unwrap().items, [api_key()]);
    assert_eq!(read.lease(&ada(), lease().id).await.unwrap().unwrap(), lease());
    let decided = read.approval(&ada(), approval()).await.unwrap().unwrap();
    assert_eq!((decided.state, &decided.details), (ApprovalState::Approved, &nested(depth)));
    let open = read.approval(&ada(), open_approval()).await.unwrap().unwrap();
    assert_eq!(open, question_to_a_person(open_approval(), depth));
    assert_eq!(read.tool_grants(&ada(), &name("calendar"), &page()).await.unwrap().items, [tool_grant(depth)]);
}

async fn settings(store: &dyn Store, depth: usize) {
    let read = store.settings();
    let found = read.settings(&ada(), &page()).await.unwrap().items;
    let values: Vec<_> = found.iter().map(|setting| (setting.key.as_str(), &setting.value)).collect();
    assert_eq!(values, [("limits", &nested(depth)), ("theme", &json!({ "dark": true }))]);
    let quota = read.quota(&ada(), &name("tokens")).await.unwrap().unwrap();
    assert_eq!((quota.limit, quota.used), (10, 3));
}

async fn audit(store: &dyn Store) {
    let of = |outcome| AuditFilter::default().outcome(outcome);
    let denied = store.audit().events(&ada(), &of(Outcome::Denied), &page()).await.unwrap().items;
    assert_eq!((denied.len(), denied[0].event.action, denied[0].event.principals.len()), (1, Action::SecretUse, 2));
    let private = denied[0].private.as_ref().unwrap();
    assert_eq!((private.details["secret"].as_str(), private.request.id()), ("api", Some("request-1")));
    let failed = store.audit().events(&ada(), &of(Outcome::Failed), &page()).await.unwrap().items;
    assert_eq!((failed.len(), failed[0].event.action), (1, Action::ConversationRename));
    assert!(store.audit().verify(&ada()).await.unwrap().unwrap().sequence > 40);
    let forgotten = store.audit().events(&user("dora"), &AuditFilter::default(), &page()).await.unwrap().items;
    assert_eq!(forgotten.iter().map(|entry| entry.private.is_some()).collect::<Vec<_>>(), [false, true]);
}

async fn system(maintenance: &dyn Maintenance) {
    let users = maintenance.users(&page()).await.unwrap().items;
    assert_eq!(users.iter().map(|(_, user)| user.id.as_str()).collect::<Vec<_>>(), ["ada", "bob", "dora"]);
    let holds = maintenance.holds(&page()).await.unwrap().items;
    let placed: Vec<_> = holds.iter().map(|hold| (hold.reason.as_str(), hold.released_at.is_some())).collect();
    assert_eq!(placed, [("a lawsuit", false), ("another", true)]);
    let policies = maintenance.retention_policies().await.unwrap();
    assert_eq!((policies.len(), policies[0].days), (1, 30));
    let erasures = maintenance.erasures(&page()).await.unwrap().items;
    assert_eq!((erasures.len(), erasures[0].id), (1, erasure()));
    let checkpoints = maintenance.checkpoints(&page()).await.unwrap().items;
    assert_eq!((checkpoints.len(), checkpoints[0].note.as_str()), (1, "a signed state"));
    let events = maintenance.system_events(&page()).await.unwrap().items;
    let actions: Vec<Action> = events.iter().map(|entry| entry.event.action).collect();
    assert_eq!((actions[0], actions[actions.len() - 1]), (Action::VaultInit, Action::UserErase));
}

/// The store is written to as if it had always had this schema.
async fn goes_on(store: &dyn Store) {
    assert!(store.apply(&ada(), keyed()).await.unwrap().replayed, "the change is known by its key");
    let message = NewMessage::text(MessageId::from_bytes([90; 16]), Role::User, "And afterwards?");
    let change = Change::new()
        .with(ConversationOp::AppendMessage { conversation: conversation(), message })
        .with(ConversationOp::Create { id: ConversationId::from_bytes([91; 16]), title: "Afterwards".into() })
        .with(SecretOp::Put { secret: Box::new(secret(3)) })
        .with(SettingOp::ChargeQuota { name: name("tokens"), amount: 1 });
    assert_eq!(store.apply(&ada(), change).await.unwrap().numbers, [4, 1, 3, 0]);
}

/// Checks what [`write_space`](known::write_space) wrote.
pub(crate) async fn check_space(store: &dyn Store, maintenance: &dyn Maintenance) {
    let page = PageRequest::default();
    let members = store.access().members(&known::team(), None, &page).await.unwrap().items;
    let found: Vec<_> = members.iter().map(|m| (m.user.as_str(), m.role, m.valid_until.is_none())).collect();
    let (manager, writer) = (SpaceRole::Manager, SpaceRole::Writer);
    assert_eq!(found, [("ada", manager, true), ("bob", manager, false), ("bob", writer, true)]);
    let bob = known::user("bob").in_space("team").unwrap();
    let talk = store.conversations().conversation(&bob, ConversationId::from_bytes([44; 16])).await.unwrap().unwrap();
    assert_eq!(talk.title, "of the team");
    let events = store.audit().events(&bob, &AuditFilter::default(), &page).await.unwrap().items;
    let who: Vec<_> = events.iter().map(|event| event.names[0].as_deref()).collect();
    assert_eq!(who, [Some("ada"), Some("ada"), Some("ada"), Some("bob")]);
    assert_eq!(maintenance.spaces(&page).await.unwrap().items[0].1.name.as_str(), "team");
    assert_eq!(maintenance.check_integrity().await.unwrap(), Vec::<String>::new());
}

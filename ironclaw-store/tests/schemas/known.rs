//! One row of every kind, with values that are known.

use std::time::Duration;

use ironclaw_core::change::{
    AccessOp, Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp,
};
use ironclaw_core::embedder::EmbeddingModel;
use ironclaw_core::id::*;
use ironclaw_core::llm::{TokenUsage, ToolCall};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::*;
use ironclaw_core::model::audit::{Action, AuditCheckpoint, AuditRecord, Outcome};
use ironclaw_core::model::conversations::{NewMessage, Role, ToolResult};
use ironclaw_core::model::jobs::*;
use ironclaw_core::model::privacy::{Hold, RetainedCategory};
use ironclaw_core::model::secrets::*;
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::scope::{Principal, RequestContext};
use ironclaw_core::store::Store;
use ironclaw_core::tool::SandboxUsage;
use ironclaw_core::{Maintenance, Scope, Timestamp};
use serde_json::{Value, json};

/// When everything happened.
pub(crate) const TIME: &str = "2026-11-28T12:00:00Z";
/// The file's text; the second chunk begins at [`SPLIT`].
pub(crate) const FILE: &str = "The lighthouse keeper counts ships. Ships pass; der Leuchtturm blinkt.";
pub(crate) const SPLIT: usize = 36;
/// The vectors of the two chunks.
pub(crate) const VECTORS: [[f32; 3]; 2] = [[0.6, 0.8, 0.0], [0.0, -0.6, 0.8]];

pub(crate) fn now() -> Timestamp {
    Timestamp::parse(TIME).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now().after(Duration::from_secs(seconds))
}

pub(crate) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn path(text: &str) -> WorkspacePath {
    WorkspacePath::parse(text).unwrap()
}

pub(crate) fn user(owner: &str) -> Scope {
    Scope::of(name(owner))
}

/// Who has everything.
pub(crate) fn ada() -> Scope {
    user("ada")
}

/// Arrays within one another.
pub(crate) fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("deep"), |inner, _| json!([inner]))
}

macro_rules! ids {
    ($($name:ident: $type:ident = $byte:literal;)*) => {$(
        pub(crate) fn $name() -> $type {
            $type::from_bytes([$byte; 16])
        }
    )*};
}

ids! {
    conversation: ConversationId = 1;
    question: MessageId = 2;
    answer: MessageId = 3;
    result: MessageId = 4;
    job: JobId = 5;
    version: VersionId = 6;
    replaced: VersionId = 7;
    staged: VersionId = 8;
    first_chunk: ChunkId = 9;
    second_chunk: ChunkId = 10;
    data_key: DataKeyId = 11;
    approval: ApprovalId = 12;
    open_approval: ApprovalId = 13;
    vault: VaultId = 14;
    wrap: RootKeyWrapId = 15;
    hold: HoldId = 16;
    released: HoldId = 17;
    erasure: ErasureId = 18;
}

/// The messages; a call's arguments are so many levels deep.
pub(crate) fn messages(depth: usize) -> [NewMessage; 3] {
    let call = ToolCall::new("call-1", "calendar", nested(depth));
    [
        NewMessage::text(question(), Role::User, "When is the launch?"),
        NewMessage::text(answer(), Role::Assistant, "I look it up.")
            .tool_calls(vec![call])
            .metadata(json!({ "model": "m" })),
        NewMessage::text(result(), Role::Tool, "on Friday").tool_result(ToolResult::new("call-1", name("calendar"))),
    ]
}

pub(crate) fn new_job(depth: usize) -> NewJob {
    let (kind, conversation, agent) = ("answer".to_owned(), Some(conversation()), Some(name("assistant")));
    NewJob::new(job(), kind).conversation(conversation).agent(agent).input(nested(depth))
}

pub(crate) fn steps(depth: usize) -> [JobStep; 3] {
    [
        JobStep::Retrieved { passages: 2, messages: 1, degraded: Some("no vectors".into()) },
        JobStep::ToolCall {
            call_id: "call-1".into(),
            tool: "calendar".into(),
            arguments: nested(depth),
            outcome: ToolOutcome::Success(nested(depth)),
            duration_us: 1_234,
        },
        JobStep::Note { text: "a note".into() },
    ]
}

pub(crate) fn llm_call(depth: usize) -> LlmCall {
    LlmCall::new(LlmCallId::from_bytes([20; 16]), job(), "m", nested(depth), now())
        .response(nested(depth))
        .error("an error".to_owned())
        .usage(TokenUsage::default().input(Some(1)).cost_micro_usd(Some(u64::MAX)))
        .latency_us(5)
}

pub(crate) fn sandbox_job(depth: usize) -> SandboxJob {
    let usage = SandboxUsage::default().component("ab".repeat(32)).fuel(6).memory_bytes(7).duration_us(8);
    SandboxJob::new(
        SandboxJobId::from_bytes([21; 16]),
        job(),
        name("calendar"),
        nested(depth),
        ToolOutcome::Failure { code: "timeout".into(), message: "too slow".into() },
        now(),
    )
    .log("info: begun")
    .usage(usage)
}

pub(crate) fn wrapped() -> WrappedKey {
    let (parameters, nonce, ciphertext) = (vec![0, 255], (0..24).collect(), (0..=255).collect());
    WrappedKey::new(3, Algorithm::XChaCha20Poly1305, nonce, ciphertext).parameters(parameters)
}

pub(crate) fn secret(number: u32) -> PutSecret {
    PutSecret::new(
        name("api"),
        number,
        Sealed::new(2, Algorithm::Aes256Gcm, data_key(), (0..12).collect(), vec![number as u8; 40]).salt(vec![0, 128]),
    )
    .provider("example".to_owned())
    .bindings(vec![Binding::new("api.example.com")])
    .expires_at(later(86_400))
}

pub(crate) fn policy(depth: usize) -> Policy {
    Policy::new(PolicyId::from_bytes([22; 16]), name("assistant"), "secrets/api", vec!["use".into()], now())
        .conditions(nested(depth))
        .valid_until(later(3_600))
}

pub(crate) fn token() -> Token {
    Token::new(TokenId::from_bytes([23; 16]), name("assistant"), 2, [0xa1; 32], now(), later(7_200))
}

pub(crate) fn api_key() -> ApiKey {
    let (id, label) = (ApiKeyId::from_bytes([24; 16]), "a laptop".to_owned());
    ApiKey::new(id, label, [0xb2; 32], now())
}

pub(crate) fn lease() -> Lease {
    Lease::new(LeaseId::from_bytes([25; 16]), name("api"), name("assistant"), 9, now(), later(7_200))
}

pub(crate) fn question_to_a_person(id: ApprovalId, depth: usize) -> Approval {
    Approval::new(id, name("assistant"), "send", now(), later(7_200)).details(nested(depth))
}

pub(crate) fn tool_grant(depth: usize) -> ToolGrant {
    ToolGrant::new(ToolGrantId::from_bytes([26; 16]), name("calendar"), "http", now()).parameters(nested(depth))
}

/// A change that was applied under a key.
pub(crate) fn keyed() -> Change {
    let put = SettingOp::Put { key: name("theme"), value: json!({ "dark": true }) };
    Change::new().with(put).idempotent(name("change-1"))
}

fn parts() -> Vec<Part> {
    let (first, second) = FILE.split_at(SPLIT);
    let part = |offset: usize, text: &str, id, vector: [f32; 3]| {
        let (start, end) = (offset as u64, (offset + text.len()) as u64);
        let chunk = NewChunk::new(id, start, end).embedding(vector.to_vec());
        Part::new(start, text.as_bytes().to_vec()).chunks(vec![chunk])
    };
    vec![part(0, first, first_chunk(), VECTORS[0]), part(SPLIT, second, second_chunk(), VECTORS[1])]
}

fn operations(depth: usize) -> Vec<Operation> {
    let agent: AgentName = name("assistant");
    let begin = |id, at: &str, model: Option<&str>| {
        let (metadata, embedding_model) = (json!({ "of": nested(depth - 1) }), model.map(name));
        WorkspaceOp::BeginVersion {
            version: NewVersion::new(id, path(at)).metadata(metadata).embedding_model(embedding_model),
        }
    };
    let mut all: Vec<Operation> = vec![
        AccessOp::PutAgent { name: agent.clone(), active: true }.into(),
        ConversationOp::Create { id: conversation(), title: "A launch".into() }.into(),
        ConversationOp::Rename { id: conversation(), title: "The launch".into() }.into(),
    ];
    for message in messages(depth) {
        all.push(ConversationOp::AppendMessage { conversation: conversation(), message }.into());
    }
    let model = EmbeddingModel::new(name("embedder"), 3).lexical(true);
    let bytes = b"replaced".to_vec();
    all.extend::<[Operation; 8]>([
        WorkspaceOp::RegisterModel { model }.into(),
        begin(replaced(), "notes/plan.md", None).into(),
        WorkspaceOp::PutParts { version: replaced(), parts: vec![Part::new(0, bytes)] }.into(),
        WorkspaceOp::Publish { version: replaced(), size: 8, content_hash: ContentHash::of(b"replaced") }.into(),
        begin(version(), "notes/plan.md", Some("embedder")).into(),
        WorkspaceOp::PutParts { version: version(), parts: parts() }.into(),
        WorkspaceOp::Publish {
            version: version(),
            size: FILE.len() as u64,
            content_hash: ContentHash::of(FILE.as_bytes()),
        }
        .into(),
        begin(staged(), "notes/draft.md", None).into(),
    ]);
    all.push(JobOp::Create { job: new_job(depth) }.into());
    all.push(JobOp::Claim { job: job(), worker: name("worker"), until: later(60) }.into());
    all.extend(steps(depth).map(|step| JobOp::AppendEvent { job: job(), step }.into()));
    all.push(JobOp::RecordLlmCall { call: llm_call(depth) }.into());
    all.push(JobOp::RecordSandboxJob { run: sandbox_job(depth) }.into());
    let mut gone = secret(1);
    gone.name = name("gone");
    all.extend::<[Operation; 6]>([
        SecretOp::PutDataKey { id: data_key(), number: 1, root_key: 1, wrapped: wrapped() }.into(),
        SecretOp::Put { secret: Box::new(secret(1)) }.into(),
        SecretOp::Put { secret: Box::new(secret(2)) }.into(),
        SecretOp::Use { name: name("api"), number: 2 }.into(),
        SecretOp::Put { secret: Box::new(gone) }.into(),
        SecretOp::Delete { name: name("gone") }.into(),
    ]);
    let mut ten_uses = lease();
    ten_uses.uses_left = 10;
    let approval = |id| AccessOp::RequestApproval { approval: question_to_a_person(id, depth) };
    all.extend::<[Operation; 11]>([
        AccessOp::PutPolicy { policy: policy(depth) }.into(),
        AccessOp::IssueToken { token: token() }.into(),
        AccessOp::MakeApiKey { key: api_key() }.into(),
        AccessOp::GrantLease { lease: ten_uses }.into(),
        AccessOp::RedeemLease { id: lease().id }.into(),
        approval(self::approval()).into(),
        AccessOp::DecideApproval { id: self::approval(), approved: true }.into(),
        approval(open_approval()).into(),
        AccessOp::GrantTool { grant: tool_grant(depth) }.into(),
        SettingOp::Put { key: name("limits"), value: nested(depth) }.into(),
        SettingOp::ChargeQuota { name: name("tokens"), amount: 3 }.into(),
    ]);
    all
}

fn system_changes() -> Vec<SystemChange> {
    let tenant = TenantId::default_tenant;
    let header = VaultHeader::new(vault(), 1, 1, now());
    let source = || "key file".to_owned();
    let first = RootKeyWrap::new(wrap(), 1, source(), wrapped(), now());
    let role = UserRole::new(name("writer"), vec!["write".into()], now());
    let of = |id, owner: &str, reason: &str| {
        let (owner, reason) = (name::<UserId>(owner), reason.to_owned());
        let hold = Hold::new(id, tenant(), owner, reason, now());
        SystemChange::PlaceHold { hold }
    };
    let note = "a signed state".to_owned();
    vec![
        SystemChange::InitVault { tenant: tenant(), header, wrap: first },
        SystemChange::PutRole { tenant: tenant(), role },
        SystemChange::PutUser {
            tenant: tenant(),
            owner: name("ada"),
            status: UserStatus::Active,
            roles: vec![name("writer")],
        },
        SystemChange::PutQuota {
            tenant: tenant(),
            owner: name::<UserId>("ada").into(),
            name: name("tokens"),
            limit: 10,
        },
        of(hold(), "bob", "a lawsuit"),
        of(released(), "ada", "another"),
        SystemChange::ReleaseHold { id: released() },
        SystemChange::PutRetention { tenant: tenant(), category: RetainedCategory::Jobs, days: 30 },
        SystemChange::PutCheckpoint { checkpoint: AuditCheckpoint::new(1, [7; 32], note, now()) },
    ]
}

/// Writes everything into an empty store; JSON is so many levels deep.
pub(crate) async fn write(store: &dyn Store, maintenance: &dyn Maintenance, depth: usize) {
    for change in system_changes() {
        maintenance.apply_system(change).await.unwrap();
    }
    for operation in operations(depth) {
        store.apply(&ada(), Change::new().with(operation)).await.unwrap();
    }
    let request = RequestContext::new(Some("request-1".into()), Some("10.0.0.1".parse().unwrap()), None).unwrap();
    let agent = ada().acting(Principal::Agent(name("assistant"))).in_request(request);
    store.apply(&agent, keyed()).await.unwrap();
    let denied = AuditRecord::new(Action::SecretUse).detail("secret", "api").with_outcome(Outcome::Denied);
    store.apply(&agent, Change::new().event(denied)).await.unwrap();
    let missing = ConversationOp::Rename { id: ConversationId::from_bytes([99; 16]), title: "x".into() };
    store.apply(&ada(), Change::new().with(missing)).await.unwrap_err();
    for (byte, owner) in [(31, "bob"), (32, "carol"), (33, "dora")] {
        let id = ConversationId::from_bytes([byte; 16]);
        let create = ConversationOp::Create { id, title: format!("of {owner}") };
        store.apply(&user(owner), Change::new().with(create)).await.unwrap();
    }
    store.apply(&user("dora"), Change::new().with(PrivacyOp::Forget)).await.unwrap();
    let (tenant, owner) = (TenantId::default_tenant(), name::<UserId>("carol").into());
    maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id: erasure() }).await.unwrap();
}

/// Writes the same things of a space, which schemas have from the fifth on.
pub(crate) async fn write_space(store: &dyn Store) {
    let (manager, reader) = (team(), user("bob").in_space("team").unwrap());
    let id = |byte| MembershipId::from_bytes([byte; 16]);
    let put = |byte, role| AccessOp::PutMember { id: id(byte), user: name("bob"), role };
    for operation in
        [AccessOp::CreateSpace { membership: id(41) }, put(42, SpaceRole::Manager), put(43, SpaceRole::Writer)]
    {
        store.apply(&manager, Change::new().with(operation)).await.unwrap();
    }
    let create = ConversationOp::Create { id: ConversationId::from_bytes([44; 16]), title: "of the team".into() };
    store.apply(&reader, Change::new().with(create)).await.unwrap();
}

/// Ada in the space.
pub(crate) fn team() -> Scope {
    ada().in_space("team").unwrap()
}

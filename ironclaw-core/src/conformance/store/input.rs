use serde_json::{Value, json};

use super::audit::events;
use super::fixtures::{File, apply, conversation, data_key, job, saying, secret_op, setting};
use super::settings::put_quota;
use super::snapshot::{assert_same, snapshot};
use super::world::World;
use super::{StoreSubject, tenant_user, user};
use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::{Failure, Outcome, Present, refused_field};
use crate::conformance::random::{Random, bytes, letters};
use crate::conformance::text::long_text;
use crate::embedder::EmbeddingModel;
use crate::id::{
    AgentName, EmbeddingModelId, IdempotencyKey, MessageId, NAME_BYTES, QuotaName, RoleName, SecretName, SettingKey,
    ToolName, VersionId,
};
use crate::limits::Limits;
use crate::llm::ToolCall;
use crate::maintenance::SystemChange;
use crate::model::access::{UserRole, UserStatus};
use crate::model::audit::{Action, AuditRecord, Outcome as Audited};
use crate::model::conversations::{NewMessage, Role, ToolResult};
use crate::model::jobs::{JobState, JobStep, ToolOutcome};
use crate::model::secrets::Binding;
use crate::model::workspace::{NewChunk, NewVersion, Part, WorkspacePath};
use crate::scope::Principal;
use crate::store::{SearchFilter, VectorQuery};

/// Where a text or JSON value goes, in an otherwise good operation.
pub(super) struct Fields {
    pub(super) world: World,
}

impl Fields {
    fn message(&self, change: impl FnOnce(&mut NewMessage)) -> Operation {
        let mut message = NewMessage::text(MessageId::make(&SystemClock), Role::Assistant, "text");
        change(&mut message);
        ConversationOp::AppendMessage { conversation: self.world.conversation, message }.into()
    }

    fn step(&self, step: JobStep) -> Operation {
        JobOp::AppendEvent { job: self.world.job, step }.into()
    }

    fn tool_step(&self, call_id: &str, tool: &str, arguments: Value, outcome: ToolOutcome) -> Operation {
        let (call_id, tool) = (call_id.to_owned(), tool.to_owned());
        self.step(JobStep::ToolCall { call_id, tool, arguments, outcome, duration_us: 1 })
    }

    /// Every operation with this text in one of its text fields, with the field's name.
    pub(super) fn texts(&self, bad: &str) -> Vec<(&'static str, Operation)> {
        let (world, text) = (&self.world, || bad.to_owned());
        let failed = |code: &str, message: &str| ToolOutcome::Failure { code: code.into(), message: message.into() };
        let good = || ToolOutcome::Success(Value::Null);
        let call = |id: &str, name: &str| ToolCall { id: id.into(), name: name.into(), arguments: json!({}) };
        let result = |call_id: &str| ToolResult { call_id: call_id.into(), name: world.tool.clone(), is_error: false };
        let mut llm_call = world.new_llm_call();
        llm_call.model = text();
        let mut llm_error = world.new_llm_call();
        llm_error.error = Some(text());
        let mut run_log = world.new_sandbox_job();
        run_log.log = text();
        let mut run_outcome = world.new_sandbox_job();
        run_outcome.outcome = failed("failed", bad);
        let mut kind = world.new_job();
        kind.kind = text();
        let mut provider = world.put_secret(3);
        provider.provider = Some(text());
        let mut binding = world.put_secret(3);
        binding.bindings = vec![Binding { host: text() }];
        let mut resource = world.new_policy();
        resource.resource = text();
        let mut action = world.new_policy();
        action.actions = vec![text()];
        let mut label = world.new_api_key();
        label.label = text();
        let mut asked = world.new_approval(world.approval);
        asked.action = text();
        let mut capability = world.new_grant();
        capability.capability = text();
        vec![
            ("title", ConversationOp::Create { id: world.conversation, title: text() }.into()),
            ("title", ConversationOp::Rename { id: world.conversation, title: text() }.into()),
            ("message", self.message(|m| m.content = text())),
            ("tool call id", self.message(|m| m.tool_calls = vec![call("ok", "ok"), call(bad, "ok")])),
            ("tool name", self.message(|m| m.tool_calls = vec![call("ok", bad)])),
            ("tool call id", self.message(|m| m.tool_result = Some(result(bad)))),
            ("job kind", JobOp::Create { job: kind }.into()),
            ("job error", JobOp::SetState { job: world.job, state: JobState::Failed, error: Some(text()) }.into()),
            ("degraded", self.step(JobStep::Retrieved { passages: 0, messages: 0, degraded: Some(text()) })),
            ("note", self.step(JobStep::Note { text: text() })),
            ("tool call id", self.tool_step(bad, "ok", json!({}), good())),
            ("tool name", self.tool_step("ok", bad, json!({}), good())),
            ("tool error", self.tool_step("ok", "ok", json!({}), failed(bad, "ok"))),
            ("tool error", self.tool_step("ok", "ok", json!({}), failed("ok", bad))),
            ("model", JobOp::RecordLlmCall { call: llm_call }.into()),
            ("error", JobOp::RecordLlmCall { call: llm_error }.into()),
            ("log", JobOp::RecordSandboxJob { run: run_log }.into()),
            ("tool error", JobOp::RecordSandboxJob { run: run_outcome }.into()),
            ("provider", SecretOp::Put { secret: Box::new(provider) }.into()),
            ("binding", SecretOp::Put { secret: Box::new(binding) }.into()),
            ("resource", AccessOp::PutPolicy { policy: resource }.into()),
            ("action", AccessOp::PutPolicy { policy: action }.into()),
            ("label", AccessOp::MakeApiKey { key: label }.into()),
            ("action", AccessOp::RequestApproval { approval: asked }.into()),
            ("capability", AccessOp::GrantTool { grant: capability }.into()),
        ]
    }

    /// Every operation with this value in one of its JSON fields, with the field's name.
    pub(super) fn values(&self, bad: &Value) -> Vec<(&'static str, Operation)> {
        let (world, value) = (&self.world, || bad.clone());
        let call = ToolCall { id: "ok".into(), name: "ok".into(), arguments: value() };
        let mut input = world.new_job();
        input.input = value();
        let mut request = world.new_llm_call();
        request.request = value();
        let mut response = world.new_llm_call();
        response.response = Some(value());
        let mut parameters = world.new_sandbox_job();
        parameters.parameters = value();
        let mut answer = world.new_sandbox_job();
        answer.outcome = ToolOutcome::Success(value());
        let mut conditions = world.new_policy();
        conditions.conditions = value();
        let mut details = world.new_approval(world.approval);
        details.details = value();
        let mut granted = world.new_grant();
        granted.parameters = value();
        let (id, path, metadata) = (VersionId::make(&SystemClock), world.path.clone(), value());
        let version = NewVersion { id, path, metadata, embedding_model: None };
        vec![
            ("tool arguments", self.message(|m| m.tool_calls = vec![call])),
            ("metadata", self.message(|m| m.metadata = value())),
            ("metadata", WorkspaceOp::BeginVersion { version }.into()),
            ("job input", JobOp::Create { job: input }.into()),
            ("tool arguments", self.tool_step("ok", "ok", value(), ToolOutcome::Success(Value::Null))),
            ("tool result", self.tool_step("ok", "ok", json!({}), ToolOutcome::Success(value()))),
            ("request", JobOp::RecordLlmCall { call: request }.into()),
            ("response", JobOp::RecordLlmCall { call: response }.into()),
            ("parameters", JobOp::RecordSandboxJob { run: parameters }.into()),
            ("tool result", JobOp::RecordSandboxJob { run: answer }.into()),
            ("conditions", AccessOp::PutPolicy { policy: conditions }.into()),
            ("details", AccessOp::RequestApproval { approval: details }.into()),
            ("parameters", AccessOp::GrantTool { grant: granted }.into()),
            ("value", SettingOp::Put { key: world.setting.clone(), value: value() }.into()),
        ]
    }
}

pub(super) async fn nul_is_refused_in_every_text(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let fields = Fields { world: World::new(t.now())? };
    fields.world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &fields.world).await?;
    let mut cases = fields.texts("a\0b");
    for value in [json!({"a": "b\0"}), json!({"a\0": [1]}), json!({"a": [{"b": "\0"}]})] {
        cases.extend(fields.values(&value));
    }
    for (field, operation) in cases {
        let action = operation.event().action;
        let sequence = t.store.audit().head(&ada).await?.present()?.sequence;
        let result = apply(&*t.store, &ada, operation).await;
        assert_eq!(refused_field(result), field, "{}", action.name());
        let last = events(&*t.store, &ada).await?.pop().present()?.event;
        assert_eq!((last.sequence, last.action), (sequence + 1, action), "the refusal is audited");
        assert_ne!(last.outcome, Audited::Success);
    }
    assert_same(&before, &snapshot(&*t.store, &ada, &fields.world).await?);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn oversized_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let fields = Fields { world: World::new(t.now())? };
    fields.world.seed(&*t.store, &ada).await?;
    let before = snapshot(&*t.store, &ada, &fields.world).await?;
    // More than the largest limit of any text.
    let limits = Limits::default();
    let long = long_text(limits.json_bytes + 1);
    let mut cases = fields.texts(&long);
    cases.extend(fields.values(&json!({"a": &long})));
    let mut sealed = fields.world.put_secret(3);
    sealed.sealed.ciphertext = bytes(limits.secret_bytes + 1_025);
    cases.push(("sealed value", SecretOp::Put { secret: Box::new(sealed) }.into()));
    let parts = vec![Part { offset: 0, bytes: bytes(limits.part_bytes + 1), chunks: Vec::new() }];
    cases.push(("part", WorkspaceOp::PutParts { version: fields.world.staged, parts }.into()));
    for (field, operation) in cases {
        let name = operation.event().action.name();
        assert_eq!(refused_field(apply(&*t.store, &ada, operation).await), field, "{name}");
    }
    assert_same(&before, &snapshot(&*t.store, &ada, &fields.world).await?);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn malformed_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let fields = Fields { world: world.clone() };
    world.seed(&*t.store, &ada).await?;
    let mut cases: Vec<(&str, Operation)> = Vec::new();
    for value in [json!([]), json!("text"), json!(1), json!(true)] {
        cases.extend(fields.values(&value).into_iter().filter(|(field, _)| *field == "metadata"));
    }
    let part = |offset, bytes: &[u8], chunks| WorkspaceOp::PutParts {
        version: world.staged,
        parts: vec![Part { offset, bytes: bytes.to_vec(), chunks }],
    };
    let chunk = |start, end| vec![NewChunk { id: world.chunks[0], start, end, embedding: None }];
    let text = "ä€🦀x".as_bytes();
    cases.push(("part", part(0, b"", Vec::new()).into()));
    for (start, end) in [(0, 0), (3, 2), (0, 1), (1, 2), (2, 4), (0, 11), (10, 11), (u64::MAX, 0), (0, u64::MAX)] {
        cases.push(("chunk", part(0, text, chunk(start, end)).into()));
    }
    cases.push(("chunk", part(0, b"ok \xff", chunk(0, 4)).into()));
    cases.push(("part", part(u64::MAX, b"x", Vec::new()).into()));
    let id = world.model.clone();
    for dimensions in [0, 4_097, u32::MAX] {
        let model = EmbeddingModel { id: id.clone(), dimensions, lexical: false };
        cases.push(("dimensions", WorkspaceOp::RegisterModel { model }.into()));
    }
    let mut kind = world.new_job();
    kind.kind.clear();
    cases.push(("job kind", JobOp::Create { job: kind }.into()));
    for (field, operation) in cases {
        let name = format!("{operation:?}");
        assert_eq!(refused_field(apply(&*t.store, &ada, operation).await), field, "{name}");
    }
    let key = AuditRecord::new(Action::HostEvent).detail("a\0", "b");
    assert_eq!(refused_field(t.store.apply(&ada, Change::new().event(key)).await), "audit detail");
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn refused_input_writes_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let change = Change::new().with(saying(id, "good")).with(setting("a", 1)?).with(saying(id, "bad\0"));
    assert_eq!(refused_field(t.store.apply(&ada, change).await), "message");
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 0);
    assert_eq!(t.store.settings().setting(&ada, &SettingKey::parse("a")?).await?, None);
    for entry in events(&*t.store, &ada).await? {
        let printed = format!("{entry:?}");
        assert!(!printed.contains("bad") && !printed.contains("good"), "content in the audit trail: {printed}");
    }
    Ok(())
}

pub(super) async fn too_many_operations_are_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let limit = Limits::default().operations;
    let mut change = Change::new();
    for _ in 0..=limit {
        change = change.with(setting("a", 1)?);
    }
    assert_eq!(refused_field(t.store.apply(&ada, change).await), "operations");
    assert_eq!(t.store.settings().setting(&ada, &SettingKey::parse("a")?).await?, None);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn limits_themselves_are_accepted(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, limits) = (user("ada")?, Limits::default());
    let id = conversation(&*t.store, &ada).await?;
    apply(&*t.store, &ada, ConversationOp::Rename { id, title: long_text(limits.title_bytes) }).await?;
    assert!(t.store.conversations().conversation(&ada, id).await?.present()?.title.len() == limits.title_bytes);
    let json = json!(letters(limits.json_bytes - 2));
    apply(&*t.store, &ada, setting("large", json.clone())?).await?;
    let found = t.store.settings().setting(&ada, &SettingKey::parse("large")?).await?.present()?;
    assert!(found.value == json, "the value came back another");
    let file = File::new(&format!("{}/x", letters(WorkspacePath::BYTES - 2)), &long_text(limits.part_bytes))?;
    file.write(&*t.store, &ada).await?;
    let content = t.store.workspace().content(&ada, &file.path, 0, u64::MAX).await?.present()?;
    assert!(content == file.text.as_bytes(), "the content came back another");
    let (name, key) = (SecretName::parse("é".repeat(128))?, data_key(&*t.store, &ada).await?);
    let Operation::Secrets(SecretOp::Put { mut secret }) = secret_op(&name, 1, key).into() else {
        return Err(Failure::new("a put of a secret is another operation"));
    };
    secret.sealed.ciphertext = bytes(limits.secret_bytes + 1_024);
    apply(&*t.store, &ada, SecretOp::Put { secret: secret.clone() }).await?;
    let found = t.store.secrets().secret_version(&ada, &name, None).await?.present()?;
    assert!(found.sealed == secret.sealed, "the sealed value came back another");
    let note = JobStep::Note { text: long_text(limits.message_bytes) };
    apply(&*t.store, &ada, JobOp::AppendEvent { job: job(&*t.store, &ada).await?, step: note }).await?;
    Ok(())
}

/// Every name and path of a user at its longest, and the names of tenant and user too: they are keys of all that there is.
pub(super) async fn the_longest_names_are_accepted(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let mut random = Random::new(1);
    let mut longest = || random.letters(NAME_BYTES);
    let ada = tenant_user(&longest(), &longest())?;
    let world = World {
        model: EmbeddingModelId::parse(longest())?,
        path: WorkspacePath::parse(letters(WorkspacePath::BYTES))?,
        secret: SecretName::parse(longest())?,
        agent: AgentName::parse(longest())?,
        tool: ToolName::parse(longest())?,
        setting: SettingKey::parse(longest())?,
        quota: QuotaName::parse(longest())?,
        ..World::new(t.now())?
    };
    world.seed(&*t.store, &ada).await?;
    assert_eq!(t.store.workspace().entry(&ada, &world.path).await?.present()?.path, world.path);
    let acting = ada.acting(Principal::Agent(world.agent.clone())).acting(Principal::Tool(world.tool.clone()));
    let keyed = Change::new().with(setting(&longest(), longest())?).idempotent(IdempotencyKey::parse(longest())?);
    t.store.apply(&acting, keyed.clone()).await?;
    assert!(t.store.apply(&acting, keyed).await?.replayed);
    let role =
        UserRole { name: RoleName::parse(longest())?, permissions: Vec::new(), updated_at: Timestamp::from_micros(1) };
    let (tenant, owner, status) = (ada.tenant().clone(), ada.person().clone(), UserStatus::Active);
    let roles = vec![role.name.clone()];
    t.maintenance.apply_system(SystemChange::PutRole { tenant: tenant.clone(), role }).await?;
    t.maintenance.apply_system(SystemChange::PutUser { tenant, owner, status, roles }).await?;
    put_quota(&t, &ada, &QuotaName::parse(longest())?, 7).await?;
    // Words of any length are known by their beginnings.
    let long_words = File::new("words", &format!("{} {}", letters(60_000), "é".repeat(30_000)))?;
    long_words.write(&*t.store, &ada).await?;
    subject.harness.copies(&t.place, &ada).await?;
    t.store.audit().verify(&ada).await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    apply(&*t.store, &ada, PrivacyOp::Forget).await?;
    assert_eq!(t.store.workspace().entry(&ada, &world.path).await?, None);
    Ok(())
}

pub(super) async fn the_largest_vectors_are_accepted(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = super::fixtures::model(&*t.store, &ada, "m", 4_096).await?;
    File::new("a", "text")?.embedded(&model, vec![0.5; 4_096]).write(&*t.store, &ada).await?;
    let query = VectorQuery { model, vector: vec![0.5; 4_096] };
    let hits = t.store.workspace().search_vectors(&ada, &query, &SearchFilter::default(), 10).await?;
    assert_eq!(hits.len(), 1);
    Ok(())
}

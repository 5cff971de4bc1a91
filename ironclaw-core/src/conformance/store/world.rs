//! One row of everything a user can have, each field filled with something of its own.

use std::time::Duration;

use serde_json::json;

use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, SecretOp, SettingOp, WorkspaceOp};
use crate::clock::{SystemClock, Timestamp};
use crate::conformance::check::Failure;
use crate::conformance::text::{HOSTILE, hostile, hostile_json, hostile_name};
use crate::embedder::EmbeddingModel;
use crate::id::{
    AgentName, ApiKeyId, ApprovalId, ChunkId, ConversationId, DataKeyId, EmbeddingModelId, JobId, LeaseId, LlmCallId,
    MessageId, PolicyId, QuotaName, SandboxJobId, SecretName, SettingKey, TokenId, ToolGrantId, ToolName, VersionId,
    WorkerName,
};
use crate::llm::{TokenUsage, ToolCall};
use crate::model::access::{ApiKey, Approval, ApprovalState, Lease, Policy, Token, ToolGrant};
use crate::model::conversations::{NewMessage, Role, ToolResult};
use crate::model::jobs::{JobState, JobStep, LlmCall, NewJob, SandboxJob, ToolOutcome};
use crate::model::secrets::{Algorithm, Binding, PutSecret, Sealed, WrappedKey};
use crate::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use crate::scope::Scope;
use crate::store::Store;
use crate::tool::SandboxUsage;

/// The ids and names of one user's rows.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) conversation: ConversationId,
    pub(crate) messages: [MessageId; 4],
    pub(crate) model: EmbeddingModelId,
    pub(crate) path: WorkspacePath,
    pub(crate) version: VersionId,
    pub(crate) staged: VersionId,
    pub(crate) chunks: [ChunkId; 2],
    pub(crate) job: JobId,
    pub(crate) llm_call: LlmCallId,
    pub(crate) sandbox_job: SandboxJobId,
    pub(crate) data_key: DataKeyId,
    pub(crate) secret: SecretName,
    pub(crate) agent: AgentName,
    pub(crate) tool: ToolName,
    pub(crate) policy: PolicyId,
    pub(crate) token: TokenId,
    pub(crate) api_key: ApiKeyId,
    pub(crate) lease: LeaseId,
    pub(crate) approval: ApprovalId,
    pub(crate) open_approval: ApprovalId,
    pub(crate) grant: ToolGrantId,
    pub(crate) setting: SettingKey,
    pub(crate) quota: QuotaName,
}

/// The text of the file; the chunks are its two halves.
pub(crate) const FILE: &str = "The lighthouse keeper counts ships. 🚢 Ships pass; der Leuchtturm blinkt — 灯台は光る。";
/// Where its second chunk starts.
pub(crate) const SPLIT: u64 = 36;

impl World {
    /// New ids; the names are the same in every world.
    pub(crate) fn new(now: Timestamp) -> Result<Self, Failure> {
        let clock = &SystemClock;
        Ok(Self {
            now,
            conversation: ConversationId::make(clock),
            messages: std::array::from_fn(|_| MessageId::make(clock)),
            model: EmbeddingModelId::parse(hostile_name("model"))?,
            path: WorkspacePath::parse(format!("notes/{}.md", hostile_name("plan").replace('\\', "")))?,
            version: VersionId::make(clock),
            staged: VersionId::make(clock),
            chunks: std::array::from_fn(|_| ChunkId::make(clock)),
            job: JobId::make(clock),
            llm_call: LlmCallId::make(clock),
            sandbox_job: SandboxJobId::make(clock),
            data_key: DataKeyId::make(clock),
            secret: SecretName::parse(hostile_name("secret"))?,
            agent: AgentName::parse(hostile_name("agent"))?,
            tool: ToolName::parse(hostile_name("tool"))?,
            policy: PolicyId::make(clock),
            token: TokenId::make(clock),
            api_key: ApiKeyId::make(clock),
            lease: LeaseId::make(clock),
            approval: ApprovalId::make(clock),
            open_approval: ApprovalId::make(clock),
            grant: ToolGrantId::make(clock),
            setting: SettingKey::parse(hostile_name("setting"))?,
            quota: QuotaName::parse(hostile_name("quota"))?,
        })
    }

    /// Writes everything, each operation in a change of its own.
    pub(crate) async fn seed(&self, store: &dyn Store, scope: &Scope) -> Result<(), Failure> {
        for operation in self.operations()? {
            store.apply(scope, Change::new().with(operation)).await?;
        }
        Ok(())
    }

    /// What writes everything, in an order that works.
    pub(crate) fn operations(&self) -> Result<Vec<Operation>, Failure> {
        let mut operations: Vec<Operation> =
            vec![ConversationOp::Create { id: self.conversation, title: "first title".into() }.into()];
        operations.push(ConversationOp::Rename { id: self.conversation, title: hostile("title") }.into());
        for message in self.new_messages()? {
            operations.push(ConversationOp::AppendMessage { conversation: self.conversation, message }.into());
        }
        operations.extend(self.workspace());
        operations.extend(self.jobs()?);
        operations.extend(self.secrets());
        operations.extend(self.access());
        operations.push(SettingOp::Put { key: self.setting.clone(), value: hostile_json("setting") }.into());
        operations.push(SettingOp::ChargeQuota { name: self.quota.clone(), amount: 3 }.into());
        Ok(operations)
    }

    /// A message of each role.
    pub(crate) fn new_messages(&self) -> Result<[NewMessage; 4], Failure> {
        let [user, assistant, system, tool] = self.messages;
        let call = |id: &str| ToolCall { id: hostile(id), name: hostile("name"), arguments: hostile_json(id) };
        Ok([
            NewMessage {
                metadata: hostile_json("user"),
                ..NewMessage::text(user, Role::User, format!("lighthouse {}", hostile("user")))
            },
            NewMessage {
                tool_calls: vec![call("one"), call("two")],
                metadata: json!({}),
                ..NewMessage::text(assistant, Role::Assistant, format!("lighthouse ships {}", HOSTILE[1]))
            },
            NewMessage::text(system, Role::System, ""),
            NewMessage {
                tool_result: Some(ToolResult { call_id: hostile("one"), name: self.tool.clone(), is_error: true }),
                ..NewMessage::text(tool, Role::Tool, hostile("tool"))
            },
        ])
    }

    fn workspace(&self) -> Vec<Operation> {
        let version = |id, model: Option<&EmbeddingModelId>| NewVersion {
            id,
            path: self.path.clone(),
            metadata: hostile_json("entry"),
            embedding_model: model.cloned(),
        };
        let size = FILE.len() as u64;
        let model = EmbeddingModel { id: self.model.clone(), dimensions: 3, lexical: true };
        vec![
            WorkspaceOp::RegisterModel { model }.into(),
            WorkspaceOp::BeginVersion { version: version(self.version, Some(&self.model)) }.into(),
            WorkspaceOp::PutParts { version: self.version, parts: self.parts() }.into(),
            WorkspaceOp::Publish { version: self.version, size, content_hash: ContentHash::of(FILE.as_bytes()) }.into(),
            WorkspaceOp::BeginVersion { version: version(self.staged, None) }.into(),
        ]
    }

    /// The file in two parts, each with its chunk.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let (first, second) = FILE.as_bytes().split_at(SPLIT as usize);
        let part = |offset, bytes: &[u8], id, embedding| Part {
            offset,
            bytes: bytes.to_vec(),
            chunks: vec![NewChunk { id, start: offset, end: offset + bytes.len() as u64, embedding: Some(embedding) }],
        };
        vec![
            part(0, first, self.chunks[0], vec![0.6, 0.8, 0.0]),
            part(SPLIT, second, self.chunks[1], vec![0.0, -0.6, 0.8]),
        ]
    }

    /// The job as it is created.
    pub(crate) fn new_job(&self) -> NewJob {
        NewJob {
            id: self.job,
            kind: hostile("kind"),
            conversation: Some(self.conversation),
            agent: Some(self.agent.clone()),
            input: hostile_json("input"),
        }
    }

    /// A step of each kind.
    pub(crate) fn steps(&self) -> Vec<JobStep> {
        let call = |outcome| JobStep::ToolCall {
            call_id: hostile("call"),
            tool: hostile("tool"),
            arguments: hostile_json("arguments"),
            outcome,
            duration_us: 1_234_567,
        };
        vec![
            JobStep::State { state: JobState::Running },
            JobStep::Retrieved { passages: 7, messages: 11, degraded: Some(hostile("degraded")) },
            JobStep::Retrieved { passages: 0, messages: 0, degraded: None },
            call(ToolOutcome::Success(hostile_json("success"))),
            call(ToolOutcome::Failure { code: "timeout".into(), message: hostile("failure") }),
            JobStep::Note { text: hostile("note") },
        ]
    }

    /// The call of a model.
    pub(crate) fn new_llm_call(&self) -> LlmCall {
        LlmCall {
            id: self.llm_call,
            job: self.job,
            model: hostile("model"),
            request: hostile_json("request"),
            response: Some(hostile_json("response")),
            error: Some(hostile("error")),
            usage: TokenUsage { input: Some(1_001), output: Some(2_002), cost_micro_usd: Some(3_003) },
            latency_us: 4_004,
            created_at: self.now.before(Duration::from_micros(5_005)),
        }
    }

    /// The run of a tool.
    pub(crate) fn new_sandbox_job(&self) -> SandboxJob {
        SandboxJob {
            id: self.sandbox_job,
            job: self.job,
            tool: self.tool.clone(),
            parameters: hostile_json("parameters"),
            outcome: ToolOutcome::Failure { code: "out_of_fuel".into(), message: hostile("outcome") },
            log: hostile("log"),
            usage: Some(SandboxUsage {
                component: "ab".repeat(32),
                fuel: 6_006,
                memory_bytes: 7_007,
                duration_us: 8_008,
            }),
            created_at: self.now.before(Duration::from_micros(9_009)),
        }
    }

    fn jobs(&self) -> Result<Vec<Operation>, Failure> {
        let (worker, until) = (WorkerName::parse(hostile_name("worker"))?, self.now.after(Duration::from_secs(600)));
        let mut operations: Vec<Operation> = vec![
            // The agent comes first, for a store that looks for it.
            AccessOp::PutAgent { name: self.agent.clone(), active: true }.into(),
            JobOp::Create { job: self.new_job() }.into(),
            JobOp::Claim { job: self.job, worker, until }.into(),
        ];
        operations.extend(self.steps().into_iter().map(|step| JobOp::AppendEvent { job: self.job, step }.into()));
        operations.push(JobOp::RecordLlmCall { call: self.new_llm_call() }.into());
        operations.push(JobOp::RecordSandboxJob { run: self.new_sandbox_job() }.into());
        Ok(operations)
    }

    /// The wrapped data key.
    pub(crate) fn wrapped(&self) -> WrappedKey {
        WrappedKey {
            format: 3,
            algorithm: Algorithm::XChaCha20Poly1305,
            parameters: vec![0, 1, 255],
            nonce: (0..24).collect(),
            ciphertext: (0..=255).collect(),
        }
    }

    /// A version of the secret.
    pub(crate) fn put_secret(&self, number: u32) -> PutSecret {
        PutSecret {
            name: self.secret.clone(),
            provider: Some(hostile("provider")),
            bindings: vec![Binding { host: "api.example.com".into() }, Binding { host: "*.example.org".into() }],
            expires_at: Some(self.now.after(Duration::from_secs(86_400))),
            number,
            sealed: Sealed {
                format: 2,
                algorithm: Algorithm::Aes256Gcm,
                data_key: self.data_key,
                salt: vec![0, 128, 255],
                nonce: (0..12).collect(),
                ciphertext: format!("sealed {number} \0\u{ff}").into_bytes(),
            },
        }
    }

    fn secrets(&self) -> Vec<Operation> {
        let (id, wrapped) = (self.data_key, self.wrapped());
        let put = |number| SecretOp::Put { secret: Box::new(self.put_secret(number)) }.into();
        vec![
            SecretOp::PutDataKey { id, number: 1, root_key: 5, wrapped }.into(),
            put(1),
            put(2),
            SecretOp::Use { name: self.secret.clone(), number: 2 }.into(),
        ]
    }

    /// The policy.
    pub(crate) fn new_policy(&self) -> Policy {
        Policy {
            id: self.policy,
            agent: self.agent.clone(),
            resource: hostile("resource"),
            actions: vec!["reveal".into(), hostile("action")],
            conditions: hostile_json("conditions"),
            valid_from: self.now.before(Duration::from_secs(60)),
            valid_until: Some(self.now.after(Duration::from_secs(3_600))),
        }
    }

    /// The token.
    pub(crate) fn new_token(&self) -> Token {
        Token {
            id: self.token,
            agent: self.agent.clone(),
            policy_epoch: 2,
            hash: [0xa1; 32],
            created_at: self.now,
            expires_at: self.now.after(Duration::from_secs(7_200)),
            revoked_at: None,
        }
    }

    /// The API key.
    pub(crate) fn new_api_key(&self) -> ApiKey {
        ApiKey {
            id: self.api_key,
            label: hostile("label"),
            hash: [0xb2; 32],
            created_at: self.now,
            expires_at: Some(self.now.after(Duration::from_secs(7_201))),
            revoked_at: None,
        }
    }

    /// The lease, with ten uses.
    pub(crate) fn new_lease(&self) -> Lease {
        Lease {
            id: self.lease,
            secret: self.secret.clone(),
            agent: self.agent.clone(),
            uses_left: 10,
            created_at: self.now,
            expires_at: self.now.after(Duration::from_secs(7_202)),
            revoked_at: None,
        }
    }

    /// A question, not answered.
    pub(crate) fn new_approval(&self, id: ApprovalId) -> Approval {
        Approval {
            id,
            agent: self.agent.clone(),
            action: hostile("action"),
            details: hostile_json("details"),
            state: ApprovalState::Pending,
            created_at: self.now,
            expires_at: self.now.after(Duration::from_secs(7_203)),
            decided_at: None,
        }
    }

    /// The capability.
    pub(crate) fn new_grant(&self) -> ToolGrant {
        ToolGrant {
            id: self.grant,
            tool: self.tool.clone(),
            capability: hostile("capability"),
            parameters: hostile_json("parameters"),
            created_at: self.now,
            expires_at: Some(self.now.after(Duration::from_secs(7_204))),
            revoked_at: None,
        }
    }

    fn access(&self) -> Vec<Operation> {
        vec![
            AccessOp::PutPolicy { policy: self.new_policy() }.into(),
            AccessOp::IssueToken { token: self.new_token() }.into(),
            AccessOp::MakeApiKey { key: self.new_api_key() }.into(),
            AccessOp::GrantLease { lease: self.new_lease() }.into(),
            AccessOp::RedeemLease { id: self.lease }.into(),
            AccessOp::RequestApproval { approval: self.new_approval(self.approval) }.into(),
            AccessOp::DecideApproval { id: self.approval, approved: true }.into(),
            AccessOp::RequestApproval { approval: self.new_approval(self.open_approval) }.into(),
            AccessOp::GrantTool { grant: self.new_grant() }.into(),
        ]
    }
}

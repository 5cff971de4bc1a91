//! What is deleted and scrubbed is gone from the files' bytes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ironclaw_core::change::{ConversationOp, JobOp, PrivacyOp, WorkspaceOp};
use ironclaw_core::id::{
    AgentName, ChunkId, ConversationId, IdempotencyKey, JobId, LlmCallId, MessageId, OperatorName, SandboxJobId,
    TenantId, ToolName, UserId, VersionId, WorkerName,
};
use ironclaw_core::llm::ToolCall;
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::conversations::{NewMessage, Role, ToolResult};
use ironclaw_core::model::jobs::{JobState, JobStep, LlmCall, NewJob, SandboxJob, ToolOutcome};
use ironclaw_core::model::workspace::{ContentHash, NewChunk, NewVersion, Part, WorkspacePath};
use ironclaw_core::scope::RequestContext;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Clock, Maintenance, Scope, Store, SystemClock};
use ironclaw_store::LibsqlStore;
use serde_json::json;

const CHILD: &str = "IRONCLAW_SCRUB_CHILD";

fn ada() -> Scope {
    let request = RequestContext::new(Some("zebrarequest".into()), None, Some("zebrabrowser".into())).unwrap();
    Scope::user("ada").unwrap().in_request(request)
}

/// A change that writes a marker, a word with `zebra` in it, into every column of text that a user fills.
fn marked() -> Change {
    let conversation = ConversationId::make(&SystemClock);
    let job = JobId::make(&SystemClock);
    let now = SystemClock.now();
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::Assistant, "zebracontent ".repeat(2_000))
        .tool_calls(vec![ToolCall::new("c", "zebratool", json!("zebraargument"))])
        .tool_result(ToolResult::new("zebracall", ToolName::parse("zebraresult").unwrap()))
        .metadata(json!({"zebrakey": "zebrametadata"}));
    let failure = ToolOutcome::Failure { code: "zebracode".into(), message: "zebrafailure".into() };
    let version = VersionId::make(&SystemClock);
    let text = b"zebrafile ".repeat(2_000);
    let chunk = NewChunk::new(ChunkId::make(&SystemClock), 0, text.len() as u64);
    let staged = VersionId::make(&SystemClock);
    let begin = |id, path: &str| WorkspaceOp::BeginVersion {
        version: NewVersion::new(id, WorkspacePath::parse(path).unwrap()).metadata(json!({"m": "zebraentry"})),
    };
    Change::new()
        .with(ConversationOp::Create { id: conversation, title: "zebratitle".into() })
        .with(ConversationOp::AppendMessage { conversation, message })
        .with(JobOp::Create {
            job: NewJob::new(job, "zebrakind")
                .conversation(conversation)
                .agent(AgentName::parse("zebraagent").unwrap())
                .input(json!("zebrainput")),
        })
        .with(JobOp::Claim { job, worker: WorkerName::parse("zebraworker").unwrap(), until: now })
        .with(JobOp::AppendEvent { job, step: JobStep::Note { text: "zebranote".into() } })
        .with(JobOp::RecordLlmCall {
            call: LlmCall::new(LlmCallId::make(&SystemClock), job, "zebramodel", json!("zebraprompt"), now)
                .response(json!("zebraanswer"))
                .error("zebraerror".to_owned())
                .latency_us(1),
        })
        .with(JobOp::RecordSandboxJob {
            run: SandboxJob::new(
                SandboxJobId::make(&SystemClock),
                job,
                ToolName::parse("zebrasandbox").unwrap(),
                json!("zebraparameter"),
                failure,
                now,
            )
            .log("zebralog"),
        })
        .with(JobOp::SetState { job, state: JobState::Failed, error: Some("zebrajoberror".into()) })
        .with(begin(version, "zebrapath.md"))
        .with(WorkspaceOp::PutParts { version, parts: vec![Part::new(0, text.clone()).chunks(vec![chunk])] })
        .with(WorkspaceOp::Publish { version, size: text.len() as u64, content_hash: ContentHash::of(&text) })
        .with(begin(staged, "zebrastaged.md"))
        .with(WorkspaceOp::PutParts { version: staged, parts: vec![Part::new(0, b"zebrastaging".to_vec())] })
        .idempotent(IdempotencyKey::parse("zebraidempotency").unwrap())
}

/// The files of the store in which the marker is found, in any case.
fn marked_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap().to_ascii_lowercase();
        if bytes.windows(5).any(|window| window == b"zebra") {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

async fn open(folder: &Path) -> LibsqlStore {
    let path = folder.join("agent.db");
    LibsqlStore::builder().busy_timeout(Duration::from_millis(200)).open(path).await.unwrap()
}

fn maintenance(store: &LibsqlStore) -> impl Maintenance + use<> {
    store.maintenance(OperatorName::parse("root").unwrap())
}

#[tokio::test]
async fn what_was_forgotten_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.apply(&ada(), marked()).await.unwrap();
    assert_eq!(marked_files(folder.path()), ["agent.db-wal"]);
    let forget = Change::new().with(PrivacyOp::Forget);
    store.apply(&Scope::user("ada").unwrap(), forget).await.unwrap();
    let scrubbed = maintenance(&store).scrub().await.unwrap();
    assert_eq!(scrubbed.pending, Vec::<String>::new());
    assert_eq!(marked_files(folder.path()), Vec::<String>::new());
    assert_eq!(maintenance(&store).check_integrity().await.unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_erased_user_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let zebra = Scope::user("zebra").unwrap();
    store.apply(&zebra, marked()).await.unwrap();
    let admin = maintenance(&store);
    let (tenant, owner) = (TenantId::default_tenant(), UserId::parse("zebra").unwrap());
    let quota = SystemChange::PutQuota {
        tenant: tenant.clone(),
        owner: owner.clone().into(),
        name: "q".parse().unwrap(),
        limit: 1,
    };
    admin.apply_system(quota).await.unwrap();
    let id = ironclaw_core::id::ErasureId::make(&SystemClock);
    admin.apply_system(SystemChange::EraseUser { tenant, owner: owner.into(), id }).await.unwrap();
    assert_eq!(admin.scrub().await.unwrap().pending, Vec::<String>::new());
    assert_eq!(marked_files(folder.path()), Vec::<String>::new());
    admin.verify_audit().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_another_process_reads_is_pending() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.apply(&ada(), marked()).await.unwrap();
    let mut child = Reader::start(&folder.path().join("agent.db"));
    store.apply(&ada(), Change::new().with(PrivacyOp::Forget)).await.unwrap();
    let admin = maintenance(&store);
    let pending = admin.scrub().await.unwrap().pending;
    assert!(!pending.is_empty());
    assert!(pending.iter().all(|reason| reason.contains("again") && !reason.contains("zebra")), "{pending:?}");
    child.end();
    assert_eq!(admin.scrub().await.unwrap().pending, Vec::<String>::new());
    store.close().await.unwrap();
}

/// A process that keeps a snapshot of the store open.
struct Reader(Child, Lines<BufReader<ChildStdout>>);

impl Reader {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_reads", "--nocapture"])
            .env(CHILD, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(out.any(|line| line.unwrap().contains("reading")), "the child did not begin to read");
        // What the child says later must find somebody who listens.
        Self(child, out)
    }

    fn end(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.1.all(|line| line.is_ok()));
        assert!(self.0.wait().unwrap().success());
    }
}

/// Not a test of its own: what the second process does.
#[tokio::test]
async fn child_reads() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let connection = libsql::Builder::new_local(path).build().await.unwrap().connect().unwrap();
    connection.execute("BEGIN", ()).await.unwrap();
    let mut rows = connection.query("SELECT count(*) FROM messages", ()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    println!("reading");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

//! The JSON of what a host shows: names, tags, times and ids as they stay.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use ironclaw_core::clock::Timestamp;
use ironclaw_core::id::{
    AgentName, ChunkId, ConversationId, JobId, LlmCallId, MessageId, SandboxJobId, ToolName, VersionId, WorkerName,
};
use ironclaw_core::llm::TokenUsage;
use ironclaw_core::memory::{Passage, SearchResults, Written};
use ironclaw_core::model::audit::{
    Action, AuditCheckpoint, AuditEntry, AuditEvent, AuditPrincipal, AuditPrivate, ChainHead, Outcome, PrincipalKind,
    Pseudonym, StreamId, Subject, SubjectKind,
};
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit, NewMessage, Role};
use ironclaw_core::model::jobs::{Claim, Job, JobEvent, JobState, JobStep, LlmCall, NewJob, SandboxJob, ToolOutcome};
use ironclaw_core::model::workspace::{ChunkHit, ChunkText, ContentHash, Entry, WorkspacePath};
use ironclaw_core::tool::{LogLevel, LogLine, SandboxUsage, ToolOutput};
use ironclaw_core::{Page, RequestContext};
use serde::Serialize;
use serde_json::{Value, json};

const NOON: &str = "2026-11-29T12:00:00.000001Z";
const ONE: &str = "01010101-0101-0101-0101-010101010101";
const TWO: &str = "02020202-0202-0202-0202-020202020202";

fn noon() -> Timestamp {
    Timestamp::parse(NOON).unwrap()
}

fn path() -> WorkspacePath {
    WorkspacePath::parse("notes/launch.md").unwrap()
}

#[track_caller]
fn shown(value: &impl Serialize, expected: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
}

#[test]
fn jobs_and_their_parts() {
    let (id, conversation) = (JobId::from_bytes([1; 16]), ConversationId::from_bytes([2; 16]));
    let new = NewJob::new(id, "send").conversation(conversation).agent(AgentName::parse("assistant").unwrap());
    let claim = Claim::new(WorkerName::parse("worker-1").unwrap(), noon());
    let job = Job::new(new.input(json!({"a": 1})), noon()).state(JobState::Running).claim(claim).version(2);
    shown(
        &Page::new(vec![job], None),
        json!({
            "items": [{
                "id": ONE, "kind": "send", "conversation": TWO, "agent": "assistant", "input": {"a": 1},
                "state": "running", "claim": {"worker": "worker-1", "until": NOON}, "error": null,
                "created_at": NOON, "updated_at": NOON, "version": 2,
            }],
            "next": null,
        }),
    );
    let outcome = ToolOutcome::Failure { code: "timeout".into(), message: "it ran too long".into() };
    let (call_id, tool) = ("call_1".to_owned(), "weather".to_owned());
    let step = JobStep::ToolCall { call_id, tool, arguments: json!({"city": "Rome"}), outcome, duration_us: 7 };
    shown(
        &JobEvent::new(id, 3, noon(), step),
        json!({
            "job": ONE, "sequence": 3, "created_at": NOON,
            "step": {
                "kind": "tool_call", "call_id": "call_1", "tool": "weather", "arguments": {"city": "Rome"},
                "outcome": {"failure": {"code": "timeout", "message": "it ran too long"}}, "duration_us": 7,
            },
        }),
    );
    let usage = TokenUsage::default().input(Some(10)).output(Some(2));
    let call = LlmCall::new(LlmCallId::from_bytes([2; 16]), id, "model-1", json!({"messages": []}), noon());
    shown(
        &call.response(json!({"text": "Yes."})).usage(usage).latency_us(9),
        json!({
            "id": TWO, "job": ONE, "model": "model-1", "request": {"messages": []}, "response": {"text": "Yes."},
            "error": null, "usage": {"input": 10, "output": 2, "cost_micro_usd": null}, "latency_us": 9,
            "created_at": NOON,
        }),
    );
    let (run, tool) = (SandboxJobId::from_bytes([2; 16]), ToolName::parse("weather").unwrap());
    let run = SandboxJob::new(run, id, tool, json!({}), ToolOutcome::Success(json!("warm")), noon()).log("info: asked");
    shown(
        &run.usage(SandboxUsage::default().component("ab").fuel(6).memory_bytes(7).duration_us(8)),
        json!({
            "id": TWO, "job": ONE, "tool": "weather", "parameters": {}, "outcome": {"success": "warm"},
            "log": "info: asked",
            "usage": {"component": "ab", "fuel": 6, "memory_bytes": 7, "duration_us": 8}, "created_at": NOON,
        }),
    );
}

#[test]
fn audit_entries() {
    let stream = StreamId([0xa1; 16]);
    let event = AuditEvent::new(stream, 4, [0; 32], noon(), Action::SecretUse, Outcome::Denied)
        .user(Pseudonym([0xb2; 16]))
        .principals(vec![AuditPrincipal::new(PrincipalKind::User, Pseudonym([0xb2; 16]))])
        .subjects(vec![Subject::new(SubjectKind::Job, [1; 16])])
        .commitment([0xc3; 32])
        .hash([0xd4; 32]);
    let details = BTreeMap::from([("secret".to_owned(), "openai".to_owned())]);
    let request = RequestContext::new(Some("r-1".into()), Some([127, 0, 0, 1].into()), None).unwrap();
    shown(
        &AuditEntry::new(event.clone(), Some(AuditPrivate::new(details, request))).names(vec![Some("ada".into())]),
        json!({
            "event": {
                "stream": "a1".repeat(16), "sequence": 4, "previous": "00".repeat(32), "time": NOON,
                "user": "b2".repeat(16), "principals": [{"kind": "user", "pseudonym": "b2".repeat(16)}],
                "action": "secrets.use", "outcome": "denied", "subjects": [{"kind": "job", "id": ONE}],
                "commitment": "c3".repeat(32), "hash": "d4".repeat(32), "tree_index": null,
            },
            "private": {
                "details": {"secret": "openai"}, "request": {"id": "r-1", "ip": "127.0.0.1", "user_agent": null},
            },
            "names": ["ada"],
        }),
    );
    shown(&AuditEntry::new(event, None).private, Value::Null);

    // What a host keeps elsewhere is read again.
    let head = ChainHead::new(stream, 4, [0xd4; 32]);
    let kept = json!({"stream": "a1".repeat(16), "sequence": 4, "hash": "d4".repeat(32)});
    shown(&head, kept.clone());
    assert_eq!(serde_json::from_value::<ChainHead>(kept.clone()).unwrap(), head);
    let checkpoint = AuditCheckpoint::new(1, [7; 32], "signed", noon());
    let text = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::from_str::<AuditCheckpoint>(&text).unwrap(), checkpoint);
    for wrong in ["", "d4", "é1", &"x".repeat(64), &"d4".repeat(33)] {
        let mut kept = kept.clone();
        kept["hash"] = wrong.into();
        let refused = serde_json::from_value::<ChainHead>(kept).unwrap_err();
        assert_eq!(refused.to_string(), "expected 64 hex digits");
    }
}

#[test]
fn what_was_found_and_written() {
    let passage = Passage::new(path(), 3, 7, "text", 0.5);
    shown(
        &SearchResults::new(vec![passage]).degraded(vec!["no room".to_owned()]),
        json!({
            "passages": [{"path": "notes/launch.md", "start": 3, "end": 7, "text": "text", "score": 0.5}],
            "degraded": ["no room"],
        }),
    );
    let entry = Entry::new(path(), VersionId::from_bytes([1; 16]), 4, ContentHash::from_bytes([0xe5; 32]), noon());
    shown(
        &Written::new(entry.chunks(1), true, 1),
        json!({
            "entry": {
                "path": "notes/launch.md", "version": ONE, "size": 4, "content_hash": "e5".repeat(32),
                "metadata": null, "embedding_model": null, "chunks": 1, "created_at": NOON, "updated_at": NOON,
            },
            "changed": true, "embedded": 1,
        }),
    );
    let chunk = ChunkId::from_bytes([1; 16]);
    shown(&ChunkHit::new(chunk, 0.5), json!({"chunk": ONE, "score": 0.5}));
    shown(
        &ChunkText::new(chunk, path(), 3, 7, "text"),
        json!({"chunk": ONE, "path": "notes/launch.md", "start": 3, "end": 7, "text": "text"}),
    );
    let output = ToolOutput::new(json!(1)).logs(vec![LogLine::new(LogLevel::Warn, "slow")]);
    shown(&output, json!({"value": 1, "logs": [{"level": "warn", "message": "slow"}], "usage": null}));
}

#[test]
fn conversations_and_their_messages() {
    let conversation = ConversationId::from_bytes([2; 16]);
    shown(
        &Conversation::new(conversation, noon()).title("Launch").messages(1).version(2),
        json!({
            "id": TWO, "title": "Launch", "created_at": NOON, "updated_at": NOON, "messages": 1, "version": 2,
        }),
    );
    let message = NewMessage::text(MessageId::from_bytes([1; 16]), Role::User, "When?");
    let hit = MessageHit::new(Message::new(conversation, 1, noon(), message), 1.5);
    let shown = serde_json::to_value(&hit).unwrap();
    assert_eq!((&shown["score"], &shown["message"]["sequence"]), (&json!(1.5), &json!(1)));
    assert_eq!((&shown["message"]["id"], &shown["message"]["role"]), (&json!(ONE), &json!("user")));
    assert_eq!(shown["message"]["created_at"], json!(NOON));
}

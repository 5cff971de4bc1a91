//! What each column may hold.

use std::str::FromStr;

use ironclaw_core::Owner;
use ironclaw_core::id::{
    AgentName, EmbeddingModelId, IdempotencyKey, QuotaName, RoleName, SecretName, SettingKey, TenantId, ToolName,
    UserId, WorkerName,
};
use ironclaw_core::model::audit::{Action, AuditPrivate, Outcome, PrincipalKind, SubjectKind};
use ironclaw_core::model::conversations::ToolResult;
use ironclaw_core::model::jobs::{JobStep, ToolOutcome};
use ironclaw_core::model::secrets::Binding;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::tool::SandboxUsage;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::codes;
use crate::conversations::Beside;
use crate::copy::table::Value;
use crate::damage;
use crate::json;
use crate::reserved;
use crate::search::{postings, vector};

/// Tells whether a column may hold a value that is not absent.
pub(crate) type Test = fn(&Value) -> bool;

/// What a column may hold; `None` for one that is not known.
pub(crate) fn test(table: &str, column: &str) -> Option<Test> {
    Some(match (table, column) {
        ("users", "tenant") => {
            |value| is_text(value, |text| reserved::TENANTS.contains(&text) || parses::<TenantId>(text))
        }
        ("users", "status") => |value| is_code(value, codes::user_status),
        ("removals", "kind") => |value| is_number(value, |kind| (1..=4).contains(&kind)),
        ("removals", "private") => |value| is_bytes(value, |_| true),
        ("removals", "operator" | "receipt") => |value| is_text(value, |_| true),
        ("removals", "tenant") => |value| is_text(value, parses::<TenantId>),
        ("messages", "role") => |value| is_code(value, codes::role),
        ("jobs", "state") => |value| is_code(value, codes::job_state),
        ("approvals", "state") => |value| is_code(value, codes::approval_state),
        ("entry_versions", "state") => |value| is_code(value, codes::VersionState::from_code),
        ("retention_policies", "category") => |value| is_code(value, codes::category),
        ("audit_pseudonyms", "kind") => |value| is_code(value, |code| PrincipalKind::from_code(code.try_into().ok()?)),
        (_, "algorithm") => |value| is_code(value, codes::algorithm),
        (_, "action") if table == "audit_events" => {
            |value| is_code(value, |code| Action::from_code(code.try_into().ok()?))
        }
        (_, "outcome") if table == "audit_events" => {
            |value| is_code(value, |code| Outcome::from_code(code.try_into().ok()?))
        }
        (_, "active" | "lexical") => |value| is_number(value, |number| matches!(number, 0 | 1)),

        ("roles", "name") | ("user_roles", "role") => |value| is_text(value, parses::<RoleName>),
        ("secrets" | "secret_versions", "name") | ("leases", "secret") => |value| is_text(value, parses::<SecretName>),
        ("agents", "name") | (_, "agent") => |value| is_text(value, parses::<AgentName>),
        ("quotas", "name") => |value| is_text(value, parses::<QuotaName>),
        ("settings", "key") => |value| is_text(value, parses::<SettingKey>),
        ("receipts", "key") => |value| is_text(value, parses::<IdempotencyKey>),
        ("users", "owner") => |value| is_text(value, |text| Owner::from_key(text).is_ok()),
        ("members", "member") => |value| is_text(value, parses::<UserId>),
        ("members", "role") => |value| is_code(value, codes::space_role),
        (_, "tenant") => |value| is_text(value, parses::<TenantId>),
        (_, "tool") => |value| is_text(value, parses::<ToolName>),
        (_, "worker") => |value| is_text(value, parses::<WorkerName>),
        ("embedding_models", "id") | ("entry_versions", "model") => |value| is_text(value, parses::<EmbeddingModelId>),
        (_, "path") => |value| is_text(value, |text| WorkspacePath::try_from(text.to_owned()).is_ok()),

        ("roles", "permissions") | ("policies", "actions") => |value| is_json::<Vec<String>>(value),
        ("receipts", "numbers") => |value| is_json::<Vec<i64>>(value) || is_json::<Vec<u64>>(value),
        ("messages", "tool_calls") => |value| is_json::<Beside>(value),
        ("messages", "tool_result") => |value| is_json::<ToolResult>(value),
        ("job_events", "step") => |value| is_json::<JobStep>(value),
        ("sandbox_jobs", "usage") => |value| is_json::<SandboxUsage>(value),
        ("sandbox_jobs", "outcome") => |value| is_json::<ToolOutcome>(value),
        ("secrets", "bindings") => |value| is_json::<Vec<Binding>>(value),
        (_, "metadata" | "input" | "request" | "response" | "parameters" | "conditions" | "details")
        | ("settings", "value")
            if table != "root_key_wraps" && table != "data_keys" =>
        {
            |value| is_json::<Json>(value)
        }

        ("audit_events", "principals") => {
            |value| is_bytes(value, |bytes| codes::decoded(bytes, |code, _| PrincipalKind::from_code(code)).is_some())
        }
        ("audit_events", "subjects") => {
            |value| is_bytes(value, |bytes| codes::decoded(bytes, |code, _| SubjectKind::from_code(code)).is_some())
        }
        ("audit_private", "private") => {
            |value| is_bytes(value, |bytes| serde_json::from_slice::<AuditPrivate>(bytes).is_ok())
        }
        ("chunk_terms", "postings") => {
            |value| is_bytes(value, |bytes| postings::decode(bytes, |_| false, |_, _| ()).is_some())
        }
        ("memory_chunks", "embedding") => |value| is_bytes(value, |bytes| vector::from_stored(bytes).is_some()),

        ("embedding_models", "dimensions") => |value| is_number(value, |number| vector::dimensions(number).is_some()),
        // Other formats leave room for content that is sealed, which this version does not write.
        (_, "content_format") => |value| is_number(value, |number| number == 0),
        (_, "content_key") => |_| false,
        (_, "format") => |value| is_number(value, |number| u16::try_from(number).is_ok()),
        // Numbers that callers give span all 64 bits.
        ("quotas", "allowed" | "used")
        | ("llm_calls", "input_tokens" | "output_tokens" | "cost_micro_usd" | "latency_us")
        | ("tokens", "policy_epoch")
        | ("store_meta", "value")
        | ("chunk_vectors", "model_key" | "exponent" | "embedding")
        // The server computes it.
        | ("conversations" | "jobs", "updated_on") => |value| is_number(value, |_| true),
        ("message_terms" | "memory_chunks", "frequency" | "length")
        | (_, "root_key" | "number" | "current_version" | "last_number" | "uses_left" | "days") => {
            |value| is_number(value, |number| u32::try_from(number).is_ok())
        }
        (
            _,
            "owner_no" | "content_no" | "removal_no" | "last_event" | "position" | "rows" | "place" | "version_no"
            | "message_no" | "job_no" | "event_no" | "call_no" | "run_no" | "hold_no" | "erasure_no" | "part_no"
            | "chunk_no" | "sequence" | "version" | "messages" | "documents" | "total_length" | "generation" | "size"
            | "chunks" | "terms" | "start_byte" | "end_byte" | "part_start" | "seals" | "usage_count" | "policy_epoch"
            | "about" | "person" | "tree_index" | "deleted_rows" | "model_key" | "key",
        ) => |value| is_number(value, |number| number >= 0),
        (
            _,
            "created_at" | "updated_at" | "expires_at" | "revoked_at" | "decided_at" | "released_at" | "last_used_at"
            | "claimed_until" | "begun_at" | "valid_from" | "valid_until" | "at" | "time" | "conversations_since"
            | "jobs_since" | "files_since",
        ) => |value| is_number(value, |micros| damage::time(micros).is_some()),

        ("audit_events", "previous" | "hash" | "commitment")
        | ("audit_streams" | "tokens" | "api_keys", "hash")
        | ("audit_private" | "removals", "salt")
        | (_, "digest" | "root" | "name_hash" | "path_hash" | "content_hash") => {
            |value| is_bytes(value, |bytes| bytes.len() == 32)
        }
        (_, "id" | "stream" | "pseudonym" | "user" | "conversation" | "job" | "data_key") => {
            |value| is_bytes(value, |bytes| bytes.len() == 16)
        }
        (_, "bytes" | "salt" | "nonce" | "ciphertext" | "parameters") => |value| is_bytes(value, |_| true),
        (
            _,
            "title" | "content" | "path_start" | "term" | "kind" | "error" | "model" | "log" | "reason" | "name"
            | "note" | "source" | "provider" | "resource" | "label" | "action" | "capability",
        ) => |value| is_text(value, |_| true),
        _ => return None,
    })
}

fn is_number(value: &Value, test: impl FnOnce(i64) -> bool) -> bool {
    matches!(value, Value::Number(number) if test(*number))
}

fn is_code<T>(value: &Value, decode: impl FnOnce(i64) -> Option<T>) -> bool {
    is_number(value, |number| decode(number).is_some())
}

fn is_text(value: &Value, test: impl FnOnce(&str) -> bool) -> bool {
    matches!(value, Value::Text(text) if test(text))
}

fn parses<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

fn is_json<T: DeserializeOwned>(value: &Value) -> bool {
    is_text(value, |text| json::read::<T>(text).is_some())
}

fn is_bytes(value: &Value, test: impl FnOnce(&[u8]) -> bool) -> bool {
    matches!(value, Value::Bytes(bytes) if test(bytes))
}

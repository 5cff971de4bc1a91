//! What can be refused of a change without looking at the store.

use super::{AccessOp, Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, SettingOp, WorkspaceOp};
use crate::input::{InputError, Problem, check_size, check_text};
use crate::limits::Limits;
use crate::model::audit::AuditRecord;
use crate::model::content::ContentPart;
use crate::model::conversations::{NewMessage, Role};
use crate::model::jobs::{JobStep, ToolOutcome};
use crate::model::workspace::Part;

/// The longest short text of an operation (a job's kind, a label, an action), in bytes.
pub const SHORT_TEXT_BYTES: usize = 4_096;

impl Change {
    /// Refuses what no store accepts: oversized or malformed fields, U+0000 in text. Every store calls this before
    /// anything else.
    ///
    /// # Errors
    /// An [`InputError`] that names the field and the limit.
    pub fn validate(&self, limits: &Limits) -> Result<(), InputError> {
        check_size("operations", self.operations.len(), limits.operations, "items")?;
        // The operations first: what is wrong with a name is told of the name, not of its copy in the event.
        self.operations.iter().try_for_each(|operation| match operation {
            Operation::Conversations(op) => conversations(op, limits),
            Operation::Workspace(op) => workspace(op, limits),
            Operation::Jobs(op) => jobs(op, limits),
            Operation::Secrets(op) => secrets(op, limits),
            Operation::Access(op) => access(op, limits),
            Operation::Settings(op) => settings(op, limits),
            Operation::Privacy(PrivacyOp::Forget) => Ok(()),
        })?;
        check_size("audit events", self.reported().count(), limits.operations, "items")?;
        self.reported().try_for_each(|event| match event.action.is_reportable(event.outcome) {
            true => Ok(()),
            false => {
                let expected = "what the host alone knows of, or an operation that was denied or failed";
                Err(InputError::new("audit action", Problem::Malformed { expected }))
            }
        })?;
        self.events.iter().try_for_each(check_event)
    }
}

fn check_event(event: &AuditRecord) -> Result<(), InputError> {
    check_size("audit subjects", event.subjects.len(), AuditRecord::SUBJECTS, "items")?;
    check_size("audit details", event.details.len(), AuditRecord::DETAILS, "items")?;
    for (key, value) in &event.details {
        check_text("audit detail", key, SHORT_TEXT_BYTES)?;
        check_text("audit detail", value, 2 * SHORT_TEXT_BYTES)?;
    }
    let bytes = event.details.iter().map(|(key, value)| key.len() + value.len()).sum();
    check_size("audit details", bytes, AuditRecord::DETAIL_BYTES, "bytes")
}

fn conversations(op: &ConversationOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        ConversationOp::Create { title, .. } | ConversationOp::Rename { title, .. } => {
            check_text("title", title, limits.title_bytes)
        }
        ConversationOp::AppendMessage { message, .. } => check_message(message, limits),
        ConversationOp::Delete { .. } => Ok(()),
    }
}

fn check_message(message: &NewMessage, limits: &Limits) -> Result<(), InputError> {
    check_text("message", &message.content, limits.message_bytes)?;
    message.parts.iter().try_for_each(ContentPart::check)?;
    check_size("parts", message.parts.iter().map(ContentPart::bytes).sum(), limits.parts_bytes, "bytes")?;
    if !message.parts.is_empty() && message.role != Role::User {
        return Err(InputError::new("parts", Problem::Malformed { expected: "none but in a user's message" }));
    }
    for call in &message.tool_calls {
        check_text("tool call id", &call.id, SHORT_TEXT_BYTES)?;
        check_text("tool name", &call.name, SHORT_TEXT_BYTES)?;
        limits.check_json("tool arguments", &call.arguments)?;
    }
    if let Some(result) = &message.tool_result {
        check_text("tool call id", &result.call_id, SHORT_TEXT_BYTES)?;
    }
    check_metadata(&message.metadata, limits)
}

fn check_metadata(metadata: &serde_json::Value, limits: &Limits) -> Result<(), InputError> {
    if !metadata.is_object() && !metadata.is_null() {
        return Err(InputError::new("metadata", Problem::Malformed { expected: "an object or null" }));
    }
    limits.check_json("metadata", metadata)
}

fn workspace(op: &WorkspaceOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        WorkspaceOp::RegisterModel { model } => {
            if model.dimensions == 0 {
                return Err(InputError::new("dimensions", Problem::OutOfRange { expected: "at least 1" }));
            }
            check_size("dimensions", model.dimensions as usize, limits.dimensions, "dimensions")
        }
        WorkspaceOp::BeginVersion { version } => check_metadata(&version.metadata, limits),
        WorkspaceOp::PutParts { parts, .. } => parts.iter().try_for_each(|part| check_part(part, limits)),
        WorkspaceOp::Publish { size, .. } => match *size > limits.entry_bytes {
            true => Err(InputError::new(
                "size",
                Problem::TooLarge { limit: limits.entry_bytes, actual: *size, unit: "bytes" },
            )),
            false => Ok(()),
        },
        WorkspaceOp::Abandon { .. } | WorkspaceOp::DeleteEntry { .. } => Ok(()),
    }
}

/// A part's chunks must lie in it, at character boundaries of UTF-8 text.
fn check_part(part: &Part, limits: &Limits) -> Result<(), InputError> {
    let malformed = |expected| InputError::new("chunk", Problem::Malformed { expected });
    if part.bytes.is_empty() {
        return Err(InputError::new("part", Problem::Empty));
    }
    check_size("part", part.bytes.len(), limits.part_bytes, "bytes")?;
    let end = part.offset.saturating_add(part.bytes.len() as u64);
    if end > limits.entry_bytes {
        return Err(InputError::new(
            "part",
            Problem::TooLarge { limit: limits.entry_bytes, actual: end, unit: "bytes" },
        ));
    }
    for chunk in &part.chunks {
        part.chunk_text(chunk.start, chunk.end)
            .ok_or_else(|| malformed("a range of whole characters of UTF-8 text within its part, not empty"))?;
        if let Some(vector) = &chunk.embedding {
            check_size("embedding", vector.len(), limits.dimensions, "dimensions")?;
            if vector.iter().any(|x| !x.is_finite()) {
                return Err(InputError::new("embedding", Problem::OutOfRange { expected: "finite numbers" }));
            }
        }
    }
    Ok(())
}

fn jobs(op: &JobOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        JobOp::Create { job } => {
            if job.kind.is_empty() {
                return Err(InputError::new("job kind", Problem::Empty));
            }
            check_text("job kind", &job.kind, SHORT_TEXT_BYTES)?;
            limits.check_json("job input", &job.input)
        }
        JobOp::SetState { error, .. } => {
            check_text("job error", error.as_deref().unwrap_or_default(), limits.message_bytes)
        }
        JobOp::AppendEvent { step, .. } => check_step(step, limits),
        JobOp::RecordLlmCall { call } => {
            check_text("model", &call.model, SHORT_TEXT_BYTES)?;
            limits.check_record("request", &call.request)?;
            limits.check_record("response", call.response.as_ref().unwrap_or(&serde_json::Value::Null))?;
            check_text("error", call.error.as_deref().unwrap_or_default(), limits.message_bytes)
        }
        JobOp::RecordSandboxJob { run } => {
            limits.check_json("parameters", &run.parameters)?;
            check_outcome(&run.outcome, limits)?;
            check_text("log", &run.log, limits.json_bytes)
        }
        JobOp::Claim { .. } | JobOp::Delete { .. } => Ok(()),
    }
}

fn check_step(step: &JobStep, limits: &Limits) -> Result<(), InputError> {
    match step {
        JobStep::State { .. } => Ok(()),
        JobStep::Retrieved { degraded, .. } => {
            check_text("degraded", degraded.as_deref().unwrap_or_default(), limits.message_bytes)
        }
        JobStep::ToolCall { call_id, tool, arguments, outcome, .. } => {
            check_text("tool call id", call_id, SHORT_TEXT_BYTES)?;
            check_text("tool name", tool, SHORT_TEXT_BYTES)?;
            limits.check_json("tool arguments", arguments)?;
            check_outcome(outcome, limits)
        }
        JobStep::Note { text } => check_text("note", text, limits.message_bytes),
    }
}

fn check_outcome(outcome: &ToolOutcome, limits: &Limits) -> Result<(), InputError> {
    match outcome {
        ToolOutcome::Success(value) => limits.check_json("tool result", value),
        ToolOutcome::Failure { code, message } => {
            check_text("tool error", code, SHORT_TEXT_BYTES)?;
            check_text("tool error", message, limits.message_bytes)
        }
    }
}

fn secrets(op: &SecretOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        SecretOp::Put { secret } => {
            check_text("provider", secret.provider.as_deref().unwrap_or_default(), SHORT_TEXT_BYTES)?;
            for binding in &secret.bindings {
                check_text("binding", &binding.host, SHORT_TEXT_BYTES)?;
            }
            // Salt, tag and format come on top of the plaintext.
            check_size("sealed value", secret.sealed.ciphertext.len(), limits.secret_bytes + 1_024, "bytes")
        }
        SecretOp::PutDataKey { wrapped, .. } => {
            check_size("wrapped key", wrapped.ciphertext.len(), SHORT_TEXT_BYTES, "bytes")
        }
        SecretOp::Use { .. } | SecretOp::DestroyVersion { .. } | SecretOp::Delete { .. } => Ok(()),
    }
}

fn access(op: &AccessOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        AccessOp::PutPolicy { policy } => {
            check_text("resource", &policy.resource, SHORT_TEXT_BYTES)?;
            policy.actions.iter().try_for_each(|action| check_text("action", action, SHORT_TEXT_BYTES))?;
            limits.check_json("conditions", &policy.conditions)
        }
        AccessOp::MakeApiKey { key } => check_text("label", &key.label, SHORT_TEXT_BYTES),
        AccessOp::RequestApproval { approval } => {
            check_text("action", &approval.action, SHORT_TEXT_BYTES)?;
            limits.check_json("details", &approval.details)
        }
        AccessOp::GrantTool { grant } => {
            check_text("capability", &grant.capability, SHORT_TEXT_BYTES)?;
            limits.check_json("parameters", &grant.parameters)
        }
        _ => Ok(()),
    }
}

fn settings(op: &SettingOp, limits: &Limits) -> Result<(), InputError> {
    match op {
        SettingOp::Put { value, .. } => limits.check_json("value", value),
        SettingOp::Delete { .. } | SettingOp::ChargeQuota { .. } => Ok(()),
    }
}

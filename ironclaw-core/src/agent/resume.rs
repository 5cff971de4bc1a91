//! A question that was recorded already: answered from the record, or from where its last answer stopped.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::reply::{CalledTool, Citation, LeftOut, Reply, Timings};
use super::{AgentError, AgentErrorKind, Inner, JOB_KIND, answer};
use crate::change::{Change, JobOp, Operation, Precondition, Row};
use crate::id::{ConversationId, IdempotencyKey, JobId, MessageId};
use crate::input::InputError;
use crate::llm::{FinishReason, LlmOptions, TokenUsage};
use crate::model::conversations::{Message, Role};
use crate::model::jobs::{Job, JobFilter, JobState, JobStep};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::{StoreError, StoreErrorKind};

/// How many of the last messages are looked through before all of them are.
const RECENT: u32 = 200;

/// A question, what came after it, and the jobs that were to answer it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) question: Message,
    pub(super) after: Vec<Message>,
    /// Newest first.
    pub(super) jobs: Vec<Job>,
}

/// What an answer's message keeps of the reply, in its metadata, besides what the job has.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) citations: Vec<Citation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) degraded: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<LeftOut>,
}

impl Kept {
    /// As it is put into the metadata; `None` if there is nothing, or more than half of what metadata may hold.
    pub(super) fn to_value(&self, most_bytes: usize) -> Option<Value> {
        let value = serde_json::to_value(self).ok().filter(|_| *self != Self::default())?;
        (value.to_string().len() <= most_bytes / 2).then_some(value)
    }
}

/// The store's key for a message under the caller's: of this conversation, and of no other change's.
pub(super) fn key_of_message(conversation: ConversationId, key: &IdempotencyKey) -> Result<IdempotencyKey, InputError> {
    let mut hash = Sha256::new();
    hash.update(conversation.as_bytes());
    hash.update(key.as_str());
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    IdempotencyKey::parse(format!("agent-send-{hex}"))
}

/// The key under which the next answer is begun: of two that begin at once, one does.
pub(super) fn key_of_attempt(recorded: &Recorded) -> Result<IdempotencyKey, InputError> {
    let last = recorded.jobs.first().map_or_else(|| "first".to_owned(), |job| job.job.id.to_string());
    IdempotencyKey::parse(format!("agent-retry-{}-{last}", recorded.question.message.id))
}

impl Inner {
    /// The user's last message, or the one under this key, with all that was recorded of its answer.
    pub(super) async fn recorded(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Recorded>, StoreError> {
        let is_it = |message: &Message| {
            let named = || message.message.metadata.get("key").and_then(Value::as_str);
            message.message.role == Role::User && key.is_none_or(|key| named() == Some(key.as_str()))
        };
        let recent = self.store.conversations().recent_messages(scope, conversation, RECENT).await?;
        let is_all = recent.len() < RECENT as usize;
        let mut found = split(recent, is_it);
        if found.is_none() && !is_all {
            let mut page = PageRequest::default();
            loop {
                let messages = self.store.conversations().messages(scope, conversation, &page).await?;
                let (rest, next) = (messages.items, messages.next);
                match (rest.iter().rposition(is_it), &mut found) {
                    (None, Some((_, after))) => after.extend(rest),
                    (None, None) => {}
                    (Some(_), _) => found = split(rest, is_it),
                }
                match next {
                    Some(cursor) => page = page.after(cursor),
                    None => break,
                }
            }
        }
        let Some((question, after)) = found else { return Ok(None) };
        let jobs = self.jobs_of(scope, conversation, question.message.id).await?;
        Ok(Some(Recorded { question, after, jobs }))
    }

    async fn jobs_of(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        question: MessageId,
    ) -> Result<Vec<Job>, StoreError> {
        let filter = JobFilter { conversation: Some(conversation), ..JobFilter::default() };
        let (mut jobs, mut page) = (Vec::new(), PageRequest::default());
        let of = json!(question);
        loop {
            let found = self.store.jobs().jobs(scope, &filter, &page).await?;
            jobs.extend(
                found.items.into_iter().filter(|job| job.job.kind == JOB_KIND && job.job.input["message"] == of),
            );
            match found.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(jobs),
            }
        }
    }

    /// Whether somebody works on a job: its claim holds, or, if it is claimed under our own name, we do.
    pub(super) fn is_held(&self, job: &Job) -> bool {
        match &job.claim {
            Some(claim) if claim.worker == self.worker => self.live().contains(&job.job.id),
            Some(claim) => claim.until > self.clock.now(),
            None => false,
        }
    }

    /// Ends a job that nobody works on. False if somebody else did, or took it over, meanwhile.
    pub(super) async fn end_interrupted(&self, scope: &Scope, job: &Job) -> Result<bool, StoreError> {
        let id = job.job.id;
        let change = Change::new()
            .require(Precondition::RowVersion { row: Row::Job(id), version: job.version })
            .with(state_event(id, JobState::Failed))
            .with(JobOp::SetState { job: id, state: JobState::Failed, error: Some("interrupted".to_owned()) });
        match self.store.apply(scope, change).await {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                StoreErrorKind::Conflict | StoreErrorKind::PreconditionFailed | StoreErrorKind::NotFound => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// The reply as it was given, if one of the jobs ended with one. Its timings are not recorded.
    pub(super) async fn replay(&self, scope: &Scope, recorded: &Recorded) -> Result<Option<Reply>, AgentError> {
        let failed = |error| AgentError::store("send", error);
        let Some(job) = recorded.jobs.iter().find(|job| job.state == JobState::Succeeded) else { return Ok(None) };
        let id = job.job.id;
        let is_of = |message: &&Message| message.message.metadata.get("job") == Some(&json!(id));
        let said = recorded.after.iter().filter(is_of).rfind(|message| message.message.role == Role::Assistant);
        let Some(said) = said else { return Ok(None) };
        let metadata = &said.message.metadata;
        let word = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kept: Kept = serde_json::from_value(metadata["reply"].clone()).unwrap_or_default();
        let (mut tool_calls, mut usage) = (Vec::new(), TokenUsage::default());
        let mut page = PageRequest::default();
        loop {
            let steps = self.store.jobs().job_events(scope, id, &page).await.map_err(failed)?;
            tool_calls.extend(steps.items.into_iter().filter_map(|event| match event.step {
                JobStep::ToolCall { call_id, tool, arguments, outcome, .. } => {
                    Some(CalledTool { call_id, name: tool, arguments, outcome })
                }
                _ => None,
            }));
            match steps.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        let mut page = PageRequest::default();
        loop {
            let calls = self.store.jobs().llm_calls(scope, id, &page).await.map_err(failed)?;
            calls.items.iter().for_each(|call| answer::add(&mut usage, call.usage));
            match calls.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        Ok(Some(Reply {
            conversation: said.conversation,
            message: said.message.id,
            text: said.message.content.clone(),
            citations: kept.citations,
            degraded: kept.degraded,
            left_out: kept.left_out,
            tool_calls,
            model: word("model"),
            finish: FinishReason::from(word("finish")),
            job: id,
            usage,
            timings: Timings::default(),
        }))
    }
}

impl Recorded {
    /// The options that the question was asked with.
    pub(super) fn options(&self) -> Option<LlmOptions> {
        let asked = self.jobs.iter().find_map(|job| job.job.input.get("options"))?;
        serde_json::from_value(asked.clone()).ok()
    }

    /// What models and tools said in the answers that were begun: it is not said, and not done, again.
    pub(super) fn said(&self) -> Vec<Message> {
        let ids: Vec<Value> = self.jobs.iter().map(|job| json!(job.job.id)).collect();
        let is_of = |message: &&Message| message.message.metadata.get("job").is_some_and(|job| ids.contains(job));
        self.after.iter().filter(is_of).cloned().collect()
    }
}

/// The last message that is it, and those after it.
fn split(mut messages: Vec<Message>, is_it: impl Fn(&Message) -> bool) -> Option<(Message, Vec<Message>)> {
    let at = messages.iter().rposition(is_it)?;
    let after = messages.split_off(at + 1);
    Some((messages.pop()?, after))
}

/// The step that says that a job changed its state.
pub(super) fn state_event(job: JobId, state: JobState) -> Operation {
    JobOp::AppendEvent { job, step: JobStep::State { state } }.into()
}

/// The answer to this message is being made.
pub(super) fn busy() -> AgentError {
    AgentError::new(AgentErrorKind::Busy, "send", "the message is being answered; ask again when that has ended")
}

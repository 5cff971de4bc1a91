//! A question that was recorded already: answered from the record, or from where its last answer stopped.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::reply::{CalledTool, Citation, LeftOut, Reply, Timings};
use super::{AgentError, AgentErrorKind, Inner, JOB_KIND, answer, ids};
use crate::change::{Change, JobOp, Operation, Precondition, Row};
use crate::id::{ConversationId, IdempotencyKey, JobId, MessageId};
use crate::input::InputError;
use crate::llm::{FinishReason, LlmOptions, TokenUsage};
use crate::model::conversations::{Message, Role};
use crate::model::jobs::{Job, JobFilter, JobState, JobStep};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::{Backwards, StoreError, StoreErrorKind};

/// How many messages are looked through at once.
const RECENT: u32 = 200;

/// A question, what came after it, and the jobs that were to answer it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) question: Message,
    pub(super) after: Vec<Message>,
    /// By attempt.
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

/// The store's key for a message under the caller's: of this conversation and this user, and of no other change's. The message
/// keeps it.
pub(super) fn key_of_message(
    scope: &Scope,
    conversation: ConversationId,
    key: &IdempotencyKey,
) -> Result<IdempotencyKey, InputError> {
    let mut hash = Sha256::new();
    hash.update(conversation.as_bytes());
    hash.update((scope.person().as_str().len() as u64).to_be_bytes());
    hash.update(scope.person().as_str());
    hash.update(key.as_str());
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    IdempotencyKey::parse(format!("agent-send-{hex}"))
}

impl Inner {
    /// The last message that is it, and those after it, without images and documents: an answer has none.
    pub(super) async fn find(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        is_it: impl Fn(&Message) -> bool + Send,
    ) -> Result<Option<(Message, Vec<Message>)>, StoreError> {
        let read = self.store.conversations();
        let (mut before, mut after) = (None, Vec::new());
        loop {
            let page = Backwards::new(RECENT).before(before).without_parts(true).newest(true);
            let mut page = read.messages_backwards(scope, conversation, &page).await?;
            let found = page.iter().rposition(&is_it);
            let newer = page.split_off(found.map_or(0, |at| at + 1));
            before = page.last().or(newer.first()).map(|message| message.sequence);
            let is_last = page.len() + newer.len() < RECENT as usize;
            after.splice(0..0, newer);
            if found.is_some() {
                let whole = Backwards::new(1).before(before.map(|place| place + 1)).newest(true);
                let question = read.messages_backwards(scope, conversation, &whole).await?.pop();
                // A standby that is further behind has an earlier one.
                return Ok(question.filter(is_it).map(|question| (question, after)));
            }
            if is_last {
                return Ok(None);
            }
        }
    }

    /// The jobs of answers in a conversation.
    pub(super) async fn answering(&self, scope: &Scope, conversation: ConversationId) -> Result<Vec<Job>, StoreError> {
        let filter = JobFilter { conversation: Some(conversation), ..JobFilter::default() };
        let (mut jobs, mut page) = (Vec::new(), PageRequest::default());
        loop {
            let found = self.store.jobs().jobs(scope, &filter, &page).await?;
            // Others' may say what they like; ours have an id that follows from what they say.
            let is_ours = |job: &Job| {
                job.job.kind == JOB_KIND
                    && question_of(job).is_some_and(|question| job.job.id == ids::of_attempt(question, attempt(job)))
            };
            jobs.extend(found.items.into_iter().filter(is_ours));
            match found.next {
                Some(cursor) => page = page.after(cursor),
                None => return Ok(jobs),
            }
        }
    }

    /// Whether somebody works on a job: its claim holds, or, if it is claimed under our own name, we do.
    pub(super) fn is_held(&self, job: &Job) -> bool {
        match &job.claim {
            Some(claim) if claim.worker == self.worker => self.live().contains_key(&job.job.id),
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

    /// The reply as it was given, if there is one. Its timings are not recorded, and what it took only as long as its job is.
    pub(super) async fn replay(&self, scope: &Scope, recorded: &Recorded) -> Result<Option<Reply>, AgentError> {
        let Some(said) = recorded.answer() else { return Ok(None) };
        let Some(id) = said.message.metadata.get("job").and_then(|job| JobId::deserialize(job).ok()) else {
            return Ok(None);
        };
        let metadata = &said.message.metadata;
        let word = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kept: Kept = serde_json::from_value(metadata["reply"].clone()).unwrap_or_default();
        let (tool_calls, usage) = self.taken(scope, recorded).await?;
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

    /// The calls of tools and the tokens of all attempts, as far as they are still recorded.
    pub(super) async fn taken(
        &self,
        scope: &Scope,
        recorded: &Recorded,
    ) -> Result<(Vec<CalledTool>, TokenUsage), AgentError> {
        let failed = |error| AgentError::store("send", error);
        let (mut called, mut usage) = (Vec::new(), TokenUsage::default());
        for job in &recorded.jobs {
            let id = job.job.id;
            let mut page = PageRequest::default();
            loop {
                let steps = self.store.jobs().job_events(scope, id, &page).await.map_err(failed)?;
                called.extend(steps.items.into_iter().filter_map(|event| match event.step {
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
        }
        Ok((called, usage))
    }
}

/// The question that a job is to answer.
pub(super) fn question_of(job: &Job) -> Option<MessageId> {
    MessageId::deserialize(job.job.input.get("message")?).ok()
}

impl Recorded {
    /// The message that answers the question.
    fn answer(&self) -> Option<&Message> {
        let id = ids::of_answer(self.question.message.id);
        let question = json!(self.question.message.id);
        let is_it =
            |message: &&Message| message.message.id == id && message.message.metadata.get("answers") == Some(&question);
        self.after.iter().find(is_it)
    }

    /// Whether the host said something itself after the question.
    pub(super) fn is_hosts(&self) -> bool {
        let is_answer =
            |message: &Message| message.message.role == Role::Assistant && message.message.tool_calls.is_empty();
        self.after.iter().any(|message| is_answer(message) && message.message.metadata.get("job").is_none())
    }

    /// The number of the attempt after all that are known.
    pub(super) fn next_attempt(&self) -> u64 {
        self.jobs.last().map_or(0, |job| attempt(job).saturating_add(1))
    }

    /// The options that the question was asked with last.
    pub(super) fn options(&self) -> Option<LlmOptions> {
        let last = self.jobs.last()?;
        LlmOptions::deserialize(last.job.input.get("options")?).ok()
    }

    /// What models and tools said in the answers that were begun: it is not said, and not done, again.
    pub(super) fn said(&self) -> Vec<Message> {
        let question = json!(self.question.message.id);
        let is_of = |message: &&Message| message.message.metadata.get("answers") == Some(&question);
        self.after.iter().filter(is_of).cloned().collect()
    }
}

/// Which attempt to answer its question a job is, from 0.
pub(super) fn attempt(job: &Job) -> u64 {
    job.job.input.get("attempt").and_then(Value::as_u64).unwrap_or_default()
}

/// The step that says that a job changed its state.
pub(super) fn state_event(job: JobId, state: JobState) -> Operation {
    JobOp::AppendEvent { job, step: JobStep::State { state } }.into()
}

/// The answer to this message is being made.
pub(super) fn busy() -> AgentError {
    AgentError::new(AgentErrorKind::Busy, "send", "the message is being answered; ask again when that has ended")
}

/// What was written is not to be read yet.
pub(super) fn unseen() -> AgentError {
    let context = "what was recorded last is not to be seen yet, as on a standby that is behind, or is gone; ask again";
    AgentError::new(AgentErrorKind::Busy, "send", context)
}

//! Jobs and what was recorded of them, from rows.

use ironclaw_core::id::{ConversationId, JobId, LlmCallId, SandboxJobId};
use ironclaw_core::llm::TokenUsage;
use ironclaw_core::model::jobs::{Claim, Job, JobEvent, LlmCall, NewJob, SandboxJob};
use ironclaw_core::store::StoreError;

use crate::codes;
use crate::sql::Row;

/// The columns that [`job`] reads.
macro_rules! job_columns {
    () => {
        "id, kind, conversation, agent, state, worker, claimed_until, error, created_at, updated_at, version, input"
    };
}

pub(super) use job_columns;

pub(super) fn job(row: &dyn Row) -> Result<Job, StoreError> {
    let worker = row.optional(5, <dyn Row>::parsed)?;
    let until = row.optional(6, Row::time)?;
    Ok(Job::new(
        NewJob::new(JobId::from_bytes(row.id(0)?), row.text(1)?)
            .conversation(row.optional(2, Row::id)?.map(ConversationId::from_bytes))
            .agent(row.optional(3, <dyn Row>::parsed)?)
            .input(row.json(11)?),
        row.time(8)?,
    )
    .state(row.code(4, codes::job_state)?)
    .claim(worker.zip(until).map(|(worker, until)| Claim::new(worker, until)))
    .error(row.optional(7, Row::text)?)
    .updated_at(row.time(9)?)
    .version(row.count(10)?))
}

pub(super) fn event(row: &dyn Row) -> Result<JobEvent, StoreError> {
    Ok(JobEvent::new(JobId::from_bytes(row.id(0)?), row.count(1)?, row.time(2)?, row.json(3)?))
}

pub(super) fn llm_call(row: &dyn Row) -> Result<LlmCall, StoreError> {
    Ok(LlmCall::new(
        LlmCallId::from_bytes(row.id(0)?),
        JobId::from_bytes(row.id(1)?),
        row.text(2)?,
        row.json(9)?,
        row.time(8)?,
    )
    .error(row.optional(3, Row::text)?)
    .usage(
        TokenUsage::default()
            .input(row.optional(4, <dyn Row>::u64)?)
            .output(row.optional(5, <dyn Row>::u64)?)
            .cost_micro_usd(row.optional(6, <dyn Row>::u64)?),
    )
    .latency_us(row.u64(7)?)
    .response(row.optional(10, <dyn Row>::json)?))
}

pub(super) fn sandbox_job(row: &dyn Row) -> Result<SandboxJob, StoreError> {
    Ok(SandboxJob::new(
        SandboxJobId::from_bytes(row.id(0)?),
        JobId::from_bytes(row.id(1)?),
        row.parsed(2)?,
        row.json(6)?,
        row.json(5)?,
        row.time(4)?,
    )
    .usage(row.optional(3, <dyn Row>::json)?)
    .log(row.text(7)?))
}

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
    Ok(Job {
        job: NewJob {
            id: JobId::from_bytes(row.id(0)?),
            kind: row.text(1)?,
            conversation: row.optional(2, Row::id)?.map(ConversationId::from_bytes),
            agent: row.optional(3, <dyn Row>::parsed)?,
            input: row.json(11)?,
        },
        state: row.code(4, codes::job_state)?,
        claim: worker.zip(until).map(|(worker, until)| Claim { worker, until }),
        error: row.optional(7, Row::text)?,
        created_at: row.time(8)?,
        updated_at: row.time(9)?,
        version: row.count(10)?,
    })
}

pub(super) fn event(row: &dyn Row) -> Result<JobEvent, StoreError> {
    Ok(JobEvent {
        job: JobId::from_bytes(row.id(0)?),
        sequence: row.count(1)?,
        created_at: row.time(2)?,
        step: row.json(3)?,
    })
}

pub(super) fn llm_call(row: &dyn Row) -> Result<LlmCall, StoreError> {
    Ok(LlmCall {
        id: LlmCallId::from_bytes(row.id(0)?),
        job: JobId::from_bytes(row.id(1)?),
        model: row.text(2)?,
        error: row.optional(3, Row::text)?,
        usage: TokenUsage {
            input: row.optional(4, <dyn Row>::u64)?,
            output: row.optional(5, <dyn Row>::u64)?,
            cost_micro_usd: row.optional(6, <dyn Row>::u64)?,
        },
        latency_us: row.u64(7)?,
        created_at: row.time(8)?,
        request: row.json(9)?,
        response: row.optional(10, <dyn Row>::json)?,
    })
}

pub(super) fn sandbox_job(row: &dyn Row) -> Result<SandboxJob, StoreError> {
    Ok(SandboxJob {
        id: SandboxJobId::from_bytes(row.id(0)?),
        job: JobId::from_bytes(row.id(1)?),
        tool: row.parsed(2)?,
        usage: row.optional(3, <dyn Row>::json)?,
        created_at: row.time(4)?,
        outcome: row.json(5)?,
        parameters: row.json(6)?,
        log: row.text(7)?,
    })
}

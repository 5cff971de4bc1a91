//! Rows of jobs and of what was recorded of them, decoded.

use ironclaw_core::id::{ConversationId, JobId, LlmCallId, SandboxJobId};
use ironclaw_core::llm::TokenUsage;
use ironclaw_core::model::jobs::{Claim, Job, JobEvent, LlmCall, NewJob, SandboxJob};
use ironclaw_core::store::StoreError;

use crate::postgres::entity::jobs;
use crate::postgres::row::Row;
use crate::postgres::tx::Tx;
use crate::{codes, json};

pub(super) fn job(tx: &Tx, row: jobs::Model) -> Result<Job, StoreError> {
    let worker = row.worker.map(|worker| worker.parse().map_err(|_| tx.corrupt("jobs.worker"))).transpose()?;
    Ok(Job {
        job: NewJob {
            id: JobId::from_bytes(row.id.into_bytes()),
            kind: row.kind,
            conversation: row.conversation.map(|id| ConversationId::from_bytes(id.into_bytes())),
            agent: row.agent.map(|agent| agent.parse().map_err(|_| tx.corrupt("jobs.agent"))).transpose()?,
            input: json::read(&row.input).ok_or_else(|| tx.corrupt("jobs.input"))?,
        },
        state: codes::job_state(row.state.into()).ok_or_else(|| tx.corrupt("jobs.state"))?,
        claim: worker.zip(row.claimed_until).map(|(worker, until)| Claim { worker, until: until.0 }),
        error: row.error,
        created_at: row.created_at.0,
        updated_at: row.updated_at.0,
        version: row.version.cast_unsigned(),
    })
}

pub(super) fn event(row: &Row<'_>) -> Result<JobEvent, StoreError> {
    Ok(JobEvent {
        job: JobId::from_bytes(row.id(0)?),
        sequence: row.count(1)?,
        created_at: row.time(2)?,
        step: row.json(3)?,
    })
}

pub(super) fn llm_call(row: &Row<'_>) -> Result<LlmCall, StoreError> {
    Ok(LlmCall {
        id: LlmCallId::from_bytes(row.id(0)?),
        job: JobId::from_bytes(row.id(1)?),
        model: row.text(2)?,
        error: row.optional(3, Row::text)?,
        usage: TokenUsage {
            input: row.optional(4, Row::u64)?,
            output: row.optional(5, Row::u64)?,
            cost_micro_usd: row.optional(6, Row::u64)?,
        },
        latency_us: row.u64(7)?,
        created_at: row.time(8)?,
        request: row.json(9)?,
        response: row.optional(10, Row::json)?,
    })
}

pub(super) fn sandbox_job(row: &Row<'_>) -> Result<SandboxJob, StoreError> {
    Ok(SandboxJob {
        id: SandboxJobId::from_bytes(row.id(0)?),
        job: JobId::from_bytes(row.id(1)?),
        tool: row.parsed(2)?,
        usage: row.optional(3, Row::json)?,
        created_at: row.time(4)?,
        outcome: row.json(5)?,
        parameters: row.json(6)?,
        log: row.text(7)?,
    })
}

//! Jobs and what was recorded of them.

use ironclaw_core::Timestamp;
use ironclaw_core::change::JobOp;
use ironclaw_core::id::{JobId, WorkerName};
use ironclaw_core::model::jobs::{JobState, JobStep, LlmCall, NewJob, SandboxJob};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use serde::Serialize;

use crate::codes;
use crate::sql::{Id, Json, Owned, Row, Transaction, owned, params};

mod codec;
mod read;

/// What goes with a user.
pub(crate) const OWNED: [Owned; 4] = [
    owned!("job_events", "event_no", bytes of "step"),
    owned!("llm_calls", "call_no", bytes of "request", "response"),
    owned!("sandbox_jobs", "run_no", bytes of "outcome", "parameters", "log"),
    owned!("jobs", "job_no", bytes of "input"),
];

/// Applies one operation; the number is the operation's in the receipt.
pub(crate) async fn apply(tx: &dyn Transaction, op: &JobOp) -> Result<u64, StoreError> {
    match op {
        JobOp::Create { job } => create(tx, job).await,
        JobOp::Claim { job, worker, until } => claim(tx, *job, worker, *until).await,
        JobOp::SetState { job, state, error } => set_state(tx, *job, *state, error.as_deref()).await,
        JobOp::AppendEvent { job, step } => append_event(tx, *job, step).await,
        JobOp::RecordLlmCall { call } => record_llm_call(tx, call).await,
        JobOp::RecordSandboxJob { run } => record_sandbox_job(tx, run).await,
        JobOp::Delete { job } => {
            tx.check_not_held().await?;
            tx.delete_job(*job).await
        }
    }
}

/// The version of a job's row; 0 if there is none.
pub(crate) async fn row_version(tx: &dyn Transaction, id: JobId) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id = ?2";
    Ok(tx.number(sql, params![tx.content_no(), Id(id.as_bytes())]).await?.cast_unsigned())
}

async fn create(tx: &dyn Transaction, job: &NewJob) -> Result<u64, StoreError> {
    let made = tx
        .execute(
            "INSERT INTO ironclaw.jobs (owner_no, id, conversation, kind, agent, state, version, created_at, \
             updated_at, input) SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8 WHERE ?3 IS NULL OR EXISTS (SELECT 1 \
             FROM ironclaw.visible_conversations WHERE owner_no = ?1 AND id = ?3)",
            params![
                tx.content_no(),
                Id(job.id.as_bytes()),
                job.conversation.as_ref().map(|id| Id(id.as_bytes())),
                job.kind.as_str(),
                job.agent.as_ref().map(|agent| agent.as_str()),
                codes::job_state_code(JobState::Queued),
                tx.now(),
                Json::of(&job.input),
            ],
        )
        .await?;
    match made {
        0 => Err(tx.not_found("the conversation")),
        _ => Ok(1),
    }
}

/// Where a job stands: its state, and who holds it until when.
async fn standing(
    tx: &dyn Transaction,
    job: JobId,
) -> Result<(JobState, Option<String>, Option<Timestamp>), StoreError> {
    let found = tx
        .query_row(
            "SELECT id, state, worker, claimed_until FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id = ?2",
            params![tx.content_no(), Id(job.as_bytes())],
            |row| Ok((row.code(1, codes::job_state)?, row.optional(2, Row::text)?, row.optional(3, Row::time)?)),
        )
        .await?;
    found.ok_or_else(|| tx.not_found("the job"))
}

async fn claim(tx: &dyn Transaction, job: JobId, worker: &WorkerName, until: Timestamp) -> Result<u64, StoreError> {
    let (state, holder, held_until) = standing(tx, job).await?;
    if state.is_ended() {
        return Err(tx.conflict("the job has ended"));
    }
    let is_held = held_until.is_some_and(|until| until > tx.now());
    if is_held && holder.as_deref() != Some(worker.as_str()) {
        return Err(tx.conflict("another worker holds the job"));
    }
    let version = tx
        .query_row(
            "UPDATE ironclaw.jobs SET state = ?3, worker = ?4, claimed_until = ?5, version = version + 1, updated_at \
             = ?6 WHERE owner_no = ?1 AND id = ?2 RETURNING version",
            params![
                tx.content_no(),
                Id(job.as_bytes()),
                codes::job_state_code(JobState::Running),
                worker.as_str(),
                until,
                tx.now(),
            ],
            |row| row.count(0),
        )
        .await?;
    version.ok_or_else(|| tx.not_found("the job"))
}

async fn set_state(tx: &dyn Transaction, job: JobId, state: JobState, error: Option<&str>) -> Result<u64, StoreError> {
    if standing(tx, job).await?.0.is_ended() {
        return Err(tx.conflict("the job has ended"));
    }
    // Only a job that runs is held by someone.
    let version = tx
        .query_row(
            "UPDATE ironclaw.jobs SET state = ?3, error = ?4, version = version + 1, updated_at = ?5, worker = CASE \
             WHEN ?6 THEN worker END, claimed_until = CASE WHEN ?6 THEN claimed_until END WHERE owner_no = ?1 \
             AND id = ?2 RETURNING version",
            params![
                tx.content_no(),
                Id(job.as_bytes()),
                codes::job_state_code(state),
                error,
                tx.now(),
                state == JobState::Running,
            ],
            |row| row.count(0),
        )
        .await?;
    version.ok_or_else(|| tx.not_found("the job"))
}

async fn append_event(tx: &dyn Transaction, job: JobId, step: &JobStep) -> Result<u64, StoreError> {
    let sequence = tx
        .query_row(
            "INSERT INTO ironclaw.job_events (owner_no, job, sequence, created_at, step) \
             SELECT ?1, ?2, coalesce((SELECT sequence FROM ironclaw.job_events WHERE owner_no = ?1 AND job = ?2 \
             ORDER BY sequence DESC LIMIT 1), 0) + 1, ?3, ?4 FROM ironclaw.visible_jobs WHERE owner_no = ?1 \
             AND id = ?2 RETURNING sequence",
            params![tx.content_no(), Id(job.as_bytes()), tx.now(), json(tx, step)?],
            |row| row.count(0),
        )
        .await?;
    sequence.ok_or_else(|| tx.not_found("the job"))
}

async fn record_llm_call(tx: &dyn Transaction, call: &LlmCall) -> Result<u64, StoreError> {
    let recorded = tx
        .execute(
            "INSERT INTO ironclaw.llm_calls (owner_no, job, id, model, error, input_tokens, output_tokens, \
             cost_micro_usd, latency_us, created_at, request, response) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 FROM ironclaw.visible_jobs WHERE owner_no = ?1 \
             AND id = ?2",
            params![
                tx.content_no(),
                Id(call.job.as_bytes()),
                Id(call.id.as_bytes()),
                call.model.as_str(),
                call.error.as_deref(),
                call.usage.input,
                call.usage.output,
                call.usage.cost_micro_usd,
                call.latency_us,
                call.created_at,
                Json::of(&call.request),
                call.response.as_ref().map(Json::of),
            ],
        )
        .await?;
    check_job(tx, recorded)
}

async fn record_sandbox_job(tx: &dyn Transaction, run: &SandboxJob) -> Result<u64, StoreError> {
    let usage = run.usage.as_ref().map(|usage| json(tx, usage)).transpose()?;
    let recorded = tx
        .execute(
            "INSERT INTO ironclaw.sandbox_jobs (owner_no, job, id, tool, usage, created_at, outcome, parameters, log) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id = ?2",
            params![
                tx.content_no(),
                Id(run.job.as_bytes()),
                Id(run.id.as_bytes()),
                run.tool.as_str(),
                usage,
                run.created_at,
                json(tx, &run.outcome)?,
                Json::of(&run.parameters),
                run.log.as_str(),
            ],
        )
        .await?;
    check_job(tx, recorded)
}

/// Nothing was recorded if the job is not there.
fn check_job(tx: &dyn Transaction, recorded: u64) -> Result<u64, StoreError> {
    match recorded {
        0 => Err(tx.not_found("the job")),
        _ => Ok(0),
    }
}

fn json<T: Serialize>(tx: &dyn Transaction, value: &T) -> Result<Json, StoreError> {
    serde_json::to_string(value)
        .map(Json)
        .map_err(|e| tx.error(StoreErrorKind::Internal, "a value could not be serialised").with_source(e))
}

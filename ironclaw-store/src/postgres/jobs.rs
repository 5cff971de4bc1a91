//! Jobs and what was recorded of them.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::change::JobOp;
use ironclaw_core::id::{ConversationId, JobId, WorkerName};
use ironclaw_core::model::jobs::{Job, JobEvent, JobFilter, JobState, JobStep, LlmCall, NewJob, SandboxJob};
use ironclaw_core::store::{Jobs, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;

use super::PostgresStore;
use super::entity::jobs;
use super::row::{Row, params, uuid};
use super::tx::Tx;
use crate::codes;
use crate::cursor;

mod rows;

/// Applies one operation; the number is the operation's in the receipt.
pub(super) async fn apply(tx: &Tx, op: &JobOp) -> Result<u64, StoreError> {
    match op {
        JobOp::Create { job } => create(tx, job).await,
        JobOp::Claim { job, worker, until } => claim(tx, *job, worker, *until).await,
        JobOp::SetState { job, state, error } => set_state(tx, *job, *state, error.as_deref()).await,
        JobOp::AppendEvent { job, step } => append_event(tx, *job, step).await,
        JobOp::RecordLlmCall { call } => record_llm_call(tx, call).await,
        JobOp::RecordSandboxJob { run } => record_sandbox_job(tx, run).await,
        JobOp::Delete { job } => {
            tx.check_not_held()?;
            delete(tx, tx.owner_no(), *job).await
        }
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a job's row; 0 if there is none.
pub(super) async fn row_version(tx: &Tx, id: JobId) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM ironclaw.jobs WHERE owner_no = $1 AND id = $2";
    Ok(tx.number(sql, params![tx.owner_no(), uuid(id.as_bytes())]).await?.cast_unsigned())
}

/// Deletes a job with all in it. 1 if it was there, otherwise 0.
pub(super) async fn delete(tx: &Tx, owner_no: i64, id: JobId) -> Result<u64, StoreError> {
    let id = uuid(id.as_bytes());
    for sql in [
        "DELETE FROM ironclaw.job_events WHERE owner_no = $1 AND job = $2",
        "DELETE FROM ironclaw.llm_calls WHERE owner_no = $1 AND job = $2",
        "DELETE FROM ironclaw.sandbox_jobs WHERE owner_no = $1 AND job = $2",
    ] {
        tx.execute(sql, params![owner_no, id]).await?;
    }
    let deleted = jobs::Entity::delete_by_id((owner_no, id)).exec(tx).await;
    Ok(deleted.map_err(|error| tx.orm(error))?.rows_affected)
}

/// Deletes the jobs of a conversation.
pub(super) async fn delete_of_conversation(
    tx: &Tx,
    owner_no: i64,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    let conversation = uuid(conversation.as_bytes());
    for sql in [
        "DELETE FROM ironclaw.job_events e USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND e.owner_no = $1 AND e.job = j.id",
        "DELETE FROM ironclaw.llm_calls c USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND c.owner_no = $1 AND c.job = j.id",
        "DELETE FROM ironclaw.sandbox_jobs s USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND s.owner_no = $1 AND s.job = j.id",
        "DELETE FROM ironclaw.jobs WHERE owner_no = $1 AND conversation = $2",
    ] {
        tx.execute(sql, params![owner_no, conversation]).await?;
    }
    Ok(())
}

/// Deletes everything of a user. How many rows.
pub(super) async fn erase(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for sql in [
        "DELETE FROM ironclaw.job_events WHERE owner_no = $1",
        "DELETE FROM ironclaw.llm_calls WHERE owner_no = $1",
        "DELETE FROM ironclaw.sandbox_jobs WHERE owner_no = $1",
        "DELETE FROM ironclaw.jobs WHERE owner_no = $1",
    ] {
        rows += tx.execute(sql, params![owner_no]).await?;
    }
    Ok(rows)
}

#[async_trait]
impl Jobs for PostgresStore {
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read("job", scope, id, |tx, id| {
            async move {
                let found = jobs::Entity::find_by_id((tx.owner_no(), uuid(id.as_bytes()))).one(tx).await;
                found.map_err(|error| tx.orm(error))?.map(|row| rows::job(tx, row)).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("jobs", page)?;
        self.read("jobs", scope, (filter.clone(), before, page.clone()), |tx, (filter, before, page)| {
            async move {
                let mut query = jobs::Entity::find().filter(jobs::Column::OwnerNo.eq(tx.owner_no()));
                if let Some(state) = filter.state {
                    query = query.filter(jobs::Column::State.eq(codes::job_state_code(state)));
                }
                if let Some(conversation) = filter.conversation {
                    query = query.filter(jobs::Column::Conversation.eq(uuid(conversation.as_bytes())));
                }
                if let Some(before) = before {
                    query = query.filter(jobs::Column::Id.lt(uuid(&before)));
                }
                let found = query
                    .order_by_desc(jobs::Column::Id)
                    .limit(cursor::rows(&page).cast_unsigned())
                    .all(tx)
                    .await
                    .map_err(|error| tx.orm(error))?;
                let items = found.into_iter().map(|row| rows::job(tx, row)).collect::<Result<_, _>>()?;
                Ok(cursor::page(&page, items, |job: &Job| *job.job.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }

    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError> {
        let after: Option<u64> = cursor::after("job_events", page)?;
        self.read("job_events", scope, (job, after, page.clone()), |tx, (job, after, page)| {
            async move {
                let items = tx
                    .query(
                        "SELECT job, sequence, created_at, step FROM ironclaw.job_events \
                         WHERE owner_no = $1 AND job = $2 AND sequence > $3 ORDER BY sequence LIMIT $4",
                        params![tx.owner_no(), uuid(job.as_bytes()), after.unwrap_or(0), cursor::rows(&page)],
                        rows::event,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |event| event.sequence))
            }
            .boxed()
        })
        .await
    }

    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("llm_calls", page)?;
        self.read("llm_calls", scope, (job, after, page.clone()), |tx, (job, after, page)| {
            async move {
                let items = tx
                    .query(
                        "SELECT id, job, model, error, input_tokens, output_tokens, cost_micro_usd, latency_us, \
                         created_at, request, response FROM ironclaw.llm_calls WHERE owner_no = $1 AND job = $2 \
                         AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4",
                        params![tx.owner_no(), uuid(job.as_bytes()), after.as_ref().map(uuid), cursor::rows(&page)],
                        rows::llm_call,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |call| *call.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }

    async fn sandbox_jobs(
        &self,
        scope: &Scope,
        job: JobId,
        page: &PageRequest,
    ) -> Result<Page<SandboxJob>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("sandbox_jobs", page)?;
        self.read("sandbox_jobs", scope, (job, after, page.clone()), |tx, (job, after, page)| {
            async move {
                let items = tx
                    .query(
                        "SELECT id, job, tool, usage, created_at, outcome, parameters, log FROM ironclaw.sandbox_jobs \
                         WHERE owner_no = $1 AND job = $2 AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4",
                        params![tx.owner_no(), uuid(job.as_bytes()), after.as_ref().map(uuid), cursor::rows(&page)],
                        rows::sandbox_job,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |run| *run.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }
}

async fn create(tx: &Tx, job: &NewJob) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.jobs (owner_no, id, conversation, kind, agent, state, version, created_at, updated_at, \
         input) VALUES ($1, $2, $3, $4, $5, $6::bigint::smallint, 1, $7, $7, $8::json)",
        params![
            tx.owner_no(),
            uuid(job.id.as_bytes()),
            job.conversation.as_ref().map(|id| uuid(id.as_bytes())),
            job.kind.as_str(),
            job.agent.as_ref().map(|agent| agent.as_str()),
            codes::job_state_code(JobState::Queued),
            tx.now(),
            job.input.to_string()
        ],
    )
    .await?;
    Ok(1)
}

/// Where a job stands: its state, and who holds it until when.
async fn standing(tx: &Tx, job: JobId) -> Result<(JobState, Option<String>, Option<Timestamp>), StoreError> {
    let found = tx
        .query_row(
            "SELECT id, state, worker, claimed_until FROM ironclaw.jobs WHERE owner_no = $1 AND id = $2",
            params![tx.owner_no(), uuid(job.as_bytes())],
            |row| Ok((row.code(1, codes::job_state)?, row.optional(2, Row::text)?, row.optional(3, Row::time)?)),
        )
        .await?;
    found.ok_or_else(|| tx.not_found("the job"))
}

async fn claim(tx: &Tx, job: JobId, worker: &WorkerName, until: Timestamp) -> Result<u64, StoreError> {
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
            "UPDATE ironclaw.jobs SET state = $3::bigint::smallint, worker = $4, claimed_until = $5, \
             version = version + 1, updated_at = $6 WHERE owner_no = $1 AND id = $2 RETURNING version",
            params![
                tx.owner_no(),
                uuid(job.as_bytes()),
                codes::job_state_code(JobState::Running),
                worker.as_str(),
                until,
                tx.now()
            ],
            |row| row.count(0),
        )
        .await?;
    version.ok_or_else(|| tx.not_found("the job"))
}

async fn set_state(tx: &Tx, job: JobId, state: JobState, error: Option<&str>) -> Result<u64, StoreError> {
    if standing(tx, job).await?.0.is_ended() {
        return Err(tx.conflict("the job has ended"));
    }
    // Only a job that runs is held by someone.
    let version = tx
        .query_row(
            "UPDATE ironclaw.jobs SET state = $3::bigint::smallint, error = $4, version = version + 1, \
             updated_at = $5, worker = CASE WHEN $6 THEN worker END, \
             claimed_until = CASE WHEN $6 THEN claimed_until END \
             WHERE owner_no = $1 AND id = $2 RETURNING version",
            params![
                tx.owner_no(),
                uuid(job.as_bytes()),
                codes::job_state_code(state),
                error,
                tx.now(),
                state == JobState::Running
            ],
            |row| row.count(0),
        )
        .await?;
    version.ok_or_else(|| tx.not_found("the job"))
}

async fn append_event(tx: &Tx, job: JobId, step: &JobStep) -> Result<u64, StoreError> {
    let sequence = tx
        .number(
            "INSERT INTO ironclaw.job_events (owner_no, job, sequence, created_at, step) \
             SELECT $1, $2, coalesce(max(sequence), 0) + 1, $3, $4::json FROM ironclaw.job_events \
             WHERE owner_no = $1 AND job = $2 RETURNING sequence",
            params![tx.owner_no(), uuid(job.as_bytes()), tx.now(), json(tx, step)?],
        )
        .await?;
    Ok(sequence.cast_unsigned())
}

async fn record_llm_call(tx: &Tx, call: &LlmCall) -> Result<u64, StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.llm_calls (owner_no, job, id, model, error, input_tokens, output_tokens, \
         cost_micro_usd, latency_us, created_at, request, response) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::json, $12::json)",
        params![
            tx.owner_no(),
            uuid(call.job.as_bytes()),
            uuid(call.id.as_bytes()),
            call.model.as_str(),
            call.error.as_deref(),
            call.usage.input,
            call.usage.output,
            call.usage.cost_micro_usd,
            call.latency_us,
            call.created_at,
            call.request.to_string(),
            call.response.as_ref().map(ToString::to_string)
        ],
    )
    .await?;
    Ok(0)
}

async fn record_sandbox_job(tx: &Tx, run: &SandboxJob) -> Result<u64, StoreError> {
    let usage = run.usage.as_ref().map(|usage| json(tx, usage)).transpose()?;
    tx.execute(
        "INSERT INTO ironclaw.sandbox_jobs (owner_no, job, id, tool, usage, created_at, outcome, parameters, log) \
         VALUES ($1, $2, $3, $4, $5::json, $6, $7::json, $8::json, $9)",
        params![
            tx.owner_no(),
            uuid(run.job.as_bytes()),
            uuid(run.id.as_bytes()),
            run.tool.as_str(),
            usage,
            run.created_at,
            json(tx, &run.outcome)?,
            run.parameters.to_string(),
            run.log.as_str()
        ],
    )
    .await?;
    Ok(0)
}

fn json<T: Serialize>(tx: &Tx, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|e| tx.error(StoreErrorKind::Internal, "a value could not be serialised").with_source(e))
}

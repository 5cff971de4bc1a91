//! Jobs and what was recorded of them.

use async_trait::async_trait;
use ironclaw_core::change::JobOp;
use ironclaw_core::id::{JobId, WorkerName};
use ironclaw_core::model::jobs::{Job, JobEvent, JobFilter, JobState, JobStep, LlmCall, NewJob, SandboxJob};
use ironclaw_core::store::{Jobs, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope, Timestamp};
use serde::Serialize;

use super::LibsqlStore;
use super::conversations;
use super::cursor;
use super::db::Db;
use super::removal::{self, sized};
use super::row::{Row, params};
use super::tx::Tx;
use crate::codes;
use crate::damage;

mod rows;

/// Applies one operation; the number is the operation's in the receipt.
pub(super) fn apply(tx: &Tx<'_>, op: &JobOp) -> Result<u64, StoreError> {
    match op {
        JobOp::Create { job } => create(tx, job),
        JobOp::Claim { job, worker, until } => claim(tx, *job, worker, *until),
        JobOp::SetState { job, state, error } => set_state(tx, *job, *state, error.as_deref()),
        JobOp::AppendEvent { job, step } => append_event(tx, *job, step),
        JobOp::RecordLlmCall { call } => record_llm_call(tx, call),
        JobOp::RecordSandboxJob { run } => record_sandbox_job(tx, run),
        JobOp::Delete { job } => {
            tx.check_not_held()?;
            delete(tx, *job)
        }
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a job's row; 0 if there is none.
pub(super) fn row_version(tx: &Tx<'_>, id: JobId) -> Result<u64, StoreError> {
    let version = tx.db.number(
        "SELECT version FROM visible_jobs WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), id.as_bytes()],
    )?;
    Ok(version.cast_unsigned())
}

/// Deletes a job with all in it: what is too much for one transaction is hidden by it, and removed later. 1 if it was
/// there, otherwise 0.
pub(super) fn delete(tx: &Tx<'_>, id: JobId) -> Result<u64, StoreError> {
    if !exists(tx, id)? {
        return Ok(0);
    }
    removal::begin(tx, removal::Kind::Job, *id.as_bytes())?;
    Ok(1)
}

fn exists(tx: &Tx<'_>, id: JobId) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM visible_jobs WHERE owner_no = ?1 AND id = ?2";
    Ok(tx.db.number(sql, params![tx.content_no(), id.as_bytes()])? != 0)
}

fn check_exists(tx: &Tx<'_>, id: JobId) -> Result<(), StoreError> {
    if exists(tx, id)? { Ok(()) } else { Err(tx.not_found("the job")) }
}

/// Removes some of a job. How many rows.
pub(super) fn remove(db: &Db, owner_no: i64, id: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = 0;
    for (select, delete) in [
        (
            "SELECT event_no, octet_length(step) FROM job_events WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM job_events WHERE event_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT call_no, octet_length(request) + coalesce(octet_length(response), 0) FROM llm_calls \
             WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM llm_calls WHERE call_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT run_no, octet_length(outcome) + octet_length(parameters) + octet_length(log) FROM sandbox_jobs \
             WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM sandbox_jobs WHERE run_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT job_no, octet_length(input) FROM jobs WHERE owner_no = ?1 AND id = ?2 LIMIT ?3",
            "DELETE FROM jobs WHERE job_no = ?1 AND owner_no = ?2",
        ),
    ] {
        rows += sized(db, select, params![owner_no, &id], delete, owner_no)?;
    }
    Ok(rows)
}

/// Removes some of the jobs of a conversation. How many rows.
pub(super) fn remove_of_conversation(db: &Db, owner_no: i64, conversation: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = 0;
    while db.budget.is_left() {
        let next = db.query_row(
            "SELECT id FROM jobs WHERE owner_no = ?1 AND conversation = ?2 LIMIT 1",
            params![owner_no, &conversation],
            |row| row.bytes(0),
        )?;
        let Some(id) = next else {
            break;
        };
        rows += remove(db, owner_no, id)?;
    }
    Ok(rows)
}

/// Deletes some of what a user has. How many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for (select, delete) in [
        (
            "SELECT event_no, octet_length(step) FROM job_events WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM job_events WHERE event_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT call_no, octet_length(request) + coalesce(octet_length(response), 0) FROM llm_calls \
             WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM llm_calls WHERE call_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT run_no, octet_length(outcome) + octet_length(parameters) + octet_length(log) FROM sandbox_jobs \
             WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM sandbox_jobs WHERE run_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT job_no, octet_length(input) FROM jobs WHERE owner_no = ?1 LIMIT ?2",
            "DELETE FROM jobs WHERE job_no = ?1 AND owner_no = ?2",
        ),
    ] {
        rows += sized(db, select, params![owner_no], delete, owner_no)?;
    }
    Ok(rows)
}

#[async_trait]
impl Jobs for LibsqlStore {
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read("job", scope, move |tx| {
            tx.db.query_row(
                "SELECT id, kind, conversation, agent, state, worker, claimed_until, error, created_at, updated_at, \
                 version, input FROM visible_jobs WHERE owner_no = ?1 AND id = ?2",
                params![tx.content_no(), id.as_bytes()],
                rows::job,
            )
        })
        .await
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("jobs", page)?;
        let (state, conversation) = (filter.state.map(codes::job_state_code), filter.conversation);
        let page = page.clone();
        self.read("jobs", scope, move |tx| {
            // A unary plus keeps a condition from choosing the index: each filter goes by its own.
            let sql = match (state, conversation) {
                (_, Some(_)) => {
                    "SELECT id, kind, conversation, agent, state, worker, claimed_until, error, created_at, \
                     updated_at, version, input FROM visible_jobs WHERE owner_no = ?1 AND id < ?2 AND conversation = ?4 \
                     AND (?5 IS NULL OR +state = ?5) ORDER BY id DESC LIMIT ?3"
                }
                (Some(_), None) => {
                    "SELECT id, kind, conversation, agent, state, worker, claimed_until, error, created_at, \
                     updated_at, version, input FROM visible_jobs WHERE owner_no = ?1 AND id < ?2 AND ?4 IS NULL \
                     AND state = ?5 ORDER BY id DESC LIMIT ?3"
                }
                (None, None) => {
                    "SELECT id, kind, conversation, agent, state, worker, claimed_until, error, created_at, \
                     updated_at, version, input FROM visible_jobs WHERE owner_no = ?1 AND id < ?2 AND ?4 IS NULL \
                     AND ?5 IS NULL ORDER BY id DESC LIMIT ?3"
                }
            };
            let conversation = conversation.map(|id| id.as_bytes().to_vec());
            let params = params![tx.content_no(), cursor::before(before), cursor::rows(&page), conversation, state];
            let items = tx.db.query(sql, params, rows::job)?;
            Ok(cursor::page(&page, items, |job| *job.job.id.as_bytes()))
        })
        .await
    }

    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError> {
        let after: Option<u64> = cursor::after("job_events", page)?;
        let page = page.clone();
        self.read("job_events", scope, move |tx| {
            let items = tx.db.query(
                "SELECT job, sequence, created_at, step FROM visible_job_events \
                 WHERE owner_no = ?1 AND job = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
                params![tx.content_no(), job.as_bytes(), after.unwrap_or(0), cursor::rows(&page)],
                rows::event,
            )?;
            Ok(cursor::page(&page, items, |event| event.sequence))
        })
        .await
    }

    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("llm_calls", page)?;
        let page = page.clone();
        self.read("llm_calls", scope, move |tx| {
            let items = tx.db.query(
                "SELECT id, job, model, error, input_tokens, output_tokens, cost_micro_usd, latency_us, created_at, \
                 request, response FROM visible_llm_calls WHERE owner_no = ?1 AND job = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
                params![tx.content_no(), job.as_bytes(), cursor::from(after), cursor::rows(&page)],
                rows::llm_call,
            )?;
            Ok(cursor::page(&page, items, |call| *call.id.as_bytes()))
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
        let page = page.clone();
        self.read("sandbox_jobs", scope, move |tx| {
            let items = tx.db.query(
                "SELECT id, job, tool, usage, created_at, outcome, parameters, log FROM visible_sandbox_jobs \
                 WHERE owner_no = ?1 AND job = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
                params![tx.content_no(), job.as_bytes(), cursor::from(after), cursor::rows(&page)],
                rows::sandbox_job,
            )?;
            Ok(cursor::page(&page, items, |run| *run.id.as_bytes()))
        })
        .await
    }
}

fn create(tx: &Tx<'_>, job: &NewJob) -> Result<u64, StoreError> {
    if let Some(conversation) = job.conversation
        && !conversations::exists(tx, conversation)?
    {
        return Err(tx.not_found("the conversation"));
    }
    tx.db.execute(
        "INSERT INTO jobs (owner_no, id, conversation, kind, agent, state, version, created_at, updated_at, input) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8)",
        params![
            tx.content_no(),
            job.id.as_bytes(),
            job.conversation.as_ref().map(|id| id.as_bytes().as_slice()),
            job.kind.as_str(),
            job.agent.as_ref().map(|agent| agent.as_str()),
            codes::job_state_code(JobState::Queued),
            tx.now,
            job.input.to_string()
        ],
    )?;
    Ok(1)
}

/// Where a job stands: its state, and who holds it until when.
fn standing(tx: &Tx<'_>, job: JobId) -> Result<(JobState, Option<String>, Option<Timestamp>), StoreError> {
    let found = tx.db.query_row(
        "SELECT id, state, worker, claimed_until FROM visible_jobs WHERE owner_no = ?1 AND id = ?2",
        params![tx.content_no(), job.as_bytes()],
        |row| Ok((row.code(1, codes::job_state)?, row.optional(2, Row::text)?, row.optional(3, Row::time)?)),
    )?;
    found.ok_or_else(|| tx.not_found("the job"))
}

fn claim(tx: &Tx<'_>, job: JobId, worker: &WorkerName, until: Timestamp) -> Result<u64, StoreError> {
    let (state, holder, held_until) = standing(tx, job)?;
    if state.is_ended() {
        return Err(tx.conflict("the job has ended"));
    }
    let is_held = held_until.is_some_and(|until| until > tx.now);
    if is_held && holder.as_deref() != Some(worker.as_str()) {
        return Err(tx.conflict("another worker holds the job"));
    }
    let version = tx.db.query_row(
        "UPDATE jobs SET state = ?3, worker = ?4, claimed_until = ?5, version = version + 1, updated_at = ?6 \
         WHERE owner_no = ?1 AND id = ?2 RETURNING version",
        params![
            tx.content_no(),
            job.as_bytes(),
            codes::job_state_code(JobState::Running),
            worker.as_str(),
            until,
            tx.now
        ],
        |row| row.count(0),
    )?;
    version.ok_or_else(|| tx.not_found("the job"))
}

fn set_state(tx: &Tx<'_>, job: JobId, state: JobState, error: Option<&str>) -> Result<u64, StoreError> {
    if standing(tx, job)?.0.is_ended() {
        return Err(tx.conflict("the job has ended"));
    }
    // Only a job that runs is held by someone.
    let version = tx.db.query_row(
        "UPDATE jobs SET state = ?3, error = ?4, version = version + 1, updated_at = ?5, \
         worker = CASE WHEN ?6 THEN worker END, claimed_until = CASE WHEN ?6 THEN claimed_until END \
         WHERE owner_no = ?1 AND id = ?2 RETURNING version",
        params![
            tx.content_no(),
            job.as_bytes(),
            codes::job_state_code(state),
            error,
            tx.now,
            state == JobState::Running
        ],
        |row| row.count(0),
    )?;
    version.ok_or_else(|| tx.not_found("the job"))
}

fn append_event(tx: &Tx<'_>, job: JobId, step: &JobStep) -> Result<u64, StoreError> {
    check_exists(tx, job)?;
    let last = tx.db.query_row(
        "SELECT sequence FROM job_events WHERE owner_no = ?1 AND job = ?2 ORDER BY sequence DESC LIMIT 1",
        params![tx.content_no(), job.as_bytes()],
        |row| damage::next(row.count(0)?).ok_or_else(|| row.corrupt(0)),
    )?;
    let sequence = last.unwrap_or(1);
    tx.db.execute(
        "INSERT INTO job_events (owner_no, job, sequence, created_at, step) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![tx.content_no(), job.as_bytes(), sequence, tx.now, json(tx, step)?],
    )?;
    Ok(sequence)
}

fn record_llm_call(tx: &Tx<'_>, call: &LlmCall) -> Result<u64, StoreError> {
    check_exists(tx, call.job)?;
    tx.db.execute(
        "INSERT INTO llm_calls (owner_no, job, id, model, error, input_tokens, output_tokens, cost_micro_usd, \
         latency_us, created_at, request, response) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            tx.content_no(),
            call.job.as_bytes(),
            call.id.as_bytes(),
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
    )?;
    Ok(0)
}

fn record_sandbox_job(tx: &Tx<'_>, run: &SandboxJob) -> Result<u64, StoreError> {
    check_exists(tx, run.job)?;
    let usage = run.usage.as_ref().map(|usage| json(tx, usage)).transpose()?;
    tx.db.execute(
        "INSERT INTO sandbox_jobs (owner_no, job, id, tool, usage, created_at, outcome, parameters, log) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            tx.content_no(),
            run.job.as_bytes(),
            run.id.as_bytes(),
            run.tool.as_str(),
            usage,
            run.created_at,
            json(tx, &run.outcome)?,
            run.parameters.to_string(),
            run.log.as_str()
        ],
    )?;
    Ok(0)
}

fn json<T: Serialize>(tx: &Tx<'_>, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|e| tx.error(StoreErrorKind::Internal, "a value could not be serialised").with_source(e))
}

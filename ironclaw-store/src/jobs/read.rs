//! What is read of jobs.

use async_trait::async_trait;
use ironclaw_core::id::JobId;
use ironclaw_core::model::jobs::{Job, JobEvent, JobFilter, LlmCall, SandboxJob};
use ironclaw_core::store::{Jobs, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, job_columns};
use crate::sql::{Categories, Engine, Id, Query, params};
use crate::{codes, cursor};

#[async_trait]
impl<E: Engine> Jobs for Categories<E> {
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        let sql = concat!("SELECT ", job_columns!(), " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id = ?2");
        self.find("job", Query::of_content(scope, sql, params![Id(id.as_bytes())], codec::job).deciding()).await
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("jobs", page)?;
        let state = filter.state.map(codes::job_state_code);
        let conversation = filter.conversation.as_ref().map(|id| Id(id.as_bytes()));
        // A unary plus keeps a condition from choosing the index: each filter goes by its own.
        let (sql, filter) = match (state, conversation) {
            (state, Some(conversation)) => (
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id <= ?2 AND conversation = ?3 \
                     AND (?4 IS NULL OR +state = ?4) ORDER BY id DESC LIMIT ?5"
                ),
                params![conversation, state],
            ),
            (Some(state), None) => (
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id <= ?2 AND state = ?3 \
                     ORDER BY id DESC LIMIT ?4"
                ),
                params![state],
            ),
            (None, None) => (
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id <= ?2 ORDER BY id DESC LIMIT ?3"
                ),
                params![],
            ),
        };
        let mut params = params![Id(&cursor::until(before))];
        params.extend(filter);
        // Who works on what decides what is done.
        let query = Query::of_content(scope, sql, params, codec::job).deciding();
        self.page("jobs", page, query, |job| *job.job.id.as_bytes()).await
    }

    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError> {
        let after: Option<u64> = cursor::after("job_events", page)?;
        let query = Query::of_content(
            scope,
            "SELECT job, sequence, created_at, step FROM ironclaw.visible_job_events WHERE owner_no = ?1 AND job = ?2 \
             AND sequence > ?3 ORDER BY sequence LIMIT ?4",
            params![Id(job.as_bytes()), after.unwrap_or(0)],
            codec::event,
        );
        self.page("job_events", page, query, |event| event.sequence).await
    }

    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("llm_calls", page)?;
        let query = Query::of_content(
            scope,
            "SELECT id, job, model, error, input_tokens, output_tokens, cost_micro_usd, latency_us, created_at, request, \
             response FROM ironclaw.visible_llm_calls WHERE owner_no = ?1 AND job = ?2 AND id >= ?3 ORDER BY id LIMIT ?4",
            params![Id(job.as_bytes()), Id(&cursor::from(after))],
            codec::llm_call,
        );
        self.page("llm_calls", page, query, |call| *call.id.as_bytes()).await
    }

    async fn sandbox_jobs(
        &self,
        scope: &Scope,
        job: JobId,
        page: &PageRequest,
    ) -> Result<Page<SandboxJob>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("sandbox_jobs", page)?;
        let query = Query::of_content(
            scope,
            "SELECT id, job, tool, usage, created_at, outcome, parameters, log FROM ironclaw.visible_sandbox_jobs \
             WHERE owner_no = ?1 AND job = ?2 AND id >= ?3 ORDER BY id LIMIT ?4",
            params![Id(job.as_bytes()), Id(&cursor::from(after))],
            codec::sandbox_job,
        );
        self.page("sandbox_jobs", page, query, |run| *run.id.as_bytes()).await
    }
}

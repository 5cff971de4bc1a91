//! What is read of jobs.

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::JobId;
use ironclaw_core::model::jobs::{Job, JobEvent, JobFilter, LlmCall, SandboxJob};
use ironclaw_core::store::{Jobs, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, job_columns};
use crate::sql::{Categories, Engine, Id, params};
use crate::{codes, cursor};

#[async_trait]
impl<E: Engine> Jobs for Categories<E> {
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        self.read("job", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    concat!("SELECT ", job_columns!(), " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id = ?2"),
                    params![tx.content_no(), Id(id.as_bytes())],
                    codec::job,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError> {
        let before: Option<[u8; 16]> = cursor::after("jobs", page)?;
        self.read("jobs", scope, (filter.clone(), before, page.clone()), |tx, (filter, before, page)| {
            async move {
                let state = filter.state.map(codes::job_state_code);
                let conversation = filter.conversation.as_ref().map(|id| Id(id.as_bytes()));
                // A unary plus keeps a condition from choosing the index: each filter goes by its own.
                let (sql, filter) = match (state, conversation) {
                    (state, Some(conversation)) => (
                        concat!(
                            "SELECT ",
                            job_columns!(),
                            " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id <= ?2 AND conversation = ?4 \
                             AND (?5 IS NULL OR +state = ?5) ORDER BY id DESC LIMIT ?3"
                        ),
                        params![conversation, state],
                    ),
                    (Some(state), None) => (
                        concat!(
                            "SELECT ",
                            job_columns!(),
                            " FROM ironclaw.visible_jobs WHERE owner_no = ?1 AND id <= ?2 AND state = ?4 \
                             ORDER BY id DESC LIMIT ?3"
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
                let mut params = params![tx.content_no(), Id(&cursor::until(before)), cursor::rows(&page)];
                params.extend(filter);
                let items = tx.query(sql, params, codec::job).await?;
                Ok(cursor::page(&page, items, |job| *job.job.id.as_bytes()))
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
                        "SELECT job, sequence, created_at, step FROM ironclaw.visible_job_events WHERE owner_no = ?1 \
                         AND job = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
                        params![tx.content_no(), Id(job.as_bytes()), after.unwrap_or(0), cursor::rows(&page)],
                        codec::event,
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
                         created_at, request, response FROM ironclaw.visible_llm_calls WHERE owner_no = ?1 \
                         AND job = ?2 AND id >= ?3 ORDER BY id LIMIT ?4",
                        params![tx.content_no(), Id(job.as_bytes()), Id(&cursor::from(after)), cursor::rows(&page)],
                        codec::llm_call,
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
                        "SELECT id, job, tool, usage, created_at, outcome, parameters, log \
                         FROM ironclaw.visible_sandbox_jobs WHERE owner_no = ?1 AND job = ?2 AND id >= ?3 ORDER BY id \
                         LIMIT ?4",
                        params![tx.content_no(), Id(job.as_bytes()), Id(&cursor::from(after)), cursor::rows(&page)],
                        codec::sandbox_job,
                    )
                    .await?;
                Ok(cursor::page(&page, items, |run| *run.id.as_bytes()))
            }
            .boxed()
        })
        .await
    }
}

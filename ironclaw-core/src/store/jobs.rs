use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::id::JobId;
use crate::model::jobs::{Job, JobEvent, JobFilter, LlmCall, SandboxJob};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads jobs and what was recorded of them.
///
/// Every method fails with a [`StoreError`] only when the store itself does; absence is `None` or an empty page.
/// Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::model::jobs::{JobFilter, JobState};
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let agent = Agent::builder().store(store.clone()).llm(ExtractiveLlm::new()).build()?;
/// let conversation = agent.start_conversation(&ada).await?;
/// agent.send(&ada, conversation, "Hello").await?;
/// let jobs = store.jobs().jobs(&ada, &JobFilter::default(), &PageRequest::default()).await?.items;
/// assert_eq!(jobs[0].state, JobState::Succeeded);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Jobs: Send + Sync {
    /// A job, or `None`.
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError>;

    /// The owner's jobs, newest first (by id).
    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError>;

    /// A job's steps, in order.
    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError>;

    /// A job's calls of language models, in the order of their ids.
    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError>;

    /// A job's runs of sandboxed tools, in the order of their ids.
    async fn sandbox_jobs(&self, scope: &Scope, job: JobId, page: &PageRequest)
    -> Result<Page<SandboxJob>, StoreError>;
}

forward! {
    Jobs jobs:
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError>;
    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError>;
    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError>;
    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError>;
    async fn sandbox_jobs(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<SandboxJob>, StoreError>;
}

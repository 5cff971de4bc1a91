//! A store that a test holds up, counts, or lets lag behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ironclaw_core::change::{Change, Receipt};
use ironclaw_core::id::{ConversationId, JobId};
use ironclaw_core::llm::ContentPart;
use ironclaw_core::model::conversations::{Conversation, Message, MessageHit};
use ironclaw_core::model::jobs::{Job, JobEvent, JobFilter, LlmCall, SandboxJob};
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{Backwards, Conversations, Jobs, StoreError};
use ironclaw_core::{AgentStore, Apply, Page, PageRequest, Scope};
use ironclaw_store::LibsqlStore;
use tokio::sync::Semaphore;

/// What a store does that another process asks.
#[derive(Debug)]
pub(crate) enum How {
    /// Reads jobs just when one has ended, which it lets end.
    AfterTheEnd(Arc<Semaphore>),
    /// Counts the bytes of images and documents that are read.
    Counting(AtomicUsize),
    /// Never gives jobs.
    NoJobs,
    /// Shows messages up to this one, as a standby that is behind.
    Behind(AtomicU64),
    /// Gives the first who asks for jobs those that there were, when it is let.
    Late(Semaphore, AtomicBool),
    /// Commits the first change with a key when it is let.
    Waiting(Semaphore, AtomicBool),
}

/// A store that does so.
#[derive(Debug, Clone)]
pub(crate) struct Other(pub(crate) LibsqlStore, pub(crate) Arc<How>);

impl Other {
    pub(crate) fn new(store: &LibsqlStore, how: How) -> Self {
        Self(store.clone(), Arc::new(how))
    }

    /// How many bytes of images and documents were read since this was asked last.
    pub(crate) fn read(&self) -> usize {
        match &*self.1 {
            How::Counting(bytes) => bytes.swap(0, Ordering::SeqCst),
            _ => 0,
        }
    }

    fn count<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) {
        if let How::Counting(bytes) = &*self.1 {
            let parts = messages.into_iter().flat_map(|message| &message.message.parts);
            bytes.fetch_add(parts.map(ContentPart::bytes).sum(), Ordering::SeqCst);
        }
    }

    fn is_seen(&self, message: &Message) -> bool {
        match &*self.1 {
            How::Behind(last) => message.sequence <= last.load(Ordering::SeqCst),
            _ => true,
        }
    }
}

#[async_trait]
impl Apply for Other {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        if let How::Waiting(gate, was_first) = &*self.1
            && change.idempotency_key().is_some()
            && !was_first.swap(true, Ordering::SeqCst)
        {
            gate.acquire().await.unwrap().forget();
        }
        self.0.apply(scope, change).await
    }
}

impl AgentStore for Other {
    fn conversations(&self) -> &dyn Conversations {
        self
    }

    fn jobs(&self) -> &dyn Jobs {
        self
    }
}

#[async_trait]
impl Conversations for Other {
    async fn conversation(&self, scope: &Scope, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.0.conversations().conversation(scope, id).await
    }

    async fn conversations(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Conversation>, StoreError> {
        self.0.conversations().conversations(scope, page).await
    }

    async fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        page: &PageRequest,
    ) -> Result<Page<Message>, StoreError> {
        let page = self.0.conversations().messages(scope, conversation, page).await?;
        self.count(&page.items);
        Ok(Page::new(page.items.into_iter().filter(|message| self.is_seen(message)).collect(), page.next))
    }

    async fn messages_backwards(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        backwards: &Backwards,
    ) -> Result<Vec<Message>, StoreError> {
        let found = self.0.conversations().messages_backwards(scope, conversation, backwards).await?;
        self.count(&found);
        Ok(found.into_iter().filter(|message| self.is_seen(message)).collect())
    }

    async fn search_messages(
        &self,
        scope: &Scope,
        query: &TextQuery,
        limit: u32,
    ) -> Result<Vec<MessageHit>, StoreError> {
        let found = self.0.conversations().search_messages(scope, query, limit).await?;
        self.count(found.iter().map(|hit| &hit.message));
        Ok(found)
    }
}

#[async_trait]
impl Jobs for Other {
    async fn job(&self, scope: &Scope, id: JobId) -> Result<Option<Job>, StoreError> {
        self.0.jobs().job(scope, id).await
    }

    async fn jobs(&self, scope: &Scope, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>, StoreError> {
        match &*self.1 {
            How::NoJobs => std::future::pending().await,
            How::Late(gate, was_first) if !was_first.swap(true, Ordering::SeqCst) => {
                let jobs = self.0.jobs().jobs(scope, filter, page).await;
                gate.acquire().await.unwrap().forget();
                jobs
            }
            How::AfterTheEnd(gate) => {
                gate.add_permits(1);
                loop {
                    let jobs = self.0.jobs().jobs(scope, filter, page).await?;
                    if jobs.items.iter().any(|job| job.state.is_ended()) {
                        return Ok(jobs);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            _ => self.0.jobs().jobs(scope, filter, page).await,
        }
    }

    async fn job_events(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<JobEvent>, StoreError> {
        self.0.jobs().job_events(scope, job, page).await
    }

    async fn llm_calls(&self, scope: &Scope, job: JobId, page: &PageRequest) -> Result<Page<LlmCall>, StoreError> {
        self.0.jobs().llm_calls(scope, job, page).await
    }

    async fn sandbox_jobs(
        &self,
        scope: &Scope,
        job: JobId,
        page: &PageRequest,
    ) -> Result<Page<SandboxJob>, StoreError> {
        self.0.jobs().sandbox_jobs(scope, job, page).await
    }
}

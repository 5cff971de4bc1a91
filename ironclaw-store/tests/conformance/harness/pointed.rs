use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ironclaw_core::change::{Change, Receipt};
use ironclaw_core::store::{
    Access, AgentStore, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, StoreError, VaultStore, Workspace,
};
use ironclaw_core::{Apply, Scope, Store};
use ironclaw_store::LibsqlStore;

/// A store whose categories are each read through a pointer, as by somebody who puts a store together of parts.
pub(super) struct Pointed {
    /// Its parts point to it: it is closed in the end, and its place in memory stays.
    store: &'static LibsqlStore,
    conversations: Arc<dyn Conversations>,
    workspace: Arc<dyn Workspace>,
    jobs: Arc<dyn Jobs>,
    secrets: Arc<dyn Secrets>,
    access: Arc<dyn Access>,
    settings: Arc<dyn Settings>,
    audit: Arc<dyn Audit>,
}

impl Pointed {
    pub(super) fn at(store: LibsqlStore) -> Self {
        let store: &'static LibsqlStore = Box::leak(Box::new(store));
        Self {
            store,
            conversations: Arc::new(store.conversations()),
            workspace: Arc::new(store.workspace()),
            jobs: Arc::new(store.jobs()),
            secrets: Arc::new(store.secrets()),
            access: Arc::new(store.access()),
            settings: Arc::new(store.settings()),
            audit: Arc::new(store.audit()),
        }
    }
}

impl Drop for Pointed {
    fn drop(&mut self) {
        let store = self.store;
        // On a thread and a runtime of its own: that of the case is going down.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(store.close()).unwrap();
        });
    }
}

impl fmt::Debug for Pointed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pointed").field(self.store).finish()
    }
}

#[async_trait]
impl Apply for Pointed {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        self.store.apply(scope, change).await
    }
}

impl VaultStore for Pointed {
    fn secrets(&self) -> &dyn Secrets {
        &self.secrets
    }

    fn access(&self) -> &dyn Access {
        &self.access
    }

    fn audit(&self) -> &dyn Audit {
        &self.audit
    }
}

impl MemoryStore for Pointed {
    fn workspace(&self) -> &dyn Workspace {
        &self.workspace
    }
}

impl AgentStore for Pointed {
    fn conversations(&self) -> &dyn Conversations {
        &self.conversations
    }

    fn jobs(&self) -> &dyn Jobs {
        &self.jobs
    }
}

#[async_trait]
impl Store for Pointed {
    fn settings(&self) -> &dyn Settings {
        &self.settings
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

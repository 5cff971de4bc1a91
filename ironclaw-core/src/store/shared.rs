//! A shared store is a store: `Arc<LibsqlStore>` and `Arc<dyn Store>` go wherever one is asked for.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Access, Apply, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, Store, StoreError, VaultStore, Workspace,
};
use crate::change::{Change, Receipt};
use crate::scope::Scope;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Apply + ?Sized> Apply for Arc<T> {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        (**self).apply(scope, change).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: VaultStore + ?Sized> VaultStore for Arc<T> {
    fn secrets(&self) -> &dyn Secrets {
        (**self).secrets()
    }

    fn access(&self) -> &dyn Access {
        (**self).access()
    }

    fn audit(&self) -> &dyn Audit {
        (**self).audit()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: MemoryStore + ?Sized> MemoryStore for Arc<T> {
    fn workspace(&self) -> &dyn Workspace {
        (**self).workspace()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Store + ?Sized> Store for Arc<T> {
    fn conversations(&self) -> &dyn Conversations {
        (**self).conversations()
    }

    fn jobs(&self) -> &dyn Jobs {
        (**self).jobs()
    }

    fn settings(&self) -> &dyn Settings {
        (**self).settings()
    }

    async fn close(&self) -> Result<(), StoreError> {
        (**self).close().await
    }
}

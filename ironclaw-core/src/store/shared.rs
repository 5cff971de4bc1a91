//! A shared store is a store: `Arc<LibsqlStore>` and `Arc<dyn Store>` go wherever one is asked for.

use super::{
    Access, AgentStore, Apply, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, Store, StoreError,
    VaultStore, Workspace,
};
use crate::change::{Change, Receipt};
use crate::forward::forward;
use crate::scope::Scope;

forward! {
    Apply:
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError>;
}

forward! {
    VaultStore:
    fn secrets(&self) -> &dyn Secrets;
    fn access(&self) -> &dyn Access;
    fn audit(&self) -> &dyn Audit;
}

forward! {
    MemoryStore:
    fn workspace(&self) -> &dyn Workspace;
}

forward! {
    AgentStore:
    fn conversations(&self) -> &dyn Conversations;
    fn jobs(&self) -> &dyn Jobs;
}

forward! {
    Store:
    fn settings(&self) -> &dyn Settings;
    async fn close(&self) -> Result<(), StoreError>;
}

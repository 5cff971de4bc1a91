//! Where everything is kept.
//!
//! [`Apply::apply`] is the only way to write. Reading is a small trait for each category of data.

use async_trait::async_trait;
use thiserror::Error;

use crate::change::{Change, Receipt};
use crate::error::error_type;
use crate::input::InputError;
use crate::scope::Scope;

mod access;
mod audit;
mod conversations;
mod ext;
mod jobs;
mod secrets;
mod settings;
mod shared;
mod space_ext;
mod workspace;

pub use access::Access;
pub use audit::Audit;
pub use conversations::{Backwards, Conversations};
pub use ext::StoreExt;
pub use jobs::Jobs;
pub use secrets::Secrets;
pub use settings::Settings;
pub use space_ext::SpaceExt;
pub use workspace::{SearchFilter, VectorQuery, Workspace};

/// The one way to write.
///
/// ```
/// use ironclaw_core::change::{ConversationOp, SettingOp};
/// use ironclaw_core::id::ConversationId;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// let id = ConversationId::make(&SystemClock);
/// // Both, or neither.
/// let change = Change::new()
///     .with(ConversationOp::Create { id, title: "Launch".to_owned() })
///     .with(SettingOp::Put { key: "last.conversation".parse()?, value: id.to_string().into() });
/// store.apply(&ada, change).await?;
/// assert_eq!(store.conversation_title(&ada, id).await?.as_deref(), Some("Launch"));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Apply: Send + Sync + std::fmt::Debug {
    /// Commits a change with its audit events, or nothing.
    ///
    /// When it returns `Ok`, the change is durable. A change that fails for a reason of its own (input, a missing
    /// row, a conflict, a precondition, a hold, a refusal) leaves only its audit events, with the outcome
    /// [`Failed`](crate::model::audit::Outcome::Failed) or [`Denied`](crate::model::audit::Outcome::Denied), in a
    /// transaction of their own.
    ///
    /// Dropping the future leaves the change either whole or not begun; which of the two, a reading tells.
    ///
    /// # Errors
    /// A [`StoreError`].
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError>;
}

/// What a vault asks of a store.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// async fn secrets(store: &dyn VaultStore, scope: &Scope) -> Result<usize, ironclaw_core::store::StoreError> {
///     Ok(store.secrets().secrets(scope, &PageRequest::default()).await?.items.len())
/// }
/// assert_eq!(secrets(&store, &ada).await?, 0);
/// # Ok(())
/// # }
/// ```
pub trait VaultStore: Apply {
    /// Reads sealed secrets and wrapped keys.
    fn secrets(&self) -> &dyn Secrets;

    /// Reads who may do what.
    fn access(&self) -> &dyn Access;

    /// Reads the audit trail.
    fn audit(&self) -> &dyn Audit;
}

/// What a memory asks of a store.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// async fn files(store: &dyn MemoryStore, scope: &Scope) -> Result<usize, ironclaw_core::store::StoreError> {
///     Ok(store.workspace().entries(scope, None, &PageRequest::default()).await?.items.len())
/// }
/// assert_eq!(files(&store, &ada).await?, 0);
/// # Ok(())
/// # }
/// ```
pub trait MemoryStore: Apply {
    /// Reads and searches workspace files.
    fn workspace(&self) -> &dyn Workspace;
}

/// What an agent asks of a store.
///
/// An agent applies `ConversationOp::{Create, AppendMessage}` and `JobOp::{Create, Claim, SetState, AppendEvent,
/// RecordLlmCall, RecordSandboxJob}`, many in one change, all of which happen or none; with idempotency keys, and on
/// `Precondition::RowVersion` of its job. It relies on ids being taken once (`AlreadyExists`), and reads what it wrote. A scope
/// may be in a space: then the store looks whether the user is a member. What those operations promise, the cases of
/// [`Suites::store`](crate::conformance::Suites::store) in `conversations`, `jobs` and `preconditions` say; no suite runs an
/// `AgentStore` alone.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// async fn conversations(store: &dyn AgentStore, scope: &Scope) -> Result<usize, ironclaw_core::store::StoreError> {
///     Ok(store.conversations().conversations(scope, &PageRequest::default()).await?.items.len())
/// }
/// assert_eq!(conversations(&store, &ada).await?, 0);
/// # Ok(())
/// # }
/// ```
pub trait AgentStore: Apply {
    /// Reads and searches conversations.
    fn conversations(&self) -> &dyn Conversations;

    /// Reads jobs.
    fn jobs(&self) -> &dyn Jobs;
}

/// A store of every category of data.
///
/// ```
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// // One type for whichever store the host was configured with.
/// let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(LibsqlStore::in_memory().await?);
/// let ada = Scope::user("ada")?;
/// store.put_setting(&ada, "theme", "dark".into()).await?;
/// assert_eq!(store.settings().settings(&ada, &PageRequest::default()).await?.items.len(), 1);
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Store: VaultStore + MemoryStore + AgentStore {
    /// Reads settings and quotas.
    fn settings(&self) -> &dyn Settings;

    /// Takes no more calls, finishes those that were taken, and closes the store's files and threads. Every call
    /// after it fails with [`StoreErrorKind::Closed`]; closing again is no error. Dropping the future does not stop
    /// the closing.
    ///
    /// # Errors
    /// What could not be finished.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Which way a store failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// An argument was refused; nothing was written but the audit event.
    #[error("invalid input: {0}")]
    InvalidInput(InputError),
    /// What the call is about is not there, or not the caller's: the two can't be told apart.
    #[error("not found")]
    NotFound,
    /// What was to be created is there already.
    #[error("already exists")]
    AlreadyExists,
    /// Somebody else changed it first; read it again and decide anew.
    #[error("conflict")]
    Conflict,
    /// A precondition of the change does not hold.
    #[error("precondition failed")]
    PreconditionFailed,
    /// A legal hold forbids the deletion.
    #[error("legal hold")]
    LegalHold,
    /// Whoever acts may not do that.
    #[error("denied")]
    Denied,
    /// The quota is used up.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The user was suspended by an operator.
    #[error("suspended")]
    Suspended,
    /// Another change was applied under the same idempotency key.
    #[error("idempotency key reused")]
    IdempotencyKeyReused,
    /// A row can't be decoded: the message says which table, column and id.
    #[error("corrupt data")]
    Corrupt,
    /// The data was written by a newer version of this crate.
    #[error("newer schema")]
    NewerSchema,
    /// The file or database is not a store of this crate.
    #[error("not a store")]
    NotAStore,
    /// The data was written by an older version of this crate and must be migrated first.
    #[error("not migrated")]
    NotMigrated,
    /// The database server, or an extension of it, is too old.
    #[error("unsupported version")]
    UnsupportedVersion,
    /// The database keeps text in another encoding than UTF-8.
    #[error("unsupported encoding")]
    UnsupportedEncoding,
    /// The database lacks an extension that the store needs.
    #[error("missing extension")]
    MissingExtension,
    /// The database refused the name or the password.
    #[error("credentials refused")]
    Credentials,
    /// The database role lacks a privilege that the store needs, or has one that it must not have.
    #[error("wrong privileges")]
    Privileges,
    /// The server could not prove that it is the one that was asked for.
    #[error("untrusted server")]
    UntrustedServer,
    /// The database can't be reached, or the connection was lost.
    #[error("unavailable")]
    Unavailable,
    /// The call took longer than the store was told to wait.
    #[error("timed out")]
    TimedOut,
    /// Others held a lock, or all connections, for too long; try again.
    #[error("busy")]
    Busy,
    /// The store can't be written to.
    #[error("read-only")]
    ReadOnly,
    /// The store's file, or its log, was moved, deleted or replaced while it was open. What a call that ends so has
    /// written is lost with it.
    #[error("file moved")]
    FileMoved,
    /// Others than their owner may write to the store's files.
    #[error("exposed to others")]
    Exposed,
    /// There is no space left.
    #[error("storage full")]
    Full,
    /// Reading or writing failed.
    #[error("input or output failed")]
    Io,
    /// The store was closed.
    #[error("closed")]
    Closed,
    /// The operating system gave no randomness, or the database failed in a way that has no kind of its own.
    #[error("internal failure")]
    Internal,
}

error_type! {
    /// Why a store failed.
    StoreError, StoreErrorKind, retryable: [Busy, Unavailable, TimedOut], input: InvalidInput, causes: [StoreError]
}

impl StoreError {
    /// A refused argument of `operation`.
    pub fn invalid_input(operation: &'static str, input: InputError) -> Self {
        Self::new(StoreErrorKind::InvalidInput(input), operation, "")
    }
}

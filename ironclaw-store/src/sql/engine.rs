//! What an engine brings, and the store's categories over it.

use futures::future::BoxFuture;
use ironclaw_core::id::TenantId;
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, Scope};

use super::Transaction;

/// How new the answer to a reading must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// A standby may answer that is not too far behind.
    Recent,
    /// Of what decides who may do what: the primary answers.
    Newest,
}

/// Whose rows a transaction is about.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// One user's.
    User(Scope),
    /// One tenant's, without any user's rows.
    Tenant(#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "a file has no scopes"))] TenantId),
    /// Everybody's: an operator's.
    All,
}

/// What runs transactions.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Reads one snapshot; of a user whom the store does not know there is nothing. It may be read again if a connection
    /// is lost.
    fn read<A, T, F>(
        &self,
        operation: &'static str,
        reach: Reach,
        freshness: Freshness,
        arguments: A,
        read: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static;
}

/// A store's categories, over its engine.
#[derive(Debug, Clone)]
pub(crate) struct Categories<E>(pub(crate) E);

impl<E: Engine> Categories<E> {
    /// Reads what a standby may tell as well.
    pub(crate) async fn read<A, T, F>(
        &self,
        operation: &'static str,
        scope: &Scope,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.0.read(operation, Reach::User(scope.clone()), Freshness::Recent, arguments, read).await
    }

    /// Reads what decides who may do what.
    pub(crate) async fn read_to_decide<A, T, F>(
        &self,
        operation: &'static str,
        scope: &Scope,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.0.read(operation, Reach::User(scope.clone()), Freshness::Newest, arguments, read).await
    }

    /// Reads of everybody, for an operator.
    pub(crate) async fn read_all<A, T, F>(
        &self,
        operation: &'static str,
        arguments: A,
        read: F,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.0.read(operation, Reach::All, Freshness::Recent, arguments, read).await
    }

    /// Reads a tenant's vault, which decides too.
    pub(crate) async fn read_tenant<T, F>(
        &self,
        operation: &'static str,
        tenant: &TenantId,
        read: F,
    ) -> Result<T, StoreError>
    where
        T: Absent + Send + 'static,
        F: for<'a> Fn(&'a dyn Transaction, TenantId) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.0.read(operation, Reach::Tenant(tenant.clone()), Freshness::Newest, tenant.clone(), read).await
    }
}

/// What a reading gives for a user that the store does not know.
pub(crate) trait Absent {
    fn absent() -> Self;
}

impl<T> Absent for Option<T> {
    fn absent() -> Self {
        None
    }
}

impl<T> Absent for Vec<T> {
    fn absent() -> Self {
        Self::new()
    }
}

impl<T> Absent for Page<T> {
    fn absent() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

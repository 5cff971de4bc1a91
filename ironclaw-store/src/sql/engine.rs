//! What an engine brings, and the store's categories over it.

use futures::FutureExt;
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

impl Freshness {
    /// Of what is read in this scope: a standby may not know yet who is no member of a space any more.
    pub(crate) fn of(scope: &Scope) -> Self {
        if scope.space().is_some() { Self::Newest } else { Self::Recent }
    }
}

/// Whose rows a transaction is about.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// One user's, or one space's.
    User(Scope),
    /// What is about one person, whether or not the store knows them.
    Person(Scope),
    /// One tenant's, without any user's rows.
    Tenant(#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "a file has no scopes"))] TenantId),
    /// Everybody's: an operator's.
    All,
}

/// What is read in a snapshot. It is asked again, with the same arguments, if a connection is lost.
pub(crate) trait Reading<A, T>:
    for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static
{
}

impl<A, T, F> Reading<A, T> for F where
    F: for<'a> Fn(&'a dyn Transaction, A) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static
{
}

/// One step of a long reading. Whether it was the last.
pub(crate) type Step<S> = for<'a> fn(&'a dyn Transaction, &'a mut S) -> BoxFuture<'a, Result<bool, StoreError>>;

/// What runs transactions.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Whether a snapshot that is held for long keeps others waiting, so that a long reading takes several.
    const READS_IN_STEPS: bool;

    /// Reads one snapshot; of a user whom the store does not know there is nothing.
    fn read<A, T>(
        &self,
        operation: &'static str,
        reach: Reach,
        freshness: Freshness,
        arguments: A,
        read: impl Reading<A, T>,
    ) -> impl Future<Output = Result<T, StoreError>> + Send
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static;
}

/// A store's categories, over its engine.
#[derive(Debug, Clone)]
pub(crate) struct Categories<E>(pub(crate) E);

impl<E: Engine> Categories<E> {
    /// Reads what a standby may tell as well.
    pub(crate) async fn read<A, T>(
        &self,
        operation: &'static str,
        scope: &Scope,
        arguments: A,
        read: impl Reading<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
    {
        self.0.read(operation, Reach::User(scope.clone()), Freshness::of(scope), arguments, read).await
    }

    /// Reads of everybody, for an operator.
    pub(crate) async fn read_all<A, T>(
        &self,
        operation: &'static str,
        arguments: A,
        read: impl Reading<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Clone + Send + Sync + 'static,
        T: Absent + Send + 'static,
    {
        self.0.read(operation, Reach::All, Freshness::Recent, arguments, read).await
    }

    /// Reads step by step from `state` on: in one snapshot, or in one for each step where a long one keeps others
    /// waiting.
    /// `None` of a user whom the store does not know.
    pub(crate) async fn read_in_steps<S: Clone + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        reach: Reach,
        mut state: S,
        step: Step<S>,
    ) -> Result<Option<S>, StoreError> {
        loop {
            let freshness = match &reach {
                Reach::User(scope) => Freshness::of(scope),
                _ => Freshness::Recent,
            };
            let read = self.0.read(operation, reach.clone(), freshness, state, move |tx, mut state: S| {
                async move {
                    loop {
                        let is_done = step(tx, &mut state).await?;
                        if is_done || E::READS_IN_STEPS {
                            return Ok(Some((state, is_done)));
                        }
                    }
                }
                .boxed()
            });
            match read.await? {
                Some((next, false)) => state = next,
                Some((state, true)) => return Ok(Some(state)),
                None => return Ok(None),
            }
        }
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
        Self::new(Vec::new(), None)
    }
}

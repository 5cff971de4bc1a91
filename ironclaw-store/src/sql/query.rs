//! What is read by one query, as a value.

use futures::FutureExt;
use futures::future::BoxFuture;
use ironclaw_core::id::TenantId;
use ironclaw_core::store::StoreError;
use ironclaw_core::{Page, PageRequest, Scope};

use super::{Categories, Engine, Freshness, Params, Reach, Row, Transaction};
use crate::cursor;

/// A query, with what makes a value of each row.
pub(crate) struct Query<T> {
    reach: Reach,
    freshness: Freshness,
    first: First,
    sql: &'static str,
    params: Params,
    read: fn(&dyn Row) -> Result<T, StoreError>,
}

/// What `?1` is; the parameters that a query is made with come after it.
#[derive(Debug, Clone, Copy)]
enum First {
    /// The user's number.
    User,
    /// The number that the user's content is kept under.
    Content,
    /// Nothing of the transaction's.
    Own,
}

impl<T: Send + 'static> Query<T> {
    /// Of a user's settings and the like: `?1` is the user's number. A standby may answer.
    pub(crate) fn of_user(scope: &Scope, sql: &'static str, params: Params, read: fn(&dyn Row) -> Read<T>) -> Self {
        let reach = Reach::User(scope.clone());
        Self { reach, freshness: Freshness::of(scope), first: First::User, sql, params, read }
    }

    /// Of what a user may forget: `?1` is the number that the user's content is kept under. A standby may answer.
    pub(crate) fn of_content(scope: &Scope, sql: &'static str, params: Params, read: fn(&dyn Row) -> Read<T>) -> Self {
        Self { first: First::Content, ..Self::of_user(scope, sql, params, read) }
    }

    /// Of what decides who may do what: `?1` is the user's number. The primary answers.
    pub(crate) fn to_decide(scope: &Scope, sql: &'static str, params: Params, read: fn(&dyn Row) -> Read<T>) -> Self {
        Self { freshness: Freshness::Newest, ..Self::of_user(scope, sql, params, read) }
    }

    /// The same question where the answer decides: the primary answers.
    pub(crate) fn deciding(self) -> Self {
        Self { freshness: Freshness::Newest, ..self }
    }

    /// The same, where `?1` is the first of the parameters.
    pub(crate) fn without_owner(self) -> Self {
        Self { first: First::Own, ..self }
    }

    /// Of what a person is elsewhere, which decides too: `?1` is the first of the parameters. The primary answers.
    pub(crate) fn of_person(scope: &Scope, sql: &'static str, params: Params, read: fn(&dyn Row) -> Read<T>) -> Self {
        let reach = Reach::Person(scope.outside());
        Self { reach, freshness: Freshness::Newest, first: First::Own, sql, params, read }
    }

    /// Of a tenant's vault, which decides too: `?1` is the tenant.
    pub(crate) fn of_tenant(tenant: &TenantId, sql: &'static str, read: fn(&dyn Row) -> Read<T>) -> Self {
        let (reach, params) = (Reach::Tenant(tenant.clone()), super::params![tenant.as_str()]);
        Self { reach, freshness: Freshness::Newest, first: First::Own, sql, params, read }
    }

    /// Of everybody, for an operator: `?1` is the first of the parameters.
    pub(crate) fn of_all(sql: &'static str, params: Params, read: fn(&dyn Row) -> Read<T>) -> Self {
        Self { reach: Reach::All, freshness: Freshness::Recent, first: First::Own, sql, params, read }
    }
}

/// What comes of a row.
type Read<T> = Result<T, StoreError>;

impl<E: Engine> Categories<E> {
    /// All rows. The future is boxed, since the compiler can't see otherwise that it may be sent.
    pub(crate) fn list<T>(&self, operation: &'static str, query: Query<T>) -> BoxFuture<'_, Result<Vec<T>, StoreError>>
    where
        T: Send + 'static,
    {
        let Query { reach, freshness, first, sql, params, read } = query;
        let rows = self.0.read(operation, reach, freshness, params, move |tx, params| {
            async move { tx.query(sql, first.before(tx, params), read).await }.boxed()
        });
        rows.boxed()
    }

    /// The one row that there is, or `None`.
    pub(crate) async fn find<T>(&self, operation: &'static str, query: Query<T>) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
    {
        Ok(self.list(operation, query).await?.into_iter().next())
    }

    /// A page of rows, whose last has the cursor's `key`. The last parameter, which comes after those of the query, is how
    /// many rows to read.
    pub(crate) async fn page<T, K>(
        &self,
        operation: &'static str,
        page: &PageRequest,
        mut query: Query<T>,
        key: impl FnOnce(&T) -> K + Send,
    ) -> Result<Page<T>, StoreError>
    where
        T: Send + 'static,
        K: cursor::Key,
    {
        query.params.push(cursor::rows(page).into());
        Ok(cursor::page(page, self.list(operation, query).await?, key))
    }
}

impl First {
    fn before(self, tx: &dyn Transaction, params: Params) -> Params {
        let number = match self {
            Self::User => tx.owner_no(),
            Self::Content => tx.content_no(),
            Self::Own => return params,
        };
        std::iter::once(number.into()).chain(params).collect()
    }
}

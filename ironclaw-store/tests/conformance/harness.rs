//! The stores that the suite runs against.

mod libsql;
mod pointed;
mod postgres;

use ironclaw_core::Scope;
use ironclaw_core::change::{Change, SettingOp};
use ironclaw_core::conformance::Failure;
use ironclaw_core::id::{OperatorName, SettingKey};
use ironclaw_core::store::{Apply, StoreErrorKind};
use ironclaw_store::{LibsqlStore, Movable, Selection, copy_store};

pub(crate) use libsql::{InMemory, OnDisk};
pub(crate) use postgres::Postgres;

/// Copies a user into an empty store, into the store that they are in, and into one that has another user of the name.
/// Only the first can succeed, if there is such a user.
async fn copies(from: &dyn Movable, scope: &Scope) -> Result<(), Failure> {
    let operator = || OperatorName::parse("conformance");
    let (empty, taken) = (LibsqlStore::in_memory().await?, LibsqlStore::in_memory().await?);
    let change = Change::new().with(SettingOp::Put { key: SettingKey::parse("a")?, value: 1.into() });
    taken.apply(scope, change).await?;
    let what = Selection::User { tenant: scope.tenant().clone(), owner: scope.owner().clone() };
    let whole = copy_store(from, &empty.maintenance(operator()?), &what, |_| {}).await;
    let is_there = !matches!(&whole, Err(error) if *error.kind() == StoreErrorKind::NotFound);
    if is_there {
        whole?;
    }
    for to in [from, &taken.maintenance(operator()?)] {
        if copy_store(from, to, &what, |_| {}).await.is_ok() {
            return Err(Failure::new("a copy succeeded that can't"));
        }
    }
    Ok(())
}

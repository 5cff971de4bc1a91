//! SQL as both engines run it: statements with one spelling, their parameters, rows, and the transaction they run in.

mod engine;
mod owned;
mod param;
mod query;
mod row;
mod standing;
mod transaction;

pub(crate) use engine::{Absent, Categories, Engine, Freshness, Reach, Reading};
pub(crate) use owned::{Owned, Portion, owned};
pub(crate) use param::{Id, Json, Param, Params, params};
pub(crate) use query::Query;
pub(crate) use row::Row;
pub(crate) use standing::Standing;
pub(crate) use transaction::{Take, Transaction};

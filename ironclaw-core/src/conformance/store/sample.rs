use std::collections::BTreeMap;

use super::snapshot::{answers, audit_answers, audit_snapshot, snapshot};
use super::world::World;
use crate::clock::Timestamp;
use crate::conformance::check::Failure;
use crate::scope::Scope;
use crate::store::{Store, StoreError};

/// One row of everything a user can have, each field filled with something of its own: for tests of what moves or keeps
/// a user's data as a whole.
#[derive(Debug, Clone)]
pub struct Sample(World);

impl Sample {
    /// Writes it for the user of `scope`; `now` is about the time of the store's clock.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn write(store: &dyn Store, scope: &Scope, now: Timestamp) -> Result<Self, Failure> {
        let world = World::new(now)?;
        world.seed(store, scope).await?;
        Ok(Self(world))
    }

    /// What each read method says of it within `scope`, printed, by `category::method`.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn read(&self, store: &dyn Store, scope: &Scope) -> Result<BTreeMap<&'static str, String>, Failure> {
        let mut seen = snapshot(store, scope, &self.0).await?;
        seen.extend(audit_snapshot(store, scope).await?);
        Ok(seen)
    }

    /// The same of a store that may be damaged: each method says something or fails.
    ///
    /// # Errors
    /// None that the store gives.
    pub async fn ask(
        &self,
        store: &dyn Store,
        scope: &Scope,
    ) -> Result<BTreeMap<&'static str, Result<String, StoreError>>, Failure> {
        let mut seen = answers(store, scope, &self.0).await?;
        seen.extend(audit_answers(store, scope).await?);
        Ok(seen)
    }
}

//! What changes made invisible is removed after them.

use std::sync::{Arc, PoisonError};

use futures::FutureExt;
use ironclaw_core::Scope;
use ironclaw_core::store::StoreErrorKind;

use super::{Engine, Reach};
use crate::postgres::workspace;

/// How many rows one transaction sweeps: the user's changes wait for one such transaction at most.
const SWEPT_AT_ONCE: u64 = 1_000;

impl Engine {
    /// Removes in the background what changes of a user made invisible, unless that is being done already. What is left
    /// when it fails or the store is closed goes with the next change of this kind, or an operator's scrub.
    pub(in crate::postgres) fn sweep(self: &Arc<Self>, scope: &Scope) {
        let user = (scope.tenant().clone(), scope.owner().clone());
        if !self.sweeping.lock().unwrap_or_else(PoisonError::into_inner).insert(user.clone()) {
            return;
        }
        let (engine, reach) = (Arc::clone(self), Reach::User(scope.clone()));
        self.tasks.spawn_on(
            async move {
                let swept = loop {
                    let step = engine.write("sweep", reach.clone(), true, (), |tx, ()| {
                        async move {
                            let rows = match tx.is_held() {
                                true => 0,
                                false => workspace::sweep_user(tx, tx.owner_no(), SWEPT_AT_ONCE).await?,
                            };
                            // Entering makes a user known. One who was erased meanwhile must not come back by this: a
                            // transaction that removed nothing is rolled back.
                            match rows {
                                0 => Err(tx.error(StoreErrorKind::NotFound, "nothing is left to remove")),
                                _ => Ok(()),
                            }
                        }
                        .boxed()
                    });
                    match step.await {
                        Ok(()) => {}
                        Err(error) if *error.kind() == StoreErrorKind::NotFound => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                engine.sweeping.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
                if let Err(error) = swept
                    && *error.kind() != StoreErrorKind::Closed
                {
                    tracing::warn!(%error, "what is invisible was not removed; the next sweep tries again");
                }
            },
            &self.runtime,
        );
    }
}

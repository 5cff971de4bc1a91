//! Making and dropping indexes over users' vectors.

use std::sync::Arc;

use futures::FutureExt;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::PostgresMaintenance;
use crate::postgres::engine::Lock;
use crate::postgres::indexed::IndexedVectors;
use crate::postgres::workspace::{Step, index_steps};

/// The name that errors, and other operators who wait, are given.
const OPERATION: &str = "index_vectors";

impl PostgresMaintenance {
    /// Makes an index over the vectors of each user who has so many of one embedding model that it is faster than comparing
    /// all, up to [`vector_indexes`](crate::PostgresStoreBuilder::vector_indexes), and drops every other index over vectors,
    /// whoever made it. Writers go on meanwhile, and it waits for transactions that began before it, such as a dump.
    ///
    /// Each user's largest model comes before any user's second, and among those the one with more vectors. An index that
    /// there is stays until another has more than a quarter more vectors, or its own are fewer than four fifths of what
    /// one is made for. Give all operators of a database the same `vector_indexes`: each call makes and drops by its own.
    ///
    /// Without an index all vectors are compared: nothing is missed, but it takes longer the more a user has (some 0.6 ms for
    /// each thousand of 384 dimensions). An index holds one user's rows, so that what others write changes nothing of what is
    /// found through it. Call it when users have got tens of thousands of chunks, or every night: where there is nothing to
    /// do it takes milliseconds.
    ///
    /// One operator makes indexes at a time: a second waits as long as
    /// [`lock_timeout`](crate::PostgresStoreBuilder::lock_timeout) says. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`Busy`](ironclaw_core::store::StoreErrorKind::Busy), with who it is and since when, if another operator makes
    /// them; [`Corrupt`](ironclaw_core::store::StoreErrorKind::Corrupt) if one could not be made of the rows that there
    /// are. Otherwise a [`StoreError`]. An index that fails keeps none of the others; those that were made stay, and what
    /// was left unfinished is made anew next time.
    pub async fn index_vectors(&self) -> Result<IndexedVectors, StoreError> {
        let (maintenance, most) = (self.clone(), self.vector_indexes);
        let work = move |lock: Arc<Lock>| async move {
            let steps = maintenance
                .read(OPERATION, most, |tx, most| async move { index_steps(tx, most).await }.boxed())
                .await?;
            // In the session that keeps others out: two that make indexes of one table wait for each other for ever.
            lock.run_each(OPERATION, steps.iter().filter_map(Step::statement).collect()).await.map_err(explain)?;
            Ok(done(steps))
        };
        self.engine().alone(OPERATION, self.operator(), OPERATION, work).await
    }
}

/// What the server says of a row that no index takes is nothing of the store's own doing.
fn explain(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Internal => {
            let why = "an index could not be made, and all others were: if a user's vectors are damaged, check_integrity \
                       names them";
            StoreError::new(StoreErrorKind::Corrupt, OPERATION, why).with_source(error)
        }
        _ => error,
    }
}

/// What was done when these steps were.
fn done(steps: Vec<Step>) -> IndexedVectors {
    let mut done = IndexedVectors { made: 0, kept: 0, dropped: Vec::new() };
    for step in steps {
        match step {
            Step::Keep => done.kept += 1,
            Step::Drop(dropped) => done.dropped.push(dropped),
            Step::Make(_) => done.made += 1,
        }
    }
    done
}

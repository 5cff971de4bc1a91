//! All chains, verified one after the other.

use std::sync::Arc;

use ironclaw_core::model::audit::{ChainHead, StreamId};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::{SYSTEM_NO, Walk, kept};
use crate::error::broken_chains;
use crate::sql::{Transaction, params};

/// Chains that are being verified, in the order of their owners' numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    /// The chain that is under way, and the last one after it.
    walk: Option<(Walk, StreamId)>,
    last: Option<i64>,
    heads: Vec<ChainHead>,
    broken: Vec<StreamId>,
    /// What is wrong with the first of those.
    first: Option<Arc<StoreError>>,
    /// What is wrong beside whose chain, if that is looked at too.
    beside: Option<Vec<(String, i64)>>,
}

impl Trail {
    /// The same, and what is kept beside each chain is compared with it.
    #[cfg(feature = "postgres")]
    pub(super) fn with_what_is_kept() -> Self {
        Self { beside: Some(Vec::new()), ..Self::default() }
    }

    /// Verifies some more events. Whether that was all. A chain that was changed does not hide the others.
    pub(super) async fn go_on(&mut self, tx: &dyn Transaction) -> Result<bool, StoreError> {
        let (mut walk, stream) = match self.walk.take() {
            Some(walk) => walk,
            None => match self.next(tx).await? {
                Some((owner_no, stream)) => {
                    self.last = Some(owner_no);
                    (Walk::new(owner_no), stream)
                }
                None => return Ok(true),
            },
        };
        match walk.go_on(tx).await {
            Ok(false) => self.walk = Some((walk, stream)),
            Ok(true) => {
                let is_told = |head: &ChainHead| head.sequence > 0 || self.last == Some(SYSTEM_NO);
                self.heads.extend(walk.head().filter(is_told));
                if let Some(beside) = &mut self.beside {
                    let wrong = kept::wrong(&walk, tx).await?;
                    beside.extend(wrong.into_iter().map(|what| (what, walk.owner_no())));
                }
            }
            Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
                self.broken.push(stream);
                self.first.get_or_insert(Arc::new(error));
            }
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    /// The heads of all chains, or the error that names those that were changed.
    pub(super) fn into_heads(self, operation: &'static str) -> Result<Vec<ChainHead>, StoreError> {
        match self.first {
            Some(first) => Err(broken_chains(operation, &self.broken, first)),
            None => Ok(self.heads),
        }
    }

    /// All that is wrong, each with the row that it is of, if it is of one.
    #[cfg(feature = "postgres")]
    pub(super) fn into_wrong(self, operation: &'static str) -> Vec<(String, Option<String>)> {
        let broken = self.first.map(|first| broken_chains(operation, &self.broken, first));
        let broken = broken.map(|error| (format!("audit_events: {}", error.context()), None));
        let beside = self.beside.into_iter().flatten().map(|(what, owner_no)| (what, Some(owner_no.to_string())));
        broken.into_iter().chain(beside).collect()
    }

    async fn next(&self, tx: &dyn Transaction) -> Result<Option<(i64, StreamId)>, StoreError> {
        let sql = "SELECT owner_no, stream FROM ironclaw.audit_streams WHERE owner_no > ?1 ORDER BY owner_no LIMIT 1";
        tx.query_row(sql, params![self.last.unwrap_or(-1)], |row| Ok((row.i64(0)?, StreamId(row.bytes(1)?)))).await
    }
}

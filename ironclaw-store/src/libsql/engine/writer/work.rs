//! What the writer is asked for.

use std::sync::Arc;
use std::time::Instant;

use ironclaw_core::Receipt;
use ironclaw_core::store::StoreError;
use tokio::sync::oneshot;

use crate::error::repeat_for;
use crate::libsql::db::Db;
use crate::libsql::engine::session::{Session, Taken};
use crate::prepared::Prepared;

/// What the writer is asked for.
pub(in crate::libsql::engine) enum Work {
    /// To apply a change.
    Change(AskedChange),
    /// To run a call between changes.
    Call(AskedCall),
    /// To move the log into the file.
    EmptyLog(AskedLog),
}

/// What was asked, and until when it may wait for another process's lock.
pub(in crate::libsql::engine) struct Asked {
    pub(in crate::libsql::engine) operation: &'static str,
    pub(in crate::libsql::engine) until: Instant,
    pub(in crate::libsql::engine) _taken: Taken,
}

/// A change, of one opening.
pub(in crate::libsql::engine) struct AskedChange {
    pub(in crate::libsql::engine) change: Box<Prepared>,
    pub(in crate::libsql::engine) session: Arc<Session>,
    pub(in crate::libsql::engine) asked: Asked,
    pub(in crate::libsql::engine) reply: oneshot::Sender<Result<Receipt, StoreError>>,
}

/// What is run on the connection that writes, or told why not.
pub(in crate::libsql::engine) type WriteCall = Box<dyn FnOnce(Result<&Db, StoreError>) + Send>;

/// A call that answers its caller by itself: also that it could not be run.
pub(in crate::libsql::engine) struct AskedCall {
    pub(in crate::libsql::engine) call: WriteCall,
    /// Whether it only deletes, and may use the reserve.
    pub(in crate::libsql::engine) deletes: bool,
    pub(in crate::libsql::engine) asked: Asked,
}

/// Whether the log was emptied is the answer.
pub(in crate::libsql::engine) struct AskedLog {
    pub(in crate::libsql::engine) asked: Asked,
    pub(in crate::libsql::engine) reply: oneshot::Sender<Result<bool, StoreError>>,
}

/// Whoever waits for the write lock. A caller that has gone when it is answered is no error.
pub(super) trait Waits {
    fn asked(&self) -> &Asked;

    /// Answers that the lock could not be had.
    fn refuse(self, error: &StoreError);
}

impl Waits for AskedChange {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn refuse(self, error: &StoreError) {
        let _ = self.reply.send(Err(repeat_for(self.asked.operation, error)));
    }
}

impl Waits for AskedCall {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn refuse(self, error: &StoreError) {
        (self.call)(Err(repeat_for(self.asked.operation, error)));
    }
}

impl Waits for AskedLog {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn refuse(self, error: &StoreError) {
        let _ = self.reply.send(Err(repeat_for(self.asked.operation, error)));
    }
}

impl Waits for Work {
    fn asked(&self) -> &Asked {
        match self {
            Self::Change(asked) => asked.asked(),
            Self::Call(asked) => asked.asked(),
            Self::EmptyLog(asked) => asked.asked(),
        }
    }

    fn refuse(self, error: &StoreError) {
        match self {
            Self::Change(asked) => asked.refuse(error),
            Self::Call(asked) => asked.refuse(error),
            Self::EmptyLog(asked) => asked.refuse(error),
        }
    }
}

//! What became of the indexes over users' vectors.

use std::fmt;

/// What [`index_vectors`](crate::PostgresMaintenance::index_vectors) did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexedVectors {
    /// How many indexes were made.
    pub made: u64,
    /// How many there were already, and stay.
    pub kept: u64,
    /// Those that were dropped. If some are [`BeyondLimit`](DropReason::BeyondLimit) run after run, and others are made,
    /// operators with different [`vector_indexes`](crate::PostgresStoreBuilder::vector_indexes) undo each other's work.
    pub dropped: Vec<DroppedIndex>,
}

/// An index over vectors that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedIndex {
    /// Its name.
    pub name: String,
    /// Why it was dropped.
    pub reason: DropReason,
}

/// Why an index over vectors was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// It was left unfinished. If its user is to have one, it was made anew.
    Unfinished,
    /// It is not such as [`index_vectors`](crate::PostgresMaintenance::index_vectors) makes: somebody made or changed it by hand.
    Foreign,
    /// Its user has too few vectors of the model by now, or is gone.
    TooFew,
    /// Others come first, and there may be no more than `limit`
    /// ([`vector_indexes`](crate::PostgresStoreBuilder::vector_indexes)).
    BeyondLimit {
        /// How many there may be.
        limit: u32,
    },
}

impl fmt::Display for DroppedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("it was left unfinished"),
            Self::Foreign => f.write_str("it is not such as index_vectors makes"),
            Self::TooFew => f.write_str("its user has too few vectors of the model, or is gone"),
            Self::BeyondLimit { limit } => write!(f, "others come first, and vector_indexes allows {limit}"),
        }
    }
}

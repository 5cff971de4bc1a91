//! What a store does for a copy.

use std::collections::BTreeSet;

use async_trait::async_trait;
use ironclaw_core::Owner;
use ironclaw_core::id::TenantId;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::audit::AuditRecord;
use ironclaw_core::search::Terms;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use tokio::sync::mpsc::Sender;

use super::table::{OF_USER, Row, SHARED, Table, Value};
use super::{COPY, Selection};
use crate::codes::user_status_code;
use crate::reserved::STAGED;

/// Whose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A user's, by the number that the store knows them by; 0 is the operators' chain.
    Owner(i64),
    /// What is nobody's.
    Shared,
}

impl Unit {
    /// Its tables, in the order in which they are read and written.
    pub(crate) fn tables(self) -> &'static [Table] {
        match self {
            Self::Owner(_) => OF_USER,
            Self::Shared => SHARED,
        }
    }
}

/// Rows of one table, in order.
#[derive(Debug)]
pub struct Batch {
    /// The table's place among its unit's.
    pub table: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

/// An audit chain and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The number that the store knows its owner by.
    pub owner_no: i64,
    /// Its id, the same in each copy.
    pub stream: [u8; 16],
    /// How many events it has.
    pub sequence: u64,
    /// The last one's hash.
    pub hash: [u8; 32],
    /// The user; `None` if they were erased, and for the operators' chain.
    pub identity: Option<Identity>,
    /// Whether what was forgotten or erased of it is being removed.
    pub is_removed_from: bool,
}

impl Chain {
    pub(crate) fn is_system(&self) -> bool {
        self.owner_no == 0
    }

    /// Whether it is a space's.
    pub(crate) fn is_space(&self) -> bool {
        self.identity.as_ref().is_some_and(|owner| matches!(Owner::from_key(&owner.owner), Ok(Owner::Space(_))))
    }

    /// Whether it is an unfinished copy's.
    pub(crate) fn is_staged(&self) -> bool {
        self.identity.as_ref().is_some_and(|user| user.tenant == STAGED)
    }
}

/// The row of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub owner: String,
    /// The status's code.
    pub status: i64,
    /// Who the user is in the audit trail.
    pub pseudonym: [u8; 16],
    /// When the user was made, in microseconds since 1970.
    pub created_at: i64,
    /// When the status or the roles were set last.
    pub updated_at: i64,
}

/// Whom a space names or tells of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Those who have a chain, by its id.
    pub known: BTreeSet<[u8; 16]>,
    /// The keys of those who never wrote anything.
    pub unknown: BTreeSet<String>,
}

/// Which chains.
#[derive(Debug, Clone)]
pub enum Which {
    /// All.
    All,
    /// The one with this id.
    Stream([u8; 16]),
    /// The one of the user of this tenant and name.
    Named(String, String),
}

impl Which {
    /// The one of this user.
    pub(crate) fn named(tenant: &TenantId, owner: &Owner) -> Self {
        Self::Named(tenant.as_str().to_owned(), owner.key().into_owned())
    }
}

/// Rows with what was prepared for the index of words.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The table's place among its unit's.
    pub table: usize,
    /// The rows.
    pub rows: Vec<Row>,
    /// The terms of each row's texts.
    pub terms: Vec<Vec<Terms>>,
}

/// What a tenant lacks for a user who comes to it, and the events that say so.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// Rows of shared tables, each with its table's place.
    pub rows: Vec<(usize, Vec<Row>)>,
    /// What the operators' chain says of it.
    pub records: Vec<AuditRecord>,
}

/// A store as a copy sees it.
#[async_trait]
pub trait End: Send + Sync {
    /// Keeps others from copying the same to this store until what is given is dropped: they wait for a while, and are told
    /// then who copies. A store that knows of nobody else keeps nobody off: two copies end with one whole user all the same.
    async fn alone(&self, what: &Selection) -> Result<Box<dyn Send>, StoreError>;

    /// Some chains, by their owners' numbers.
    async fn chains(&self, which: Which) -> Result<Vec<Chain>, StoreError>;

    /// The hash of one event.
    async fn event_hash(&self, owner_no: i64, sequence: u64) -> Result<Option<[u8; 32]>, StoreError>;

    /// Appends an event to the operators' chain. It must not name the user whom it is about if they were erased in the
    /// meantime.
    async fn record(&self, record: AuditRecord, about: Option<i64>) -> Result<(), StoreError>;

    /// Sends all rows of some of a unit's tables, of one snapshot, table by table. It ends early, and well, when nobody
    /// listens.
    async fn stream(&self, unit: Unit, tables: Vec<usize>, to: Sender<Batch>) -> Result<(), StoreError>;

    /// Makes a hidden owner for the chain of this id: its number. Of a space, nothing is added to it once somebody is erased
    /// here.
    async fn stage(&self, stream: [u8; 16], is_space: bool) -> Result<i64, StoreError>;

    /// How many rows of each of the unit's tables need not be written any more.
    async fn counts(&self, unit: Unit) -> Result<Vec<u64>, StoreError>;

    /// Writes rows, which follow those that are there, in one transaction. Their owner must be hidden.
    async fn put(&self, unit: Unit, new: Prepared) -> Result<(), StoreError>;

    /// Writes what a tenant lacks, in one transaction.
    async fn adopt(&self, adoption: Adoption) -> Result<(), StoreError>;

    /// Fails unless those whom a space of this tenant names are here, the same.
    async fn check_named(&self, tenant: String, named: Named) -> Result<(), StoreError>;

    /// Makes what is derived, and makes the hidden owner the user; without an identity only the chain stays. Of a space
    /// those whom it names must be here, the same.
    async fn finish(
        &self,
        owner_no: i64,
        identity: Option<Identity>,
        named: Named,
        arrival: Option<AuditRecord>,
    ) -> Result<(), StoreError>;

    /// Deletes a hidden owner with all rows. How many.
    async fn discard(&self, owner_no: i64, record: Option<AuditRecord>) -> Result<u64, StoreError>;
}

/// Says that the owner is not hidden any more.
pub(crate) fn not_staged() -> StoreError {
    let context = "another copy of the same user was finished or discarded meanwhile; copy again";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// Says that somebody was erased here while a space was on its way.
pub(crate) fn stopped() -> StoreError {
    let context = "somebody was erased in the target meanwhile, whom the space may name; copy again";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// The status of a hidden owner: with the first, those who are erased stop the copy.
pub(crate) fn staged_status(is_space: bool) -> i64 {
    user_status_code(if is_space { UserStatus::Active } else { UserStatus::Suspended })
}

/// How many bytes a batch has at most, but for its last row.
const BATCH_BYTES: usize = 1 << 20;

/// How many rows a batch has at most.
const BATCH_ROWS: usize = 1_000;

/// Collects the rows of a table to batches.
pub(crate) struct Batches {
    table: usize,
    rows: Vec<Row>,
    bytes: usize,
}

impl Batches {
    pub(crate) fn new(table: usize) -> Self {
        Self { table, rows: Vec::new(), bytes: 0 }
    }

    /// Adds a row. A batch that is full.
    pub(crate) fn add(&mut self, row: Row) -> Option<Batch> {
        self.bytes += row.iter().map(Value::size).sum::<usize>();
        self.rows.push(row);
        if self.bytes >= BATCH_BYTES || self.rows.len() >= BATCH_ROWS { self.rest() } else { None }
    }

    /// What is not in a batch yet.
    pub(crate) fn rest(&mut self) -> Option<Batch> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        (!rows.is_empty()).then_some(Batch { table: self.table, rows })
    }
}

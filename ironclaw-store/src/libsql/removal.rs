//! What is hidden and not yet removed: a row of `removals` says what, and how far it is.

use ironclaw_core::Timestamp;
use ironclaw_core::change::{ConversationOp, JobOp, Operation, PrivacyOp};
use ironclaw_core::store::StoreError;

use super::db::Db;
use super::row::{Row, params};
use crate::prepared::PreparedEvent;

/// What an operation of a user's removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// All content, and private parts of events.
    All,
    /// The conversation or the job of this id.
    One([u8; 16]),
}

impl Removed {
    /// By this operation, if it removes anything.
    pub(super) fn by(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Conversations(ConversationOp::Delete { id }) => Some(Self::One(*id.as_bytes())),
            Operation::Jobs(JobOp::Delete { job }) => Some(Self::One(*job.as_bytes())),
            Operation::Privacy(PrivacyOp::Forget) => Some(Self::All),
            _ => None,
        }
    }
}

/// What is removed. The numbers stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All content under a number, and private parts of the user's events.
    Forget = 1,
    /// A user.
    Erase = 2,
    Conversation = 3,
    Job = 4,
}

impl Kind {
    pub(super) fn code(self) -> i64 {
        self as i64
    }

    fn from_code(code: i64) -> Option<Self> {
        [Self::Forget, Self::Erase, Self::Conversation, Self::Job].into_iter().find(|kind| kind.code() == code)
    }
}

/// A removal and how far it is.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) kind: Kind,
    pub(super) owner_no: i64,
    pub(super) content_no: i64,
    pub(super) id: Option<[u8; 16]>,
    /// Up to which private parts of the user's events go, and up to which they are gone.
    pub(super) last_event: u64,
    pub(super) position: u64,
    /// With a term, the position is that in the user's whole index of words, which is gone through first.
    pub(super) term: Option<String>,
    /// How many rows are gone.
    pub(super) rows: u64,
}

impl Removal {
    /// One that has not begun.
    pub(super) fn new(kind: Kind, (owner_no, content_no): (i64, i64), id: Option<[u8; 16]>) -> Self {
        Self { kind, owner_no, content_no, id, last_event: 0, position: 0, term: None, rows: 0 }
    }

    /// Keeps what is not gone yet for later steps, which hides it. The removal's number.
    pub(super) fn keep(&self, db: &Db, now: Timestamp) -> Result<i64, StoreError> {
        db.execute(
            "INSERT INTO removals (kind, owner_no, content_no, id, last_event, position, rows, begun_at, term) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                self.kind.code(),
                self.owner_no,
                self.content_no,
                self.id.as_ref().map(<[u8; 16]>::as_slice),
                self.last_event,
                self.position,
                self.rows,
                now,
                self.term.as_deref()
            ],
        )?;
        tracing::debug!(kind = ?self.kind, "hidden, to be removed");
        Ok(db.last_insert_rowid())
    }
}

/// Says what tells of a forgetting when it is complete: the event, and the receipt with the number's place in it.
pub(super) fn promise(
    db: &Db,
    removal_no: i64,
    event: Option<&PreparedEvent>,
    receipt: Option<&str>,
    place: usize,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE removals SET salt = ?2, private = ?3, receipt = ?4, place = ?5 WHERE removal_no = ?1",
        params![
            removal_no,
            event.map(|event| event.salt.as_slice()),
            event.map(|event| event.private.as_slice()),
            receipt,
            place as u64
        ],
    )
    .map(drop)
}

/// Says who erased the user and of which tenant, for the event that tells of it when it is complete.
pub(super) fn promise_erasure(db: &Db, removal_no: i64, operator: &str, tenant: &str) -> Result<(), StoreError> {
    db.execute(
        "UPDATE removals SET operator = ?2, tenant = ?3 WHERE removal_no = ?1",
        params![removal_no, operator, tenant],
    )
    .map(drop)
}

/// The removal that nothing stops which comes after the one with this number: in turns, so that a large one does not keep a
/// small one waiting. A user is erased after what was begun before it.
pub(super) fn next(db: &Db, after: i64) -> Result<Option<(i64, Removal)>, StoreError> {
    db.query_row(
        "SELECT removal_no, kind, owner_no, content_no, id, last_event, position, rows, term FROM removals r WHERE NOT EXISTS \
         (SELECT 1 FROM holds h WHERE h.owner_no = r.owner_no AND h.released_at IS NULL) \
         AND NOT (kind = 2 AND EXISTS \
         (SELECT 1 FROM removals o WHERE o.owner_no = r.owner_no AND o.removal_no < r.removal_no)) \
         ORDER BY removal_no <= ?1, removal_no LIMIT 1",
        params![after],
        |row| {
            let removal = Removal {
                kind: row.code(1, Kind::from_code)?,
                owner_no: row.i64(2)?,
                content_no: row.i64(3)?,
                id: row.optional(4, Row::bytes)?,
                last_event: row.u64(5)?,
                position: row.u64(6)?,
                rows: row.u64(7)?,
                term: row.optional(8, Row::text)?,
            };
            Ok((row.i64(0)?, removal))
        },
    )
}

/// Keeps how far a removal is.
pub(super) fn go_on(db: &Db, removal_no: i64, removal: &Removal) -> Result<(), StoreError> {
    db.execute(
        "UPDATE removals SET position = ?2, rows = ?3, term = ?4 WHERE removal_no = ?1",
        params![removal_no, removal.position, removal.rows, removal.term.as_deref()],
    )
    .map(drop)
}

/// Up to which event the user's private parts are being forgotten; 0 if none are.
pub(super) fn forgotten_until(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let last = db.number(
        "SELECT coalesce(max(last_event), 0) FROM removals WHERE owner_no = ?1 AND kind = 1",
        params![owner_no],
    )?;
    Ok(last.cast_unsigned())
}

/// What an integrity check says of removals that are not complete.
pub(super) fn unfinished(db: &Db) -> Result<Option<String>, StoreError> {
    let removals = db.number("SELECT count(*) FROM removals", params![])?;
    Ok((removals > 0).then(|| {
        format!(
            "removals: {removals} are not complete: they go on while the store is open and no legal hold stands; what \
             else is found may be theirs"
        )
    }))
}

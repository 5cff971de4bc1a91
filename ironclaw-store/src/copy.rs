//! Moving house: all that a user has, or a whole store, from one store to another.

use ironclaw_core::Owner;
use ironclaw_core::id::TenantId;
use ironclaw_core::model::audit::{Action, AuditRecord, Outcome, SubjectKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use self::end::{End, Which};
use self::run::Copy;
use crate::cursor::hex;
use crate::error::{code, is_of_the_change};

pub(crate) mod digest;
pub(crate) mod end;
pub(crate) mod named;
pub(crate) mod rows;
mod run;
pub(crate) mod table;

/// The name that errors give to [`copy_store`].
pub(crate) const COPY: &str = "copy_store";

/// A store that data can be copied from and to: the admin plane of each store of this crate.
///
/// It can't be implemented elsewhere.
pub trait Movable: End {}

impl<T: End> Movable for T {}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// Everything: all tenants and users, the chains of users who were erased, the operators' chain. The target must
    /// have nothing of its own.
    Everything,
    /// One user or space with all they have; what a user is in spaces belongs to those. A space takes its members along by
    /// name: copy first those who wrote anything, each whole. The user's roles and the tenant's vault come along if the target's tenant has none
    /// of that name; a target with another vault is refused, as it could not open the user's secrets.
    User {
        /// The user's tenant.
        tenant: TenantId,
        /// The user or the space.
        owner: Owner,
    },
}

/// What was copied and compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// How many users.
    pub users: u64,
    /// For each table that had rows: how many, and their hash, which was the same in both stores.
    pub tables: Vec<CopiedTable>,
}

/// What was copied of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedTable {
    /// The table's name.
    pub name: &'static str,
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over the rows of each user, one after the other.
    pub sha256: [u8; 32],
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// How many users are finished.
    pub users_done: u64,
    /// How many there are.
    pub users: u64,
    /// How many rows were read so far, of all users.
    pub rows: u64,
}

/// Copies a user or everything from one store to another, in any direction, and compares both at the end.
///
/// Rows stream in batches of about a mebibyte, so that memory stays bounded, and arrive under a name that nobody can
/// use; a user appears in the target in one step, whole, when the counts and hashes of all tables are the same in both
/// stores. The audit chain comes along as it is and still verifies. What is derived (indexes of words, statistics) is
/// made anew; versions of files that were replaced or deleted are left behind, unless a legal hold keeps them.
///
/// A copy that was broken off, by a kill too, goes on where it was when it is asked for again. The source stays as it
/// is: erase the user there when the copy is what you want. Stop writing to the source first, or suspend the user: a
/// user who changes while they are read is read anew, three times at most.
///
/// Of two who copy the same to one PostgreSQL database, the second waits for the first; if that takes longer than a
/// change waits, with [`Busy`](StoreErrorKind::Busy), which says who copies.
///
/// Before anything leaves, the source's operators' chain tells of the copy, and then of its failure; what arrives is in
/// the target's.
///
/// # Errors
/// [`NotFound`](StoreErrorKind::NotFound) if the source has no such user.
/// [`AlreadyExists`](StoreErrorKind::AlreadyExists) if the target has another user of that name or, for everything, data
/// of its own. [`Conflict`](StoreErrorKind::Conflict) if the source goes on changing, the user is in both stores and one of
/// them went on, the user was erased in the target, or the target has another vault.
/// [`InvalidInput`](StoreErrorKind::InvalidInput) on `to` if both are the same store. [`Busy`](StoreErrorKind::Busy) while
/// what was forgotten or erased is still being removed from the source. [`Corrupt`](StoreErrorKind::Corrupt) if the target
/// does not give back what was written to it. Otherwise what either store does not allow. After each of them nothing of an unfinished user is visible in the target.
pub async fn copy_store(
    from: &dyn Movable,
    to: &dyn Movable,
    what: &Selection,
    progress: impl FnMut(CopyProgress) + Send,
) -> Result<Copied, StoreError> {
    let _alone = to.alone(what).await?;
    let mut copy = Copy::new(from, to, progress);
    let done = match what {
        Selection::Everything => copy.everything().await,
        Selection::User { tenant, owner } => copy.user(tenant, owner).await,
    };
    if let Err(error) = &done
        && is_of_the_change(error)
    {
        let chain = match what {
            Selection::User { tenant, owner } => from.chains(Which::named(tenant, owner)).await?.pop(),
            Selection::Everything => None,
        };
        let record = record(Action::UserCopyOut, Action::StoreCopy, what, chain.as_ref().map(|chain| chain.stream));
        let about = chain.map(|chain| chain.owner_no);
        from.record(record.with_outcome(Outcome::Failed).detail("error", code(error.kind())), about).await?;
    }
    done?;
    Ok(copy.finish())
}

/// Deletes what unfinished copies left in a store, which its operators' chain tells of. How many rows.
///
/// # Errors
/// A [`StoreError`] of the store; what was not deleted stays hidden, and goes with the next call.
/// [`Conflict`](StoreErrorKind::Conflict) if a copy that was under way is finished at the same moment.
pub async fn discard_unfinished_copies(store: &dyn Movable) -> Result<u64, StoreError> {
    let mut rows = 0;
    for chain in store.chains(Which::All).await? {
        if chain.is_staged() {
            let record = AuditRecord::new(Action::CopyDiscard).on(SubjectKind::Stream, chain.stream);
            rows += store.discard(chain.owner_no, Some(record)).await?;
        }
    }
    Ok(rows)
}

/// What the operators' chain says of a copy. A user is named only while they have a chain there: what names them is
/// deleted when they are erased.
pub(crate) fn record(of_user: Action, of_store: Action, what: &Selection, stream: Option<[u8; 16]>) -> AuditRecord {
    let record = match what {
        Selection::Everything => AuditRecord::new(of_store),
        Selection::User { tenant, owner } => {
            let record = AuditRecord::new(of_user).detail("tenant", tenant.as_str());
            if stream.is_some() { record.detail(owner.kind(), owner.name()) } else { record }
        }
    };
    match stream {
        Some(stream) => record.on(SubjectKind::Stream, stream),
        None => record,
    }
}

/// The same event of a user who was erased in the meantime.
pub(crate) fn unnamed(mut record: AuditRecord) -> AuditRecord {
    record.details.retain(|name, _| name != Owner::USER && name != Owner::SPACE);
    record
}

/// The name under which an unfinished copy is kept, beside the tenant [`STAGED`](crate::reserved::STAGED).
pub(crate) fn staged_name(stream: &[u8; 16]) -> String {
    hex(stream)
}

/// What an integrity check says of unfinished copies, of which there are so many.
pub(crate) fn unfinished(staged: i64) -> Option<String> {
    (staged > 0).then(|| {
        format!(
            "users: {staged} unfinished copies, which nobody sees: copy the same again, which goes on with them, or call \
             discard_unfinished_copies; what else is found may be theirs"
        )
    })
}

/// The pseudonym of what is being copied, as long as it may go on.
pub(crate) const OPEN: [u8; 16] = [0; 16];

/// The same of a space that was on its way when somebody was erased, whom it may name: nothing is added to it any more.
pub(crate) const STOPPED: [u8; 16] = [1; 16];

/// Says that the source did not stay as it was for long enough.
pub(crate) fn changed() -> StoreError {
    let context = "the source changed while it was copied: stop writing to it, or suspend the user, and copy again";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// Says that what is hidden already would come along, and with it whom it names.
pub(crate) fn removing() -> StoreError {
    let context = "what was forgotten or erased in the source is still being removed, or waits for a hold to be released: copy \
                   again when check_integrity tells of no removals";
    StoreError::new(StoreErrorKind::Busy, COPY, context)
}

/// Says that two complete copies of one user differ.
pub(crate) fn apart() -> StoreError {
    let context = "the user is in both stores, and one of them went on: erase the one that you do not want";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// Whoever was erased does not come back by a copy, whoever asks for it.
pub(crate) fn erased() -> StoreError {
    let context = "the user was erased in the target, and does not come back there: copy into another store";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// Says that the target has another user of this name.
pub(crate) fn taken() -> StoreError {
    let context = "the target has another user of this name: erase that one, or use another tenant";
    StoreError::new(StoreErrorKind::AlreadyExists, COPY, context)
}

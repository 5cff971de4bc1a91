//! Moving house: all that a user has, or a whole store, from one store to another.

use std::collections::{HashMap, HashSet};

use ironclaw_core::id::{TenantId, UserId};
use ironclaw_core::model::audit::{Action, AuditRecord, SubjectKind};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use tokio::sync::mpsc;

use self::digest::TableDigest;
use self::end::{Batch, Chain, End, Identity, Unit};
use self::table::{Row, Table, Value};
use crate::cursor::hex;

pub(crate) mod digest;
pub(crate) mod end;
pub(crate) mod rows;
pub(crate) mod table;

/// The name that errors give to [`copy_store`].
pub(crate) const COPY: &str = "copy_store";

/// An unfinished copy is kept under a tenant that no id can name, so that nobody meets it, and under its chain's id.
pub(crate) const STAGED: &str = "\u{1}copy";

/// How many batches may wait for whoever writes them.
const WAITING: usize = 2;

/// A store that data can be copied from and to: the admin plane of each store of this crate.
///
/// It can't be implemented elsewhere.
pub trait Movable: End {}

impl<T: End> Movable for T {}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything: all tenants and users, the chains of users who were erased, the operators' chain. The target must
    /// have nothing of its own.
    Everything,
    /// One user with all they have. The user's roles and the tenant's vault come along if the target's tenant has none
    /// of that name; a target with another vault is refused, as it could not open the user's secrets.
    User {
        /// The user's tenant.
        tenant: TenantId,
        /// The user.
        owner: UserId,
    },
}

/// What was copied and compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many users.
    pub users: u64,
    /// For each table that had rows: how many, and their hash, which was the same in both stores.
    pub tables: Vec<CopiedTable>,
}

/// What was copied of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
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
/// made anew; versions of files that were replaced or deleted are left behind.
///
/// A copy that was broken off, by a kill too, goes on where it was when it is asked for again. The source stays as it
/// is: erase the user there when the copy is what you want. Stop writing to the source first, or suspend the user:
/// what is written there meanwhile makes the copy fail at the end.
///
/// Before anything leaves, the source's operators' chain tells of the copy; for one user the target's does, too.
///
/// # Errors
/// [`NotFound`](StoreErrorKind::NotFound) if the source has no such user.
/// [`AlreadyExists`](StoreErrorKind::AlreadyExists) if the target has another user of that name or, for everything, data
/// of its own. [`Conflict`](StoreErrorKind::Conflict) if the source changed meanwhile, or the target has another vault.
/// [`Corrupt`](StoreErrorKind::Corrupt) if the target does not give back what was written to it. Otherwise what either
/// store does not allow. After each of them nothing of an unfinished user is visible in the target.
pub async fn copy_store(
    from: &dyn Movable,
    to: &dyn Movable,
    what: &Selection,
    progress: impl FnMut(CopyProgress) + Send,
) -> Result<Copied, StoreError> {
    let mut copy = Copy { from, to, totals: Totals::default(), users: (0, 0), rows: 0, progress };
    match what {
        Selection::Everything => copy.everything().await?,
        Selection::User { tenant, owner } => copy.user(tenant, owner).await?,
    }
    Ok(copy.totals.finish(copy.users.0))
}

/// Deletes what unfinished copies left in a store. How many rows.
///
/// # Errors
/// A [`StoreError`] of the store; what was not deleted stays hidden, and goes with the next call.
pub async fn discard_unfinished_copies(store: &dyn Movable) -> Result<u64, StoreError> {
    let mut rows = 0;
    for chain in store.chains().await? {
        if chain.identity.as_ref().is_some_and(Identity::is_staged) {
            rows += store.discard(chain.owner_no).await?;
        }
    }
    Ok(rows)
}

struct Copy<'a, F> {
    from: &'a dyn Movable,
    to: &'a dyn Movable,
    totals: Totals,
    /// Finished, and all.
    users: (u64, u64),
    rows: u64,
    progress: F,
}

impl<F: FnMut(CopyProgress) + Send> Copy<'_, F> {
    async fn everything(&mut self) -> Result<(), StoreError> {
        self.check_target_is_ours().await?;
        self.from.record(AuditRecord::new(Action::StoreCopy), None).await?;
        let (system, chains): (Vec<Chain>, Vec<Chain>) =
            visible(self.from.chains().await?).into_iter().partition(Chain::is_system);
        self.users.1 = chains.iter().filter(|chain| chain.identity.is_some()).count() as u64;
        for chain in &chains {
            self.chain(chain, None).await?;
        }
        self.unit(Unit::Shared, Unit::Shared, true).await?;
        for chain in &system {
            self.unit(Unit::Owner(chain.owner_no), Unit::Owner(chain.owner_no), true).await?;
        }
        let heads = |chains: Vec<Chain>| -> HashSet<([u8; 16], u64, [u8; 32])> {
            visible(chains).iter().map(|chain| (chain.stream, chain.sequence, chain.hash)).collect()
        };
        match heads(self.from.chains().await?) == heads(self.to.chains().await?) {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    async fn user(&mut self, tenant: &TenantId, owner: &UserId) -> Result<(), StoreError> {
        let chain = self.find(tenant, owner).await?;
        if let Some(other) = named(&self.to.chains().await?, tenant, owner)
            && other.stream != chain.stream
        {
            return Err(taken());
        }
        self.users.1 = 1;
        let record = |action| {
            AuditRecord::new(action)
                .on(SubjectKind::Stream, chain.stream)
                .detail("tenant", tenant.as_str())
                .detail("user", owner.as_str())
        };
        self.from.record(record(Action::UserCopyOut), Some(chain.owner_no)).await?;
        self.adopt(tenant, chain.owner_no).await?;
        self.chain(&chain, Some(record(Action::UserCopyIn))).await?;
        let now = self.find(tenant, owner).await?;
        match (now.sequence, now.hash) == (chain.sequence, chain.hash) {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    async fn find(&self, tenant: &TenantId, owner: &UserId) -> Result<Chain, StoreError> {
        let found = named(&self.from.chains().await?, tenant, owner).cloned();
        found.ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, COPY, "the user, in the store to copy from"))
    }

    /// Refuses a target that has what does not come from the source, before anything is written to it.
    async fn check_target_is_ours(&self) -> Result<(), StoreError> {
        let refused = |context: &str| Err(StoreError::new(StoreErrorKind::AlreadyExists, COPY, context.to_owned()));
        let source: HashMap<[u8; 16], Chain> =
            self.from.chains().await?.into_iter().map(|chain| (chain.stream, chain)).collect();
        for chain in visible(self.to.chains().await?) {
            let Some(original) = source.get(&chain.stream) else {
                return refused("the target has users of its own: copy user by user");
            };
            // Its chain must be the beginning of the source's.
            let at_head = match chain.sequence {
                0 => Some([0; 32]),
                sequence => self.from.event_hash(original.owner_no, sequence).await?,
            };
            if at_head != Some(chain.hash) {
                return refused("the target went on by itself: copy user by user, or into an empty store");
            }
        }
        let (ours, theirs) = (collect(self.from, Unit::Shared).await?, collect(self.to, Unit::Shared).await?);
        for (table, rows) in theirs.iter().enumerate() {
            if !ours[table].starts_with(rows) {
                return refused("the target has roles, a vault or policies of its own: copy user by user");
            }
        }
        Ok(())
    }

    /// Gives the target's tenant what a user needs of the source's: the roles that it has not, and the vault.
    async fn adopt(&self, tenant: &TenantId, owner_no: i64) -> Result<(), StoreError> {
        let roles_held: HashSet<String> = {
            let rows = collect(self.from, Unit::Owner(owner_no)).await?.swap_remove(0);
            rows.into_iter().flatten().filter_map(|value| value.text().ok()).collect()
        };
        let own = |row: &Row| matches!(row.first(), Some(Value::Text(text)) if text == tenant.as_str());
        let (source, target) = (collect(self.from, Unit::Shared).await?, collect(self.to, Unit::Shared).await?);
        let of_tenant = |tables: &[Vec<Row>], table: usize| -> Vec<Row> {
            tables[table].iter().filter(|row| own(row)).cloned().collect()
        };
        let (ours, theirs) = (of_tenant(&source, ROLES), of_tenant(&target, ROLES));
        let known: HashSet<&Value> = theirs.iter().filter_map(|row| row.get(1)).collect();
        let missing = ours.into_iter().filter(
            |row| matches!(row.get(1), Some(name @ Value::Text(text)) if roles_held.contains(text) && !known.contains(name)),
        );
        self.to.put(Unit::Shared, ROLES, missing.collect()).await?;
        let (ours, theirs) = (of_tenant(&source, VAULT), of_tenant(&target, VAULT));
        if theirs.is_empty() {
            let known = of_tenant(&target, WRAPS);
            let wraps = of_tenant(&source, WRAPS).into_iter().filter(|wrap| !known.contains(wrap));
            self.to.put(Unit::Shared, WRAPS, wraps.collect()).await?;
            return self.to.put(Unit::Shared, VAULT, ours).await;
        }
        // Everything but when it was made. A user without a vault's key in the source needs none.
        let same = |a: &Row, b: &Row| a[..a.len() - 1] == b[..b.len() - 1];
        match ours.iter().all(|header| theirs.iter().any(|other| same(header, other))) {
            true => Ok(()),
            false => Err(StoreError::new(
                StoreErrorKind::Conflict,
                COPY,
                "the target's tenant has another vault, which can't open this user's secrets: use another tenant or store",
            )),
        }
    }

    /// Copies all of one chain: a user's, or what is left of an erased one's. `arrival` is what the target's operators'
    /// chain says of it.
    async fn chain(&mut self, chain: &Chain, arrival: Option<AuditRecord>) -> Result<(), StoreError> {
        let from = Unit::Owner(chain.owner_no);
        loop {
            let known = self.to.chains().await?.into_iter().find(|known| known.stream == chain.stream);
            let is_there =
                known.as_ref().is_some_and(|known| !known.identity.as_ref().is_some_and(Identity::is_staged));
            let owner_no = match known {
                Some(known) => known.owner_no,
                None => self.to.stage(chain.stream).await?,
            };
            // A user who is there is in use: nothing is written, only compared.
            match self.unit(from, Unit::Owner(owner_no), !is_there).await {
                Ok(()) if is_there => break,
                Ok(()) => {
                    self.to.finish(owner_no, chain.identity.clone(), arrival.clone()).await?;
                    break;
                }
                // What was begun is of another time. From nothing it can only fail for another reason.
                Err(error) if *error.kind() == StoreErrorKind::Conflict && !is_there => {
                    self.to.discard(owner_no).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if chain.identity.is_some() {
            self.users.0 += 1;
        }
        self.report();
        Ok(())
    }

    /// Copies the rows of one unit that the target has not yet, if it may, and compares all of them.
    async fn unit(&mut self, from: Unit, to: Unit, may_write: bool) -> Result<(), StoreError> {
        let there = match may_write {
            true => self.to.counts(to).await?,
            false => vec![u64::MAX; to.tables().len()],
        };
        let resumed = there.iter().any(|rows| *rows > 0);
        let expected = self.transfer(from, to, &there).await?;
        let mut found = digests(to.tables());
        read(self.to, to, |batch| {
            batch.rows.iter().for_each(|row| found[batch.table].add(row));
        })
        .await?;
        for ((table, expected), found) in to.tables().iter().zip(&expected).zip(found) {
            if (expected.rows, expected.clone().finish()) != (found.rows, found.clone().finish()) {
                let (kind, why) = match resumed {
                    true => (StoreErrorKind::Conflict, "the source changed since the copy was begun"),
                    false => (StoreErrorKind::Corrupt, "the target does not give back what was written to it"),
                };
                let context = format!("{}: {} rows here, {} there: {why}", table.name, expected.rows, found.rows);
                return Err(StoreError::new(kind, COPY, context));
            }
        }
        self.totals.add(to.tables(), expected);
        Ok(())
    }

    /// Reads all rows of a unit, and writes those that the target has not yet. The digests of all.
    async fn transfer(&mut self, from: Unit, to: Unit, there: &[u64]) -> Result<Vec<TableDigest>, StoreError> {
        let mut digests = digests(from.tables());
        let (sender, mut receiver) = mpsc::channel::<Batch>(WAITING);
        let target = self.to;
        let (rows_before, users) = (self.rows, self.users);
        let progress = &mut self.progress;
        let write = async {
            let mut rows = rows_before;
            while let Some(mut batch) = receiver.recv().await {
                let digest = &mut digests[batch.table];
                let skipped = there[batch.table].saturating_sub(digest.rows);
                batch.rows.iter().for_each(|row| digest.add(row));
                rows += batch.rows.len() as u64;
                let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(batch.rows.len());
                batch.rows.drain(..skipped);
                if !batch.rows.is_empty() {
                    target.put(to, batch.table, batch.rows).await?;
                }
                progress(CopyProgress { users_done: users.0, users: users.1, rows });
            }
            // Whoever reads is told to stop when this is dropped.
            drop(receiver);
            Ok::<u64, StoreError>(rows)
        };
        // A failed write ends the reading, whose own error is then but that nobody listens.
        let (read, written) = futures::join!(self.from.stream(from, sender), write);
        self.rows = written?;
        read?;
        Ok(digests)
    }

    fn report(&mut self) {
        (self.progress)(CopyProgress { users_done: self.users.0, users: self.users.1, rows: self.rows });
    }
}

/// The places of some tables among the shared ones.
const ROLES: usize = 0;
const WRAPS: usize = 1;
const VAULT: usize = 2;

/// The hashes of all units together, table by table.
#[derive(Default)]
struct Totals(Vec<(&'static str, u64, sha2::Sha256)>);

impl Totals {
    fn add(&mut self, tables: &'static [Table], digests: Vec<TableDigest>) {
        use sha2::Digest;
        for (table, digest) in tables.iter().zip(digests) {
            if digest.rows == 0 {
                continue;
            }
            let place = self.0.iter().position(|(name, ..)| *name == table.name).unwrap_or_else(|| {
                self.0.push((table.name, 0, sha2::Sha256::new()));
                self.0.len() - 1
            });
            let (_, rows, hash) = &mut self.0[place];
            *rows += digest.rows;
            hash.update(digest.finish());
        }
    }

    fn finish(self, users: u64) -> Copied {
        use sha2::Digest;
        let tables = self.0.into_iter();
        let tables = tables.map(|(name, rows, hash)| CopiedTable { name, rows, sha256: hash.finalize().into() });
        Copied { users, tables: tables.collect() }
    }
}

fn digests(tables: &[Table]) -> Vec<TableDigest> {
    tables.iter().map(|table| TableDigest::new(table.name)).collect()
}

/// Reads all rows of a unit, batch by batch.
async fn read(store: &dyn Movable, unit: Unit, mut take: impl FnMut(Batch)) -> Result<(), StoreError> {
    let (sender, mut receiver) = mpsc::channel::<Batch>(WAITING);
    let drain = async {
        while let Some(batch) = receiver.recv().await {
            take(batch);
        }
    };
    futures::join!(store.stream(unit, sender), drain).0
}

/// All rows of a unit that has few, table by table.
async fn collect(store: &dyn Movable, unit: Unit) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut tables = vec![Vec::new(); unit.tables().len()];
    read(store, unit, |batch| tables[batch.table].extend(batch.rows)).await?;
    Ok(tables)
}

/// Those that are no unfinished copies.
fn visible(chains: Vec<Chain>) -> Vec<Chain> {
    chains.into_iter().filter(|chain| !chain.identity.as_ref().is_some_and(Identity::is_staged)).collect()
}

fn named<'a>(chains: &'a [Chain], tenant: &TenantId, owner: &UserId) -> Option<&'a Chain> {
    chains.iter().find(|chain| {
        chain.identity.as_ref().is_some_and(|user| user.tenant == tenant.as_str() && user.owner == owner.as_str())
    })
}

/// The name under which an unfinished copy is kept, beside the tenant [`STAGED`].
pub(crate) fn staged_name(stream: &[u8; 16]) -> String {
    hex(stream)
}

/// What an integrity check says of unfinished copies, of which there are so many.
pub(crate) fn unfinished(staged: i64) -> Option<String> {
    (staged > 0).then(|| {
        format!("users: {staged} unfinished copies: copy again or discard them; what else is found may be theirs")
    })
}

fn changed() -> StoreError {
    let context = "the source changed while it was copied: stop writing to it, or suspend the user, and copy again";
    StoreError::new(StoreErrorKind::Conflict, COPY, context)
}

/// Says that the target has another user of this name.
pub(crate) fn taken() -> StoreError {
    let context = "the target has another user of this name: erase that one, or use another tenant";
    StoreError::new(StoreErrorKind::AlreadyExists, COPY, context)
}

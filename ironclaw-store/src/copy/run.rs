//! How a copy goes: what is asked of both stores, in which order.

use std::collections::{HashMap, HashSet};

use ironclaw_core::Owner;
use ironclaw_core::id::TenantId;
use ironclaw_core::input::{InputError, Problem};
use ironclaw_core::model::audit::{Action, AuditRecord};
use ironclaw_core::store::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::digest::TableDigest;
use super::end::{Adoption, Batch, Chain, Named, Prepared, Unit, Which};
use super::table::{OF_OPERATORS, OF_USER, Role, Row, SHARED, Table, Value};
use super::{
    COPY, Copied, CopiedTable, CopyProgress, Movable, Selection, apart, changed, erased, record, removing, rows, taken,
};
use crate::error::is_of_the_change;

/// How many batches may wait for whoever writes them.
const WAITING: usize = 2;

/// A copy under way.
pub(super) struct Copy<'a, F> {
    from: &'a dyn Movable,
    to: &'a dyn Movable,
    totals: Totals,
    /// Finished, and all.
    users: (u64, u64),
    rows: u64,
    progress: F,
}

impl<'a, F: FnMut(CopyProgress) + Send> Copy<'a, F> {
    pub(super) fn new(from: &'a dyn Movable, to: &'a dyn Movable, progress: F) -> Self {
        Self { from, to, totals: Totals::default(), users: (0, 0), rows: 0, progress }
    }

    /// What was copied.
    pub(super) fn finish(self) -> Copied {
        self.totals.finish(self.users.0)
    }

    pub(super) async fn everything(&mut self) -> Result<(), StoreError> {
        self.check_target_is_ours().await?;
        let begun = record(Action::UserCopyOut, Action::StoreCopy, &Selection::Everything, None);
        self.begin(begun, None).await?;
        let (system, chains): (Vec<Chain>, Vec<Chain>) =
            visible(self.from.chains(Which::All).await?).into_iter().partition(Chain::is_system);
        self.users.1 = chains.iter().filter(|chain| chain.identity.is_some()).count() as u64;
        // Before the users, who are seen as soon as they are complete.
        self.whole(Unit::Shared).await?;
        // Spaces after their members, whom their trails refer to.
        let (spaces, users): (Vec<_>, Vec<_>) = chains.iter().partition(|chain| chain.is_space());
        for chain in users.into_iter().chain(spaces) {
            self.chain(chain.stream, None).await?;
        }
        for chain in &system {
            self.whole(Unit::Owner(chain.owner_no)).await?;
        }
        let heads = |chains: Vec<Chain>| -> HashSet<([u8; 16], u64, [u8; 32])> {
            visible(chains).iter().map(|chain| (chain.stream, chain.sequence, chain.hash)).collect()
        };
        let source = self.from.chains(Which::All).await?;
        if source.iter().any(|chain| chain.is_removed_from) {
            return Err(removing());
        }
        match heads(source) == heads(self.to.chains(Which::All).await?) {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    pub(super) async fn user(&mut self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        let named = || Which::named(tenant, owner);
        let chain = self.from.chains(named()).await?.pop();
        let chain = chain
            .ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, COPY, "the user, in the store to copy from"))?;
        if let Some(other) = self.to.chains(named()).await?.pop()
            && other.stream != chain.stream
        {
            return Err(taken());
        }
        self.users.1 = 1;
        let what = Selection::User { tenant: tenant.clone(), owner: owner.clone() };
        let said = |action| record(action, action, &what, Some(chain.stream));
        self.begin(said(Action::UserCopyOut), Some(chain.owner_no)).await?;
        let named = Named::of(self.from, chain.identity.as_ref(), chain.owner_no).await?;
        if let Err(error) = self.to.check_named(tenant.as_str().to_owned(), named).await {
            // What was begun before is not to be either.
            if let Some(begun) = self.to.chains(Which::Stream(chain.stream)).await?.pop().filter(Chain::is_staged) {
                self.to.discard(begun.owner_no, None).await?;
            }
            return Err(error);
        }
        self.adopt(tenant, chain.owner_no).await?;
        self.chain(chain.stream, Some(said(Action::UserCopyIn))).await
    }

    /// Records the copy in the source, before anything leaves, and makes sure that the target is another store.
    async fn begin(&mut self, record: AuditRecord, about: Option<i64>) -> Result<(), StoreError> {
        self.from.record(record, about).await?;
        let head = |chains: Vec<Chain>| chains.into_iter().find(Chain::is_system).map(|chain| chain.hash);
        let system = || Which::Stream([0; 16]);
        if head(self.from.chains(system()).await?) == head(self.to.chains(system()).await?) {
            let expected = "another store than the one to copy from";
            return Err(StoreError::invalid_input(COPY, InputError::new("to", Problem::Malformed { expected })));
        }
        Ok(())
    }

    /// Refuses a target that has what does not come from the source, before anything is written to it.
    async fn check_target_is_ours(&mut self) -> Result<(), StoreError> {
        let refused = |context: &str| Err(StoreError::new(StoreErrorKind::AlreadyExists, COPY, context.to_owned()));
        let source: HashMap<[u8; 16], Chain> =
            self.from.chains(Which::All).await?.into_iter().map(|chain| (chain.stream, chain)).collect();
        for chain in visible(self.to.chains(Which::All).await?) {
            let Some(original) = source.get(&chain.stream) else {
                return refused("the target has users of its own: copy user by user");
            };
            if chain.identity.is_none() && original.identity.is_some() {
                return Err(erased());
            }
            // Its chain must be the beginning of the source's.
            let at_head = match chain.sequence {
                0 => Some([0; 32]),
                sequence => self.from.event_hash(original.owner_no, sequence).await?,
            };
            if at_head != Some(chain.hash) {
                return refused("the target went on by itself: copy user by user, or into an empty store");
            }
        }
        let (ours, theirs) = (shared(self.from).await?, shared(self.to).await?);
        for (table, rows) in theirs.iter().enumerate() {
            if !ours[table].starts_with(rows) {
                return refused(
                    "the target has roles, a vault or policies of its own, or the source's changed since: copy user by \
                     user, or into an empty store",
                );
            }
        }
        Ok(())
    }

    /// Gives the target's tenant what a user needs of the source's: the roles that it has not, and the vault.
    async fn adopt(&mut self, tenant: &TenantId, owner_no: i64) -> Result<(), StoreError> {
        for _ in 1..ATTEMPTS {
            match self.adopt_missing(tenant, owner_no).await {
                // Another copy gave the same to the tenant since it was looked at.
                Err(error) if *error.kind() == StoreErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        self.adopt_missing(tenant, owner_no).await
    }

    async fn adopt_missing(&mut self, tenant: &TenantId, owner_no: i64) -> Result<(), StoreError> {
        let roles = OF_USER.iter().position(|table| table.name == "user_roles").unwrap_or_default();
        let held: HashSet<Value> =
            collect(self.from, Unit::Owner(owner_no), vec![roles]).await?.into_iter().flatten().flatten().collect();
        let tables = vec![ROLES, WRAPS, VAULT];
        let source = collect(self.from, Unit::Shared, tables.clone()).await?;
        let target = collect(self.to, Unit::Shared, tables).await?;
        let own = |row: &&Row| matches!(row.first(), Some(Value::Text(text)) if text == tenant.as_str());
        let of_tenant =
            |tables: &[Vec<Row>], table: usize| -> Vec<Row> { tables[table].iter().filter(own).cloned().collect() };
        let mut adoption = Adoption { rows: Vec::new(), records: Vec::new() };
        let (ours, theirs) = (of_tenant(&source, VAULT), of_tenant(&target, VAULT));
        if theirs.is_empty() && !ours.is_empty() {
            let known = of_tenant(&target, WRAPS);
            let wraps = of_tenant(&source, WRAPS).into_iter().filter(|wrap| !known.contains(wrap)).collect();
            adoption.rows.extend([(WRAPS, wraps), (VAULT, ours)]);
            adoption.records.push(AuditRecord::new(Action::VaultInit).detail("tenant", tenant.as_str()));
        } else if !ours.iter().all(|header| {
            // Everything but when it was made.
            theirs.iter().any(|other| header[..header.len() - 1] == other[..other.len() - 1])
        }) {
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                COPY,
                "the target's tenant has another vault, which can't open this user's secrets: use another tenant or store",
            ));
        }
        let theirs = of_tenant(&target, ROLES);
        let known: HashSet<&Value> = theirs.iter().filter_map(|row| row.get(1)).collect();
        let is_missing = |row: &Row| row.get(1).is_some_and(|name| held.contains(name) && !known.contains(name));
        let missing: Vec<Row> = of_tenant(&source, ROLES).into_iter().filter(is_missing).collect();
        for row in &missing {
            if let Some(Value::Text(role)) = row.get(1) {
                let record = AuditRecord::new(Action::RolePut);
                adoption.records.push(record.detail("tenant", tenant.as_str()).detail("role", role.as_str()));
            }
        }
        adoption.rows.push((ROLES, missing));
        match adoption.records.is_empty() {
            true => Ok(()),
            false => self.to.adopt(adoption).await,
        }
    }

    /// Copies all of one chain: a user's, or what is left of an erased one's. `arrival` is what the target's operators'
    /// chain says of it.
    async fn chain(&mut self, stream: [u8; 16], arrival: Option<AuditRecord>) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let of = Operated::read(self.from, stream).await?;
            let Some(chain) = of.chain.clone() else {
                return Err(changed());
            };
            if chain.is_removed_from {
                return Err(removing());
            }
            let from = Unit::Owner(chain.owner_no);
            let (owner_no, is_new) = match self.to.chains(Which::Stream(stream)).await?.pop() {
                Some(known) if !known.is_staged() => {
                    if known.identity.is_none() && chain.identity.is_some() {
                        return Err(erased());
                    }
                    // Whoever is there is in use: nothing is written, only compared.
                    let digests = self.unit(from, Unit::Owner(known.owner_no), false).await?;
                    if known.identity != chain.identity {
                        return Err(apart());
                    }
                    return self.done(chain.identity.is_some(), digests);
                }
                Some(staged) => (staged.owner_no, false),
                None => (self.to.stage(stream, chain.is_space()).await?, true),
            };
            let identity = chain.identity;
            // After it was staged: whoever is erased before is found here, and whoever is erased after this stops the copy.
            let named = Named::of(self.from, identity.as_ref(), chain.owner_no).await?;
            if let Some(space) = identity.as_ref().filter(|_| !named.is_empty())
                && let Err(error) = self.to.check_named(space.tenant.clone(), named).await
            {
                self.to.discard(owner_no, None).await?;
                return Err(error);
            }
            let copied = self.unit(from, Unit::Owner(owner_no), true).await;
            let named = Named::of(self.from, identity.as_ref(), chain.owner_no).await?;
            let is_user = identity.is_some();
            let failed = match copied {
                // What operators change is not told of by the user's own chain, so it is looked at once more.
                Ok(digests) if Operated::read(self.from, stream).await? == of => {
                    match self.to.finish(owner_no, identity, named, arrival.clone()).await {
                        Ok(()) => return self.done(is_user, digests),
                        Err(error) => Some(error),
                    }
                }
                Ok(_) => None,
                // Whom it names may have been erased in the target meanwhile, and from the copy with that.
                Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
                    let tenant = identity.map_or_else(String::new, |user| user.tenant);
                    self.to.check_named(tenant, named).await.err().or_else(|| is_new.then_some(error))
                }
                // What was begun is of another time.
                Err(error) if is_of_the_change(&error) => None,
                Err(error) => Some(error),
            };
            match failed {
                // What is not to be does not stay.
                Some(error) if is_of_the_change(&error) => {
                    self.to.discard(owner_no, None).await?;
                    return Err(error);
                }
                Some(error) => return Err(error),
                None => {}
            }
            self.to.discard(owner_no, None).await?;
        }
        Err(changed())
    }

    fn done(&mut self, is_user: bool, digests: Vec<TableDigest>) -> Result<(), StoreError> {
        self.totals.add(OF_USER, digests);
        self.users.0 += u64::from(is_user);
        (self.progress)(CopyProgress { users_done: self.users.0, users: self.users.1, rows: self.rows });
        Ok(())
    }

    /// Copies what is known by the same number in every store.
    async fn whole(&mut self, unit: Unit) -> Result<(), StoreError> {
        let digests = self.unit(unit, unit, true).await?;
        self.totals.add(unit.tables(), digests);
        Ok(())
    }

    /// Copies the rows of one unit that the target has not yet, if it may, and compares all of them.
    async fn unit(&mut self, from: Unit, to: Unit, may_write: bool) -> Result<Vec<TableDigest>, StoreError> {
        let there = match may_write {
            true => self.to.counts(to).await?,
            false => vec![u64::MAX; to.tables().len()],
        };
        let expected = self.transfer(from, to, &there).await?;
        let mut found = digests(to.tables());
        read(self.to, to, (0..to.tables().len()).collect(), |batch| {
            batch.rows.iter().for_each(|row| found[batch.table].add(row));
        })
        .await?;
        for ((table, expected), found) in to.tables().iter().zip(&expected).zip(found) {
            if (expected.rows, expected.clone().finish()) != (found.rows, found.clone().finish()) {
                if !may_write && table.name == "receipts" {
                    // They expire in each store at a time of its own.
                    continue;
                }
                if !may_write {
                    return Err(apart());
                }
                let context = format!(
                    "{}: {} rows were copied, and {} others are there; check both stores",
                    table.name, expected.rows, found.rows
                );
                return Err(StoreError::new(StoreErrorKind::Corrupt, COPY, context));
            }
        }
        Ok(expected)
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
                    target.put(to, prepare(to, batch).await?).await?;
                }
                progress(CopyProgress { users_done: users.0, users: users.1, rows });
            }
            // Whoever reads is told to stop when this is dropped.
            drop(receiver);
            Ok::<u64, StoreError>(rows)
        };
        // A failed write ends the reading, whose own error is then but that nobody listens.
        let all = (0..from.tables().len()).collect();
        let (read, written) = futures::join!(self.from.stream(from, all, sender), write);
        self.rows = written?;
        read?;
        Ok(digests)
    }
}

/// How often a copy is begun anew because the source changed while it was read.
const ATTEMPTS: usize = 3;

/// A user's chain, and what of the user operators change.
#[derive(PartialEq)]
struct Operated {
    chain: Option<Chain>,
    rows: Vec<Vec<Row>>,
    counts: Vec<u64>,
}

impl Operated {
    async fn read(store: &dyn Movable, stream: [u8; 16]) -> Result<Self, StoreError> {
        let chain = store.chains(Which::Stream(stream)).await?.pop();
        let Some(unit) = chain.as_ref().map(|chain| Unit::Owner(chain.owner_no)) else {
            return Ok(Self { chain, rows: Vec::new(), counts: Vec::new() });
        };
        let tables = OF_USER.iter().enumerate().filter(|(_, table)| OF_OPERATORS.contains(&table.name));
        let rows = collect(store, unit, tables.map(|(place, _)| place).collect()).await?;
        Ok(Self { chain, rows, counts: store.counts(unit).await? })
    }
}

/// Analyses the texts of a batch on a thread for blocking work.
async fn prepare(unit: Unit, batch: Batch) -> Result<Prepared, StoreError> {
    let Batch { table, rows } = batch;
    let role = unit.tables()[table].role;
    if !matches!(role, Role::Message | Role::Part) {
        let terms = vec![Vec::new(); rows.len()];
        return Ok(Prepared { table, rows, terms });
    }
    let prepared = tokio::task::spawn_blocking(move || {
        let terms = rows::terms(role, &rows)?;
        Ok(Prepared { table, rows, terms })
    });
    prepared.await.map_err(|error| {
        StoreError::new(StoreErrorKind::Internal, COPY, "the runtime is shutting down").with_source(error)
    })?
}

/// The places of some tables among the shared ones.
const ROLES: usize = 0;
const WRAPS: usize = 1;
const VAULT: usize = 2;

/// The hashes of all units together, table by table.
#[derive(Default)]
struct Totals(Vec<(&'static str, u64, Sha256)>);

impl Totals {
    fn add(&mut self, tables: &'static [Table], digests: Vec<TableDigest>) {
        for (table, digest) in tables.iter().zip(digests) {
            if digest.rows == 0 {
                continue;
            }
            let place = self.0.iter().position(|(name, ..)| *name == table.name).unwrap_or_else(|| {
                self.0.push((table.name, 0, Sha256::new()));
                self.0.len() - 1
            });
            let (_, rows, hash) = &mut self.0[place];
            *rows += digest.rows;
            hash.update(digest.finish());
        }
    }

    fn finish(self, users: u64) -> Copied {
        let tables = self.0.into_iter();
        let tables = tables.map(|(name, rows, hash)| CopiedTable { name, rows, sha256: hash.finalize().into() });
        Copied { users, tables: tables.collect() }
    }
}

fn digests(tables: &[Table]) -> Vec<TableDigest> {
    tables.iter().map(|table| TableDigest::new(table.name)).collect()
}

/// Reads some tables of a unit, batch by batch.
pub(super) async fn read(
    store: &dyn Movable,
    unit: Unit,
    tables: Vec<usize>,
    mut take: impl FnMut(Batch) + Send,
) -> Result<(), StoreError> {
    let (sender, mut receiver) = mpsc::channel::<Batch>(WAITING);
    let drain = async {
        while let Some(batch) = receiver.recv().await {
            take(batch);
        }
    };
    futures::join!(store.stream(unit, tables, sender), drain).0
}

/// All rows of some tables of a unit, which have few. The others are empty.
async fn collect(store: &dyn Movable, unit: Unit, tables: Vec<usize>) -> Result<Vec<Vec<Row>>, StoreError> {
    let mut rows = vec![Vec::new(); unit.tables().len()];
    read(store, unit, tables, |batch| rows[batch.table].extend(batch.rows)).await?;
    Ok(rows)
}

/// All rows of shared tables.
async fn shared(store: &dyn Movable) -> Result<Vec<Vec<Row>>, StoreError> {
    collect(store, Unit::Shared, (0..SHARED.len()).collect()).await
}

/// Those that are no unfinished copies.
fn visible(chains: Vec<Chain>) -> Vec<Chain> {
    chains.into_iter().filter(|chain| !chain.is_staged()).collect()
}

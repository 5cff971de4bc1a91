//! The embedded store's side of a copy.

use async_trait::async_trait;
use ironclaw_core::Timestamp;
use ironclaw_core::id::OperatorName;
use ironclaw_core::model::audit::AuditRecord;
use ironclaw_core::store::StoreError;
use tokio::sync::mpsc::Sender;

use self::sql::SHARED_SQL;
use super::db::Db;
use super::maintenance::LibsqlMaintenance;
use super::row::{Param, params};
use super::tx::{Tx, at_once};
use super::{audit, users};
use crate::copy::end::{Adoption, Batch, Chain, End, Identity, Named, Prepared, Unit, Which};
use crate::copy::named::check_here;
use crate::copy::{COPY, Selection, unnamed};

mod read;
mod sql;
mod write;

#[async_trait]
impl End for LibsqlMaintenance {
    async fn alone(&self, _what: &Selection) -> Result<Box<dyn Send>, StoreError> {
        Ok(Box::new(()))
    }

    async fn chains(&self, which: Which) -> Result<Vec<Chain>, StoreError> {
        self.store().read_any(COPY, move |db| read::chains(db, which)).await
    }

    async fn event_hash(&self, owner_no: i64, sequence: u64) -> Result<Option<[u8; 32]>, StoreError> {
        let sql = "SELECT sequence, hash FROM audit_events WHERE owner_no = ?1 AND sequence = ?2";
        self.store().read_any(COPY, move |db| db.query_row(sql, params![owner_no, sequence], |row| row.bytes(1))).await
    }

    async fn record(&self, record: AuditRecord, about: Option<i64>) -> Result<(), StoreError> {
        self.transaction(move |db, told| match about {
            Some(owner_no) if !users::is_there(db, owner_no)? => told.append(db, &unnamed(record), None),
            about => told.append(db, &record, about),
        })
        .await
    }

    async fn stream(&self, unit: Unit, tables: Vec<usize>, to: Sender<Batch>) -> Result<(), StoreError> {
        self.store().read_any(COPY, move |db| read::stream(db, unit, &tables, &to)).await
    }

    async fn stage(&self, stream: [u8; 16], is_space: bool) -> Result<i64, StoreError> {
        self.transaction(move |db, told| write::stage(db, &stream, is_space, told.now)).await
    }

    async fn counts(&self, unit: Unit) -> Result<Vec<u64>, StoreError> {
        self.store().read_any(COPY, move |db| read::counts(db, unit)).await
    }

    async fn put(&self, unit: Unit, new: Prepared) -> Result<(), StoreError> {
        let limits = self.store().limits().clone();
        self.transaction(move |db, told| write::put(db, unit, new, &limits, told.now)).await
    }

    async fn adopt(&self, adoption: Adoption) -> Result<(), StoreError> {
        self.transaction(move |db, told| {
            for (table, rows) in adoption.rows {
                for row in rows {
                    db.execute(&SHARED_SQL[table].insert, row.into_iter().map(Param::value).collect())?;
                }
            }
            adoption.records.iter().try_for_each(|record| told.append(db, record, None))
        })
        .await
    }

    async fn check_named(&self, tenant: String, named: Named) -> Result<(), StoreError> {
        let limits = self.store().limits().clone();
        self.store()
            .read_any(COPY, move |db| {
                let tx = Tx::of_all(db, Timestamp::from_micros(0), &limits);
                at_once(&tx, check_here(&tx, &tenant, &named))
            })
            .await
    }

    async fn finish(
        &self,
        owner_no: i64,
        identity: Option<Identity>,
        named: Named,
        arrival: Option<AuditRecord>,
    ) -> Result<(), StoreError> {
        let limits = self.store().limits().clone();
        self.transaction(move |db, told| {
            if let Some(Identity { tenant, .. }) = &identity {
                let tx = Tx::of_all(db, told.now, &limits);
                at_once(&tx, check_here(&tx, tenant, &named))?;
            }
            write::finish(db, owner_no, identity)?;
            arrival.iter().try_for_each(|record| told.append(db, record, Some(owner_no)))
        })
        .await
    }

    async fn discard(&self, owner_no: i64, record: Option<AuditRecord>) -> Result<u64, StoreError> {
        let mut record = record;
        let mut total = 0;
        loop {
            let record = record.take();
            // Nobody sees it, so that what is left of it after a kill is discarded by the next copy.
            let step = self.transaction(move |db, told| {
                record.iter().try_for_each(|record| told.append(db, record, None))?;
                Ok((write::discard(db, owner_no)?, db.budget.is_left()))
            });
            let (rows, is_done) = step.await?;
            total += rows;
            if is_done {
                return Ok(total);
            }
        }
    }
}

/// Who acts, and when.
struct Told {
    operator: OperatorName,
    now: Timestamp,
}

impl Told {
    /// Appends an event to the operators' chain.
    fn append(&self, db: &Db, record: &AuditRecord, about: Option<i64>) -> Result<(), StoreError> {
        audit::append_system(db, self.operator.as_str(), record, about, self.now)
    }
}

impl LibsqlMaintenance {
    async fn transaction<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db, &Told) -> Result<T, StoreError> + Send + 'static,
    {
        let told = Told { operator: self.operator().clone(), now: self.store().engine().now() };
        self.store().engine().write(COPY, move |db| db.write(|| run(db, &told))).await
    }
}

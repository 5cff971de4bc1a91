//! The shared store's side of a copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::Timestamp;
use ironclaw_core::model::audit::AuditRecord;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use tokio::sync::mpsc::Sender;

use super::engine::Reach;
use super::maintenance::PostgresMaintenance;
use super::row::{Params, Row as DbRow, params, to_time, uuid};
use super::tx::Tx;
use super::{conversations, privacy, workspace};
use crate::copy::end::{
    Adoption, Batch, Batches, Chain, End, Identity, Named, Prepared, Unit, Which, not_staged, staged_status, stopped,
};
use crate::copy::named::check_here;
use crate::copy::table::{Role, Row, SHARED};
use crate::copy::{COPY, OPEN, Selection, rows, staged_name, taken, unnamed};
use crate::reserved::STAGED;
use crate::system;

use self::sql::{Sql, arrays, statements, value};

mod parts;
mod sql;

#[async_trait]
impl End for PostgresMaintenance {
    async fn alone(&self, what: &Selection) -> Result<Box<dyn Send>, StoreError> {
        let key = match what {
            Selection::Everything => "copy".to_owned(),
            Selection::User { tenant, owner } => format!("copy {tenant}\n{}", owner.key()),
        };
        Ok(Box::new(self.engine().lock(COPY, self.operator(), &key).await?))
    }

    async fn chains(&self, which: Which) -> Result<Vec<Chain>, StoreError> {
        self.read(COPY, which, |tx, which| async move { chains(tx, which).await }.boxed()).await
    }

    async fn event_hash(&self, owner_no: i64, sequence: u64) -> Result<Option<[u8; 32]>, StoreError> {
        self.read(COPY, (owner_no, sequence), |tx, (owner_no, sequence)| {
            async move {
                let sql = "SELECT sequence, hash FROM ironclaw.audit_events WHERE owner_no = $1 AND sequence = $2";
                tx.query_row(sql, params![owner_no, sequence], |row| row.bytes(1)).await
            }
            .boxed()
        })
        .await
    }

    async fn record(&self, record: AuditRecord, about: Option<i64>) -> Result<(), StoreError> {
        let operator = self.operator().clone();
        self.write(COPY, (operator, record, about), |tx, (operator, record, about)| {
            async move {
                let Some(owner_no) = about else {
                    return system::append(tx, operator.as_str(), None, &record).await;
                };
                // Locked: nobody erases them meanwhile.
                let sql = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 FOR NO KEY UPDATE";
                match tx.query_row(sql, params![owner_no], |row| row.i64(0)).await? {
                    Some(_) => system::append(tx, operator.as_str(), about, &record).await,
                    None => system::append(tx, operator.as_str(), None, &unnamed(record)).await,
                }
            }
            .boxed()
        })
        .await
    }

    async fn stream(&self, unit: Unit, tables: Vec<usize>, to: Sender<Batch>) -> Result<(), StoreError> {
        // Not tried again when the connection is lost: whoever listens has some of it already.
        let begun = Arc::new(AtomicBool::new(false));
        self.read(COPY, (tables, to, begun), move |tx, (tables, to, begun)| {
            async move {
                if begun.swap(true, Ordering::SeqCst) {
                    let context = "the connection was lost; copy again, and it goes on where it was";
                    return Err(tx.error(StoreErrorKind::Io, context));
                }
                stream(tx, unit, &tables, &to).await
            }
            .boxed()
        })
        .await
        .map(|_: Option<()>| ())
    }

    async fn stage(&self, stream: [u8; 16], is_space: bool) -> Result<i64, StoreError> {
        self.write(COPY, stream, move |tx, stream| async move { stage(tx, &stream, is_space).await }.boxed()).await
    }

    async fn counts(&self, unit: Unit) -> Result<Vec<u64>, StoreError> {
        self.read(COPY, (), move |tx, ()| async move { counts(tx, unit).await }.boxed()).await
    }

    async fn put(&self, unit: Unit, new: Prepared) -> Result<(), StoreError> {
        let reach = match unit {
            Unit::Owner(owner_no) => Reach::Owner(owner_no),
            Unit::Shared => Reach::All,
        };
        self.engine()
            .write(COPY, reach, false, Arc::new(new), move |tx, new| async move { put(tx, unit, &new).await }.boxed())
            .await
    }

    async fn adopt(&self, adoption: Adoption) -> Result<(), StoreError> {
        let arguments = (self.operator().clone(), Arc::new(adoption));
        self.write(COPY, arguments, |tx, (operator, adoption)| {
            async move {
                for (table, rows) in &adoption.rows {
                    let mut params = params![];
                    arrays(&mut params, &SHARED[*table], rows)?;
                    tx.execute(&statements(Unit::Shared)[*table].insert, params).await?;
                }
                for record in &adoption.records {
                    system::append(tx, operator.as_str(), None, record).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn check_named(&self, tenant: String, named: Named) -> Result<(), StoreError> {
        self.write(COPY, (tenant, named), |tx, (tenant, named)| {
            async move { check_here(tx, &tenant, &named).await }.boxed()
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
        let operator = self.operator().clone();
        self.write(COPY, (operator, identity, named, arrival), move |tx, (operator, identity, named, arrival)| {
            async move {
                if let Some(Identity { tenant, .. }) = &identity {
                    check_here(tx, tenant, &named).await?;
                }
                finish(tx, owner_no, identity).await?;
                match arrival {
                    Some(record) => system::append(tx, operator.as_str(), Some(owner_no), &record).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await
    }

    async fn discard(&self, owner_no: i64, record: Option<AuditRecord>) -> Result<u64, StoreError> {
        self.write(COPY, (self.operator().clone(), record), move |tx, (operator, record)| {
            async move {
                if let Some(record) = record {
                    system::append(tx, operator.as_str(), None, &record).await?;
                }
                discard(tx, owner_no).await
            }
            .boxed()
        })
        .await
    }
}

/// The parameter that says whose rows, for what has an owner.
fn whose(unit: Unit) -> Params {
    match unit {
        Unit::Owner(owner_no) => params![owner_no],
        Unit::Shared => params![],
    }
}

async fn chains(tx: &Tx, which: Which) -> Result<Vec<Chain>, StoreError> {
    let (condition, params) = match which {
        Which::All => ("", params![]),
        Which::Stream(stream) => ("WHERE s.stream = $1", params![&stream]),
        Which::Named(tenant, owner) => ("WHERE u.tenant = $1 AND u.owner = $2", params![tenant, owner]),
    };
    tx.query(
        format!(
            "SELECT s.owner_no, s.stream, s.sequence, s.hash, u.tenant, u.owner, u.status, u.pseudonym, u.created_at, \
             u.updated_at FROM ironclaw.audit_streams s LEFT JOIN ironclaw.users u ON u.owner_no = s.owner_no \
             {condition} ORDER BY s.owner_no"
        ),
        params,
        |row| {
            let identity = match row.optional(4, DbRow::text)? {
                Some(tenant) => Some(Identity {
                    tenant,
                    owner: row.text(5)?,
                    status: row.code(6, Some)?,
                    pseudonym: row.bytes(7)?,
                    created_at: row.time(8)?.as_micros(),
                    updated_at: row.time(9)?.as_micros(),
                }),
                None => None,
            };
            Ok(Chain {
                owner_no: row.i64(0)?,
                stream: row.bytes(1)?,
                sequence: row.count(2)?,
                hash: row.bytes(3)?,
                identity,
                // One transaction removes all.
                is_removed_from: false,
            })
        },
    )
    .await
}

async fn counts(tx: &Tx, unit: Unit) -> Result<Vec<u64>, StoreError> {
    let mut counts = Vec::new();
    for (table, sql) in unit.tables().iter().zip(statements(unit)) {
        counts.push(match table.role {
            // Done again: it changes nothing.
            Role::Publication => 0,
            _ => tx.number(&sql.count, whose(unit)).await?.cast_unsigned(),
        });
    }
    Ok(counts)
}

/// Sends everything. It ends early when nobody listens.
async fn stream(tx: &Tx, unit: Unit, tables: &[usize], to: &Sender<Batch>) -> Result<Option<()>, StoreError> {
    for &place in tables {
        let (table, sql) = (&unit.tables()[place], &statements(unit)[place]);
        let mut batches = Batches::new(place);
        let mut rows = match (table.role, unit) {
            (Role::Part, Unit::Owner(owner_no)) => Rows::Parts(parts::Parts::begin(tx, owner_no).await?),
            _ => {
                tx.execute(sql.declare(unit), params![]).await?;
                Rows::Of(table, sql)
            }
        };
        loop {
            let read = match &mut rows {
                Rows::Parts(parts) => parts.next(tx).await?,
                Rows::Of(table, sql) => {
                    let read = |row: &DbRow<'_>| table.columns.iter().enumerate().map(|c| value(row, c)).collect();
                    tx.query(&sql.fetch, params![], read).await?
                }
            };
            if read.is_empty() {
                break;
            }
            for row in read {
                if let Some(batch) = batches.add(row)
                    && to.send(batch).await.is_err()
                {
                    return Ok(None);
                }
            }
        }
        if let Some(batch) = batches.rest()
            && to.send(batch).await.is_err()
        {
            return Ok(None);
        }
        if let Rows::Of(_, sql) = rows {
            tx.execute(&sql.close, params![]).await?;
        }
    }
    Ok(Some(()))
}

/// Where rows come from.
enum Rows {
    Of(&'static crate::copy::table::Table, &'static Sql),
    Parts(parts::Parts),
}

async fn stage(tx: &Tx, stream: &[u8; 16], is_space: bool) -> Result<i64, StoreError> {
    let staged = tx
        .query_row(
            "WITH staged AS (INSERT INTO ironclaw.users (tenant, owner, status, pseudonym, created_at, updated_at) \
                VALUES ($1, $2, $5::bigint::smallint, $6, $4, $4) RETURNING owner_no) \
             INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash) \
             SELECT owner_no, $3, 0, decode(repeat('00', 32), 'hex') FROM staged RETURNING owner_no",
            params![STAGED, staged_name(stream), stream, tx.now(), staged_status(is_space), &OPEN],
            |row| row.i64(0),
        )
        .await?;
    staged.ok_or_else(|| tx.error(StoreErrorKind::Internal, "the copy could not be begun"))
}

async fn put(tx: &Tx, unit: Unit, new: &Prepared) -> Result<(), StoreError> {
    let (sql, table) = (&statements(unit)[new.table], &unit.tables()[new.table]);
    if let Unit::Owner(owner_no) = unit
        && owner_no != 0
    {
        check_open(tx, owner_no).await?;
    }
    match table.role {
        Role::Part => {
            for (row, terms) in new.rows.iter().zip(&new.terms) {
                let (version, part) = rows::part(row.clone())?;
                workspace::put_parts(tx, version, &[part], terms).await?;
            }
            Ok(())
        }
        Role::Publication => publish(tx, &new.rows).await,
        Role::Plain | Role::Message | Role::Event => {
            let mut params = whose(unit);
            arrays(&mut params, table, &new.rows)?;
            tx.execute(&sql.insert, params).await?;
            match (table.role, new.rows.last()) {
                (Role::Message, _) => {
                    let searched =
                        new.rows.iter().zip(&new.terms).filter_map(|(row, terms)| Some((row, terms.first()?)));
                    let searched = searched.map(|(row, terms)| Ok((rows::message_id(row)?, terms)));
                    conversations::index(tx, &searched.collect::<Result<Vec<_>, StoreError>>()?).await
                }
                (Role::Event, Some(last)) => {
                    let (sequence, hash) = rows::head(last.clone())?;
                    let sql = "UPDATE ironclaw.audit_streams SET sequence = $2, hash = $3 WHERE owner_no = $1";
                    let owner_no = tx.owner_no();
                    tx.execute(sql, params![owner_no, sequence, hash]).await.map(drop)
                }
                _ => Ok(()),
            }
        }
    }
}

/// Whoever is seen is never written to by a copy. Locks the hidden owner.
async fn check_staged(tx: &Tx, owner_no: i64) -> Result<(), StoreError> {
    let sql = "SELECT owner_no FROM ironclaw.users WHERE owner_no = $1 AND tenant = $2 FOR UPDATE";
    let staged = tx.query_row(sql, params![owner_no, STAGED], |_| Ok(())).await?;
    staged.ok_or_else(not_staged)
}

/// The same, and nobody was erased whom it may name.
async fn check_open(tx: &Tx, owner_no: i64) -> Result<(), StoreError> {
    check_staged(tx, owner_no).await?;
    let sql = "SELECT count(*) FROM ironclaw.users WHERE owner_no = $1 AND pseudonym = $2";
    match tx.number(sql, params![owner_no, &OPEN]).await? {
        0 => Err(stopped()),
        _ => Ok(()),
    }
}

/// Makes versions what they were. Their sizes and chunks are those of the parts that were put.
async fn publish(tx: &Tx, new: &[Row]) -> Result<(), StoreError> {
    for row in new {
        let version = rows::publication(row.clone())?;
        tx.execute(
            "UPDATE ironclaw.entry_versions SET state = $3::bigint::smallint, content_hash = $4, updated_at = $5 \
             WHERE owner_no = $1 AND id = $2",
            params![
                tx.owner_no(),
                uuid(&version.id),
                version.state,
                version.content_hash,
                to_time(Timestamp::from_micros(version.updated_at))
            ],
        )
        .await?;
    }
    Ok(())
}

async fn finish(tx: &Tx, owner_no: i64, identity: Option<Identity>) -> Result<(), StoreError> {
    check_open(tx, owner_no).await?;
    let Some(user) = identity else {
        return tx.execute("DELETE FROM ironclaw.users WHERE owner_no = $1", params![owner_no]).await.map(drop);
    };
    tx.execute(
        "INSERT INTO ironclaw.workspace_statistics (owner_no, documents, total_length) \
         SELECT owner_no, sum(chunks), sum(terms) FROM ironclaw.entry_versions WHERE owner_no = $1 AND state = 1 \
         GROUP BY owner_no",
        params![owner_no],
    )
    .await?;
    tx.execute(
        "UPDATE ironclaw.embedding_models m SET chunks = (SELECT coalesce(sum(v.chunks), 0) \
         FROM ironclaw.entry_versions v WHERE v.owner_no = $1 AND v.model = m.id AND v.state = 1) WHERE m.owner_no = $1",
        params![owner_no],
    )
    .await?;
    let renamed = tx
        .execute(
            "UPDATE ironclaw.users SET tenant = $2, owner = $3, status = $4::bigint::smallint, pseudonym = $5, \
             created_at = $6, updated_at = $7 WHERE owner_no = $1",
            params![
                owner_no,
                user.tenant,
                user.owner,
                user.status,
                &user.pseudonym,
                to_time(Timestamp::from_micros(user.created_at)),
                to_time(Timestamp::from_micros(user.updated_at))
            ],
        )
        .await;
    match renamed {
        Err(error) if *error.kind() == StoreErrorKind::AlreadyExists => Err(taken()),
        renamed => renamed.map(drop),
    }
}

async fn discard(tx: &Tx, owner_no: i64) -> Result<u64, StoreError> {
    check_staged(tx, owner_no).await?;
    let mut rows = privacy::erase(tx, owner_no).await?;
    for sql in [
        "DELETE FROM ironclaw.audit_events WHERE owner_no = $1",
        "DELETE FROM ironclaw.audit_streams WHERE owner_no = $1",
    ] {
        rows += tx.execute(sql, params![owner_no]).await?;
    }
    Ok(rows)
}

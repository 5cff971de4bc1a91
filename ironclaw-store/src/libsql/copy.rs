//! The embedded store's side of a copy.

use std::sync::LazyLock;

use async_trait::async_trait;
use ironclaw_core::id::OperatorName;
use ironclaw_core::model::audit::AuditRecord;
use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};
use libsql::Value as Sqlite;
use tokio::sync::mpsc::Sender;

use super::db::Db;
use super::maintenance::LibsqlMaintenance;
use super::portions::some;
use super::row::{Param, Row as DbRow, params};
use super::tx::Tx;
use super::users::{Numbers, content_no};
use super::{audit, conversations, remove, users, workspace};
use crate::copy::end::{Adoption, Batch, Batches, Chain, End, Identity, Prepared, Unit, Which, not_staged};
use crate::copy::table::{Column, MOVED_VERSIONS, OF_USER, Role, Row, SHARED, Table, Value, unexpected};
use crate::copy::{COPY, Selection, rows, staged_name, taken, unnamed};
use crate::reserved::{ERASED, STAGED};

#[async_trait]
impl End for LibsqlMaintenance {
    async fn alone(&self, _what: &Selection) -> Result<Box<dyn Send>, StoreError> {
        Ok(Box::new(()))
    }

    async fn chains(&self, which: Which) -> Result<Vec<Chain>, StoreError> {
        self.store().read_any(COPY, move |db| chains(db, which)).await
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
        self.store().read_any(COPY, move |db| stream(db, unit, &tables, &to)).await
    }

    async fn stage(&self, stream: [u8; 16]) -> Result<i64, StoreError> {
        self.transaction(move |db, told| stage(db, &stream, told.now)).await
    }

    async fn counts(&self, unit: Unit) -> Result<Vec<u64>, StoreError> {
        self.store().read_any(COPY, move |db| counts(db, unit)).await
    }

    async fn put(&self, unit: Unit, new: Prepared) -> Result<(), StoreError> {
        let limits = self.store().limits().clone();
        self.transaction(move |db, told| put(db, unit, new, &limits, told.now)).await
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

    async fn finish(
        &self,
        owner_no: i64,
        identity: Option<Identity>,
        arrival: Option<AuditRecord>,
    ) -> Result<(), StoreError> {
        self.transaction(move |db, told| {
            finish(db, owner_no, identity)?;
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
                Ok((discard(db, owner_no)?, db.budget.is_left()))
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

/// The statements of one table.
struct Sql {
    /// How many rows there are.
    count: String,
    /// All rows; none for those of parts.
    read: String,
    /// Writes one row.
    insert: String,
}

/// The number that the content of the user `?1` is kept under; that of the operators' chain has none.
const CONTENT_NO: &str = "(SELECT coalesce(u.content_no, u.owner_no) FROM users u WHERE u.owner_no = ?1)";

/// The tables of which there is a view of what is visible.
const HIDDEN: [&str; 6] = ["conversations", "messages", "jobs", "job_events", "llm_calls", "sandbox_jobs"];

static OF_USER_SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| OF_USER.iter().map(|table| sql(table, true)).collect());
static SHARED_SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| SHARED.iter().map(|table| sql(table, false)).collect());

fn statements(unit: Unit) -> &'static [Sql] {
    match unit {
        Unit::Owner(_) => &OF_USER_SQL,
        Unit::Shared => &SHARED_SQL,
    }
}

fn sql(table: &Table, owned: bool) -> Sql {
    let filled =
        |text: &str, value: &str| text.replace("{schema}", "").replace("{owner}", "?1").replace("{value}", value);
    let read = |column: &Column| match column.instead {
        Some((read, _)) => filled(read, ""),
        None => format!("t.\"{}\"", column.name),
    };
    let first = if owned { 2 } else { 1 };
    let write = |(place, column): (usize, &Column)| match column.instead {
        Some((_, write)) => filled(write, &format!("?{}", place + first)),
        None => format!("?{}", place + first),
    };
    let list = |items: Vec<String>| items.join(", ");
    let mut names: Vec<String> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let mut values: Vec<String> = table.columns.iter().enumerate().map(write).collect();
    for (column, value, _) in table.also {
        names.push((*column).to_owned());
        values.push((*value).to_owned());
    }
    if owned {
        names.insert(0, "owner_no".to_owned());
        values.insert(0, "?1".to_owned());
    }
    let mut conditions = Vec::new();
    if owned {
        let number = if table.is_content { CONTENT_NO } else { "?1" };
        conditions.push(format!("t.owner_no = {number}"));
    }
    if !table.filter.is_empty() {
        conditions.push(filled(table.filter, ""));
    }
    let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let columns = list(table.columns.iter().map(read).collect());
    // What is being removed does not come along.
    let source =
        if HIDDEN.contains(&table.source) { format!("visible_{}", table.source) } else { table.source.to_owned() };
    Sql {
        count: format!("SELECT count(*) FROM {source} t{conditions}"),
        read: format!("SELECT {columns} FROM {source} t{conditions} ORDER BY {}", table.order),
        insert: format!("INSERT INTO {} ({}) VALUES ({})", table.source, list(names), list(values)),
    }
}

/// The parameter that says whose rows, for what has an owner.
fn whose(unit: Unit) -> Vec<Sqlite> {
    match unit {
        Unit::Owner(owner_no) => params![owner_no],
        Unit::Shared => params![],
    }
}

/// What reads chains; the number of each comes first.
macro_rules! chains_query {
    ($condition:literal) => {
        concat!(
            "SELECT s.owner_no, s.stream, s.sequence, s.hash, u.tenant, u.owner, u.status, u.pseudonym, u.created_at, \
             u.updated_at, ",
            content_no!("u"),
            " FROM audit_streams s LEFT JOIN users u ON u.owner_no = s.owner_no ",
            $condition,
            " ORDER BY s.owner_no"
        )
    };
}

fn chains(db: &Db, which: Which) -> Result<Vec<Chain>, StoreError> {
    let (sql, params) = match which {
        Which::All => (chains_query!(""), params![]),
        Which::Stream(stream) => (chains_query!("WHERE s.stream = ?1"), params![&stream]),
        Which::Named(tenant, owner) => (chains_query!("WHERE u.tenant = ?1 AND u.owner = ?2"), params![tenant, owner]),
    };
    db.query(sql, params, |row| {
        let identity = match row.optional(4, DbRow::text)? {
            // Whoever is being erased is nobody's user any more.
            Some(tenant) if tenant == ERASED => None,
            Some(tenant) => {
                // Content must not arrive as another user's.
                row.i64(10)?;
                Some(Identity {
                    tenant,
                    owner: row.text(5)?,
                    status: row.i64(6)?,
                    pseudonym: row.bytes(7)?,
                    created_at: row.i64(8)?,
                    updated_at: row.i64(9)?,
                })
            }
            None => None,
        };
        Ok(Chain {
            owner_no: row.i64(0)?,
            stream: row.bytes(1)?,
            sequence: row.count(2)?,
            hash: row.bytes(3)?,
            identity,
        })
    })
}

fn counts(db: &Db, unit: Unit) -> Result<Vec<u64>, StoreError> {
    let tables = unit.tables().iter().zip(statements(unit));
    let is_erased = is_being_erased(db, unit)?;
    tables
        .map(|(table, sql)| match table.role {
            // Done again: it changes nothing.
            Role::Publication => Ok(0),
            role if is_erased && role != Role::Event => Ok(0),
            _ => db.number(&sql.count, whose(unit)).map(i64::cast_unsigned),
        })
        .collect()
}

/// Whether of a user nothing is left for anybody but the public part of their chain.
fn is_being_erased(db: &Db, unit: Unit) -> Result<bool, StoreError> {
    let Unit::Owner(owner_no) = unit else {
        return Ok(false);
    };
    let sql = "SELECT count(*) FROM users WHERE owner_no = ?1 AND tenant = ?2";
    Ok(db.number(sql, params![owner_no, ERASED])? > 0)
}

/// Sends everything. What stops it early is that nobody listens.
fn stream(db: &Db, unit: Unit, tables: &[usize], to: &Sender<Batch>) -> Result<(), StoreError> {
    let is_erased = is_being_erased(db, unit)?;
    for &place in tables {
        let (table, sql) = (&unit.tables()[place], &statements(unit)[place]);
        if is_erased && table.role != Role::Event {
            continue;
        }
        let mut batches = Batches::new(place);
        let mut send = |row: Row| match batches.add(row) {
            Some(batch) => to.blocking_send(batch).map_err(|_| unheard()),
            None => Ok(()),
        };
        let sent = match (table.role, unit) {
            (Role::Part, Unit::Owner(owner_no)) => each_part(db, owner_no, &mut send),
            _ => db.for_each(&sql.read, whose(unit), |row| {
                let values = 0..table.columns.len();
                send(values.map(|column| value(row, column)).collect::<Result<_, _>>()?)
            }),
        };
        let sent = sent.and_then(|()| match batches.rest() {
            Some(batch) => to.blocking_send(batch).map_err(|_| unheard()),
            None => Ok(()),
        });
        match sent {
            Err(error) if to.is_closed() && *error.kind() == StoreErrorKind::Closed => return Ok(()),
            sent => sent?,
        }
    }
    Ok(())
}

fn unheard() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, COPY, "nobody listens any more")
}

fn value(row: &DbRow<'_>, column: usize) -> Result<Value, StoreError> {
    Ok(match row.value(i32::try_from(column).unwrap_or(i32::MAX))? {
        Sqlite::Null => Value::Null,
        Sqlite::Integer(number) => Value::Number(number),
        Sqlite::Text(text) => Value::Text(text),
        Sqlite::Blob(bytes) => Value::Bytes(bytes),
        Sqlite::Real(_) => return Err(unexpected()),
    })
}

/// Hands out the parts of a user's versions, each with its chunks.
fn each_part(db: &Db, owner_no: i64, take: &mut dyn FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
    db.for_each(&VERSIONS_SQL, params![owner_no], |version| {
        let (version_no, id, owner_no) = (version.i64(0)?, version.blob(1)?, version.i64(2)?);
        db.for_each(
            "SELECT start_byte, bytes, content_format FROM entry_parts WHERE owner_no = ?1 AND version_no = ?2 \
             ORDER BY start_byte",
            params![owner_no, version_no],
            |part| {
                rows::check_plain(part.i64(2)?)?;
                let start = part.i64(0)?;
                let mut row = vec![Value::Bytes(id.clone()), Value::Number(start), Value::Bytes(part.blob(1)?)];
                db.for_each(
                    "SELECT chunk_no, id, start_byte, end_byte, embedding FROM memory_chunks \
                     WHERE owner_no = ?1 AND version_no = ?2 AND part_start = ?3 ORDER BY chunk_no",
                    params![owner_no, version_no, start],
                    |chunk| {
                        for column in 1..5 {
                            row.push(value(chunk, column)?);
                        }
                        Ok(())
                    },
                )?;
                take(row)
            },
        )
    })
}

static VERSIONS_SQL: LazyLock<String> = LazyLock::new(|| {
    let moved = MOVED_VERSIONS.replace("{schema}", "").replace("{owner}", "?1");
    format!(
        "SELECT t.version_no, t.id, t.owner_no FROM entry_versions t WHERE t.owner_no = {CONTENT_NO} AND {moved} \
         ORDER BY t.id"
    )
});

fn stage(db: &Db, stream: &[u8; 16], now: Timestamp) -> Result<i64, StoreError> {
    db.execute(
        "INSERT INTO users (tenant, owner, status, pseudonym, created_at, updated_at) \
         VALUES (?1, ?2, 1, zeroblob(16), ?3, ?3)",
        params![STAGED, staged_name(stream), now],
    )?;
    let owner_no = db.last_insert_rowid();
    db.execute(
        "INSERT INTO audit_streams (owner_no, stream, sequence, hash) VALUES (?1, ?2, 0, zeroblob(32))",
        params![owner_no, stream],
    )?;
    Ok(owner_no)
}

fn put(db: &Db, unit: Unit, new: Prepared, limits: &Limits, now: Timestamp) -> Result<(), StoreError> {
    let (sql, table) = (&statements(unit)[new.table], &unit.tables()[new.table]);
    let owner_no = match unit {
        Unit::Owner(owner_no) => owner_no,
        Unit::Shared => 0,
    };
    if owner_no != 0 {
        check_staged(db, owner_no)?;
    }
    for (row, terms) in new.rows.into_iter().zip(new.terms) {
        match table.role {
            Role::Part => {
                let (version, part) = rows::part(row)?;
                let tx = Tx::new(db, Numbers { owner_no, content_no: owner_no }, now, limits);
                workspace::put_parts(&tx, version, &[part], &terms)?;
            }
            Role::Publication => publish(db, owner_no, row)?,
            Role::Plain | Role::Message | Role::Event => {
                let mut params = whose(unit);
                params.extend(row.iter().cloned().map(Param::value));
                db.execute(&sql.insert, params)?;
                match (table.role, terms.first()) {
                    (Role::Message, Some(terms)) => {
                        conversations::index(db, owner_no, db.last_insert_rowid(), terms)?;
                    }
                    (Role::Event, _) => {
                        let (sequence, hash) = rows::head(row)?;
                        let sql = "UPDATE audit_streams SET sequence = ?2, hash = ?3 WHERE owner_no = ?1";
                        db.execute(sql, params![owner_no, sequence, hash])?;
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Whoever is seen is never written to by a copy.
fn check_staged(db: &Db, owner_no: i64) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM users WHERE owner_no = ?1 AND tenant = ?2";
    match db.number(sql, params![owner_no, STAGED])? {
        0 => Err(not_staged()),
        _ => Ok(()),
    }
}

/// Makes a version what it was. Its size and its chunks are those of the parts that were put.
fn publish(db: &Db, owner_no: i64, row: Row) -> Result<(), StoreError> {
    let version = rows::publication(row)?;
    db.execute(
        "UPDATE entry_versions SET state = ?3, content_hash = ?4, updated_at = ?5, generation = 1 \
         WHERE owner_no = ?1 AND id = ?2",
        params![owner_no, &version.id, version.state, version.content_hash, version.updated_at],
    )
    .map(drop)
}

fn finish(db: &Db, owner_no: i64, identity: Option<Identity>) -> Result<(), StoreError> {
    check_staged(db, owner_no)?;
    let Some(user) = identity else {
        return db.execute("DELETE FROM users WHERE owner_no = ?1", params![owner_no]).map(drop);
    };
    db.execute(
        "INSERT INTO workspace_statistics (owner_no, documents, total_length, generation) \
         SELECT owner_no, sum(chunks), sum(terms), 1 FROM entry_versions WHERE owner_no = ?1 AND state = 1 \
         GROUP BY owner_no",
        params![owner_no],
    )?;
    db.execute(
        "UPDATE embedding_models SET chunks = (SELECT coalesce(sum(v.chunks), 0) FROM entry_versions v \
         WHERE v.owner_no = ?1 AND v.model = embedding_models.id AND v.state = 1) WHERE owner_no = ?1",
        params![owner_no],
    )?;
    let renamed = db.execute(
        "UPDATE users SET tenant = ?2, owner = ?3, status = ?4, pseudonym = ?5, created_at = ?6, updated_at = ?7 \
         WHERE owner_no = ?1",
        params![owner_no, user.tenant, user.owner, user.status, &user.pseudonym, user.created_at, user.updated_at],
    );
    match renamed {
        Err(error) if *error.kind() == StoreErrorKind::AlreadyExists => Err(taken()),
        renamed => renamed.map(drop),
    }
}

/// Deletes some of an unfinished copy; all of it is gone when something is left of what may be removed at once.
fn discard(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    check_staged(db, owner_no)?;
    let mut rows = remove::remove_user(db, owner_no, owner_no)?;
    rows += some(
        db,
        "DELETE FROM audit_events WHERE owner_no = ?1 AND sequence IN \
         (SELECT sequence FROM audit_events WHERE owner_no = ?1 LIMIT ?2)",
        owner_no,
        1,
    )?;
    if db.budget.is_left() {
        rows += remove::delete_user(db, owner_no)?;
        rows += db.execute("DELETE FROM audit_streams WHERE owner_no = ?1", params![owner_no])?;
    }
    Ok(rows)
}

impl Param for Value {
    fn value(self) -> Sqlite {
        match self {
            Self::Null => Sqlite::Null,
            Self::Number(number) => Sqlite::Integer(number),
            Self::Text(text) => Sqlite::Text(text),
            Self::Bytes(bytes) => Sqlite::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    /// What is not moved column by column: numbers of a store's own, what is derived, and what parts bring.
    const OTHERWISE: [&str; 18] = [
        "store_meta",
        "removals",
        "users",
        "audit_streams",
        "message_terms",
        "message_statistics",
        "workspace_statistics",
        "chunk_terms",
        "memory_chunks",
        "entry_parts",
        "messages.message_no",
        "jobs.job_no",
        "job_events.event_no",
        "llm_calls.call_no",
        "sandbox_jobs.run_no",
        "holds.hold_no",
        "erasures.erasure_no",
        "embedding_models.chunks",
    ];

    /// Of versions: the number, what parts add up to, and the workspace's generation.
    const OF_VERSIONS: [&str; 3] = ["version_no", "terms", "generation"];

    #[test]
    fn every_column_is_moved_or_derived() {
        let db = Db::open(":memory:", libsql::OpenFlags::default(), Duration::from_secs(1)).unwrap();
        crate::libsql::schema::configure(&db, false).unwrap();
        crate::libsql::schema::migrate(&db).unwrap();
        let moved: HashSet<String> = OF_USER
            .iter()
            .chain(SHARED)
            .flat_map(|table| table.columns.iter().map(|column| format!("{}.{}", table.source, column.name)))
            .collect();
        let columns = db
            .query(
                "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
                params![],
                |row| Ok((row.text(0)?, row.text(1)?)),
            )
            .unwrap();
        assert!(columns.len() > 200);
        for (table, column) in columns {
            let name = format!("{table}.{column}");
            let is_known = column == "owner_no"
                || moved.contains(&name)
                || OTHERWISE.contains(&table.as_str())
                || OTHERWISE.contains(&name.as_str())
                || table == "entry_versions" && OF_VERSIONS.contains(&column.as_str());
            assert!(is_known, "{name} is left behind by copies");
        }
    }
}

//! What a copy takes out of the file.

use std::sync::LazyLock;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use libsql::Value as Sqlite;
use tokio::sync::mpsc::Sender;

use super::sql::{CONTENT_NO, statements, whose};
use crate::copy::end::{Batch, Batches, Chain, Identity, Unit, Which};
use crate::copy::table::{MOVED_VERSIONS, Role, Row, Value, unexpected};
use crate::copy::{COPY, rows};
use crate::libsql::db::Db;
use crate::libsql::row::{Row as DbRow, params};
use crate::libsql::users::content_no;
use crate::reserved::ERASED;

/// What reads chains; the number of each comes first.
macro_rules! chains_query {
    ($condition:literal) => {
        concat!(
            "SELECT s.owner_no, s.stream, s.sequence, s.hash, u.tenant, u.owner, u.status, u.pseudonym, u.created_at, \
             u.updated_at, ",
            content_no!("u"),
            ", EXISTS (SELECT 1 FROM removals r WHERE r.owner_no = s.owner_no AND r.kind IN (1, 2)) FROM audit_streams s LEFT JOIN users u ON u.owner_no = s.owner_no ",
            $condition,
            " ORDER BY s.owner_no"
        )
    };
}

pub(super) fn chains(db: &Db, which: Which) -> Result<Vec<Chain>, StoreError> {
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
            is_removed_from: row.i64(11)? != 0,
        })
    })
}

pub(super) fn counts(db: &Db, unit: Unit) -> Result<Vec<u64>, StoreError> {
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
pub(super) fn stream(db: &Db, unit: Unit, tables: &[usize], to: &Sender<Batch>) -> Result<(), StoreError> {
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

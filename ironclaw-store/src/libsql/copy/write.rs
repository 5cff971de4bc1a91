//! What a copy brings into the file: staged out of sight, and then made a user's.

use ironclaw_core::store::{StoreError, StoreErrorKind};
use ironclaw_core::{Limits, Timestamp};
use libsql::Value as Sqlite;

use super::sql::{statements, whose};
use crate::copy::end::{Identity, Prepared, Unit, not_staged, staged_status, stopped};
use crate::copy::table::{Role, Row, Value};
use crate::copy::{OPEN, rows, staged_name, taken};
use crate::libsql::db::Db;
use crate::libsql::portions::some;
use crate::libsql::row::{Param, params};
use crate::libsql::tx::Tx;
use crate::libsql::users::Numbers;
use crate::libsql::{conversations, remove, workspace};
use crate::reserved::STAGED;

pub(super) fn stage(db: &Db, stream: &[u8; 16], is_space: bool, now: Timestamp) -> Result<i64, StoreError> {
    db.execute(
        "INSERT INTO users (tenant, owner, status, pseudonym, created_at, updated_at) \
         VALUES (?1, ?2, ?4, ?5, ?3, ?3)",
        params![STAGED, staged_name(stream), now, staged_status(is_space), &OPEN],
    )?;
    let owner_no = db.last_insert_rowid();
    db.execute(
        "INSERT INTO audit_streams (owner_no, stream, sequence, hash) VALUES (?1, ?2, 0, zeroblob(32))",
        params![owner_no, stream],
    )?;
    Ok(owner_no)
}

pub(super) fn put(db: &Db, unit: Unit, new: Prepared, limits: &Limits, now: Timestamp) -> Result<(), StoreError> {
    let (sql, table) = (&statements(unit)[new.table], &unit.tables()[new.table]);
    let owner_no = match unit {
        Unit::Owner(owner_no) => owner_no,
        Unit::Shared => 0,
    };
    if owner_no != 0 {
        check_open(db, owner_no)?;
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

/// The same, and nobody was erased whom it may name.
fn check_open(db: &Db, owner_no: i64) -> Result<(), StoreError> {
    check_staged(db, owner_no)?;
    let sql = "SELECT count(*) FROM users WHERE owner_no = ?1 AND pseudonym = ?2";
    match db.number(sql, params![owner_no, &OPEN])? {
        0 => Err(stopped()),
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

pub(super) fn finish(db: &Db, owner_no: i64, identity: Option<Identity>) -> Result<(), StoreError> {
    check_open(db, owner_no)?;
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
pub(super) fn discard(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
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

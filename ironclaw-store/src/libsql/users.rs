//! The rows of users, which all other rows refer to.

use ironclaw_core::model::access::UserStatus;
use ironclaw_core::store::StoreError;
use ironclaw_core::{Scope, Timestamp};

use super::db::Db;
use super::row::params;
use crate::codes;
use crate::random::random;

/// A user as changes and audit events need them.
pub(super) struct UserRow {
    pub(super) owner_no: i64,
    pub(super) status: UserStatus,
    pub(super) pseudonym: [u8; 16],
}

/// The user, or `None` if nothing was ever written for them.
pub(super) fn find(db: &Db, tenant: &str, owner: &str) -> Result<Option<UserRow>, StoreError> {
    db.query_row(
        "SELECT owner_no, status, pseudonym FROM users WHERE tenant = ?1 AND owner = ?2",
        params![tenant, owner],
        |row| Ok(UserRow { owner_no: row.i64(0)?, status: row.code(1, codes::user_status)?, pseudonym: row.bytes(2)? }),
    )
}

/// The number that stands for the scope's tenant and owner.
pub(super) fn find_no(db: &Db, scope: &Scope) -> Result<Option<i64>, StoreError> {
    db.query_row(
        "SELECT owner_no FROM users WHERE tenant = ?1 AND owner = ?2",
        params![scope.tenant().as_str(), scope.owner().as_str()],
        |row| row.i64(0),
    )
}

/// The user, made known if nothing was ever written for them.
pub(super) fn find_or_make(db: &Db, tenant: &str, owner: &str, now: Timestamp) -> Result<UserRow, StoreError> {
    if let Some(user) = find(db, tenant, owner)? {
        return Ok(user);
    }
    let operation = db.operation();
    let (pseudonym, stream) = (random::<16>(operation)?, random::<16>(operation)?);
    db.execute(
        "INSERT INTO users (tenant, owner, status, pseudonym, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        params![tenant, owner, codes::user_status_code(UserStatus::Active), &pseudonym, now],
    )?;
    let owner_no = db.last_insert_rowid();
    db.execute(
        "INSERT INTO audit_streams (owner_no, stream, sequence, hash) VALUES (?1, ?2, 0, zeroblob(32))",
        params![owner_no, &stream],
    )?;
    Ok(UserRow { owner_no, status: UserStatus::Active, pseudonym })
}

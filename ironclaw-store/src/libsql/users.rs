//! The rows of users, which all other rows refer to.

use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::spaces::SpaceRole;
use ironclaw_core::store::StoreError;
use ironclaw_core::{Scope, Timestamp};

use super::db::Db;
use super::row::params;
use crate::codes;
use crate::random::random;
use crate::reserved::{CONTENT, ERASED};
use crate::sql::Standing;

/// SQL for the number that a user's content is kept under, of a row of `users` by this name. A damaged one, which may be
/// another user's own, gives none and so an error: nobody is shown what is somebody else's.
macro_rules! content_no {
    ($user:literal) => {
        concat!(
            "CASE WHEN ",
            $user,
            ".content_no IS NULL THEN ",
            $user,
            ".owner_no ELSE (SELECT c.owner_no FROM users c WHERE c.owner_no = ",
            $user,
            ".content_no AND c.tenant = '\u{1}content') END AS \"users.content_no\""
        )
    };
}
pub(super) use content_no;

/// What the rows of a user are kept under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) owner_no: i64,
    /// For conversations, jobs, workspace and receipts.
    pub(super) content_no: i64,
}

/// A user as changes and audit events need them.
pub(super) struct UserRow {
    pub(super) owner_no: i64,
    pub(super) content_no: i64,
    pub(super) status: UserStatus,
    pub(super) pseudonym: [u8; 16],
}

impl UserRow {
    pub(super) fn numbers(&self) -> Numbers {
        Numbers { owner_no: self.owner_no, content_no: self.content_no }
    }
}

/// The user, or `None` if nothing was ever written for them.
pub(super) fn find(db: &Db, tenant: &str, owner: &str) -> Result<Option<UserRow>, StoreError> {
    db.query_row(
        concat!(
            "SELECT u.owner_no, ",
            content_no!("u"),
            ", u.status, u.pseudonym FROM users u WHERE u.tenant = ?1 AND u.owner = ?2"
        ),
        params![tenant, owner],
        |row| {
            Ok(UserRow {
                owner_no: row.i64(0)?,
                content_no: row.i64(1)?,
                status: row.code(2, codes::user_status)?,
                pseudonym: row.bytes(3)?,
            })
        },
    )
}

/// The numbers that stand for the scope's tenant and owner; `None` too of a space that the person is no member of.
pub(super) fn find_numbers(db: &Db, scope: &Scope) -> Result<Option<Numbers>, StoreError> {
    let numbers = db.query_row(
        concat!("SELECT u.owner_no, ", content_no!("u"), " FROM users u WHERE u.tenant = ?1 AND u.owner = ?2"),
        params![scope.tenant().as_str(), scope.owner().key().as_ref()],
        |row| Ok(Numbers { owner_no: row.i64(0)?, content_no: row.i64(1)? }),
    )?;
    match numbers {
        Some(space) if scope.space().is_some() && role(db, space.owner_no, scope)?.is_none() => Ok(None),
        numbers => Ok(numbers),
    }
}

/// What the scope's person is in a space, if they are a member of it.
fn role(db: &Db, space_no: i64, scope: &Scope) -> Result<Option<SpaceRole>, StoreError> {
    db.query_row(
        "SELECT owner_no, role FROM members WHERE owner_no = ?1 AND member = ?2 AND valid_until IS NULL",
        params![space_no, scope.person().as_str()],
        |row| row.code(1, codes::space_role),
    )
}

/// In whose place a transaction writes, and who writes.
pub(super) struct Entered {
    /// Whose place it is.
    pub(super) owner: UserRow,
    /// Who writes: in their own place the owner.
    pub(super) person_no: i64,
    /// Whether an operator suspended who writes.
    pub(super) suspended: bool,
    pub(super) standing: Standing,
}

/// Enters the scope's place to write: who writes is made known, and with `creating` a space that is not there. `None` if it
/// is a space that they are no member of.
pub(super) fn enter(db: &Db, scope: &Scope, creating: bool, now: Timestamp) -> Result<Option<Entered>, StoreError> {
    let tenant = scope.tenant().as_str();
    let person = find_or_make(db, tenant, scope.person().as_str(), now)?;
    let (person_no, suspended) = (person.owner_no, person.status == UserStatus::Suspended);
    if scope.space().is_none() {
        return Ok(Some(Entered { owner: person, person_no, suspended, standing: Standing::Own }));
    }
    let key = scope.owner().key();
    let (owner, standing) = match find(db, tenant, &key)? {
        Some(space) => match role(db, space.owner_no, scope)? {
            Some(role) => (space, Standing::Member(role)),
            None if creating => (space, Standing::Stranger),
            None => return Ok(None),
        },
        None if creating => (find_or_make(db, tenant, &key, now)?, Standing::Founder),
        None => return Ok(None),
    };
    Ok(Some(Entered { owner, person_no, suspended, standing }))
}

/// Whether there is a user of this number, who was not erased.
pub(super) fn is_there(db: &Db, owner_no: i64) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM users WHERE owner_no = ?1 AND tenant <> ?2";
    Ok(db.number(sql, params![owner_no, ERASED])? > 0)
}

/// Gives a user an empty number for what is content from now on.
pub(super) fn renew_content(db: &Db, owner_no: i64, now: Timestamp) -> Result<i64, StoreError> {
    let name = crate::cursor::hex(&random::<16>(db.operation())?);
    db.execute(
        "INSERT INTO users (tenant, owner, status, pseudonym, created_at, updated_at) \
         VALUES (?1, ?2, 1, zeroblob(16), ?3, ?3)",
        params![CONTENT, name, now],
    )?;
    let content_no = db.last_insert_rowid();
    db.execute("UPDATE users SET content_no = ?2 WHERE owner_no = ?1", params![owner_no, content_no])?;
    Ok(content_no)
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
    Ok(UserRow { owner_no, content_no: owner_no, status: UserStatus::Active, pseudonym })
}

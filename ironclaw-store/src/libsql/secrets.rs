//! Sealed secrets and wrapped keys.

use ironclaw_core::change::SecretOp;
use ironclaw_core::id::{DataKeyId, SecretName};
use ironclaw_core::model::secrets::{PutSecret, WrappedKey};
use ironclaw_core::model::workspace::ContentHash;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::db::Db;
use super::removal::some;
use super::row::params;
use super::tx::Tx;

mod codec;
mod read;
mod vault;

#[cfg(test)]
mod tests;

pub(super) use vault::{add_wrap, init_vault, remove_wrap};

/// Applies an operation. The number that its receipt tells.
pub(super) fn apply(tx: &Tx<'_>, op: &SecretOp) -> Result<u64, StoreError> {
    match op {
        SecretOp::PutDataKey { id, number, root_key, wrapped } => put_data_key(tx, *id, *number, *root_key, wrapped),
        SecretOp::Put { secret } => put(tx, secret),
        SecretOp::Use { name, number } => count_use(tx, name, *number),
        SecretOp::Delete { name } => delete(tx, name),
        _ => Err(tx.error(StoreErrorKind::Internal, "an operation that this store does not know")),
    }
}

/// The version of a secret's row, 0 if there is none.
pub(super) fn row_version(tx: &Tx<'_>, name: &SecretName) -> Result<u64, StoreError> {
    let version = tx
        .db
        .number("SELECT version FROM secrets WHERE owner_no = ?1 AND name = ?2", params![tx.owner_no, name.as_str()])?;
    Ok(version.cast_unsigned())
}

/// Deletes some of the secrets and keys of a user who is erased, and of what tells of those that were deleted before. How
/// many rows.
pub(super) fn erase(db: &Db, owner_no: i64) -> Result<u64, StoreError> {
    let mut rows = 0;
    for (sql, weight) in [
        (
            "DELETE FROM secret_versions WHERE owner_no = ?1 AND (name, number) IN \
             (SELECT name, number FROM secret_versions WHERE owner_no = ?1 LIMIT ?2)",
            16,
        ),
        (
            "DELETE FROM secrets WHERE owner_no = ?1 AND name IN (SELECT name FROM secrets WHERE owner_no = ?1 LIMIT ?2)",
            8,
        ),
        (
            "DELETE FROM secret_numbers WHERE owner_no = ?1 AND name_hash IN \
             (SELECT name_hash FROM secret_numbers WHERE owner_no = ?1 LIMIT ?2)",
            1,
        ),
        (
            "DELETE FROM data_keys WHERE owner_no = ?1 AND id IN (SELECT id FROM data_keys WHERE owner_no = ?1 LIMIT ?2)",
            1,
        ),
    ] {
        rows += some(db, sql, owner_no, weight)?;
    }
    Ok(rows)
}

fn put_data_key(
    tx: &Tx<'_>,
    id: DataKeyId,
    number: u32,
    root_key: u32,
    wrapped: &WrappedKey,
) -> Result<u64, StoreError> {
    let highest =
        tx.db.number("SELECT coalesce(max(number), 0) FROM data_keys WHERE owner_no = ?1", params![tx.owner_no])?;
    if Some(i64::from(number)) != highest.checked_add(1) {
        return Err(tx.conflict("the data key's number is not one more than the highest"));
    }
    tx.db.execute(
        "INSERT INTO data_keys (owner_no, id, number, root_key, format, algorithm, parameters, nonce, ciphertext, \
         seals, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)",
        params![
            tx.owner_no,
            id.as_bytes(),
            number,
            root_key,
            u32::from(wrapped.format),
            codec::algorithm_code(tx.db, wrapped.algorithm)?,
            wrapped.parameters.as_slice(),
            wrapped.nonce.as_slice(),
            wrapped.ciphertext.as_slice(),
            tx.now,
        ],
    )?;
    Ok(0)
}

fn put(tx: &Tx<'_>, secret: &PutSecret) -> Result<u64, StoreError> {
    let name = secret.name.as_str();
    if secret.number != next_number(tx.db, tx.owner_no, &secret.name)? {
        return Err(tx.conflict("the secret has another version by now"));
    }
    let sealed = &secret.sealed;
    let keys = tx.db.execute(
        "UPDATE data_keys SET seals = seals + 1 WHERE owner_no = ?1 AND id = ?2",
        params![tx.owner_no, sealed.data_key.as_bytes()],
    )?;
    if keys == 0 {
        return Err(tx.not_found("the data key of the sealed value"));
    }
    tx.db.execute(
        "INSERT INTO secret_versions (owner_no, name, number, format, algorithm, data_key, salt, nonce, ciphertext, \
         created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tx.owner_no,
            name,
            secret.number,
            u32::from(sealed.format),
            codec::algorithm_code(tx.db, sealed.algorithm)?,
            sealed.data_key.as_bytes(),
            sealed.salt.as_slice(),
            sealed.nonce.as_slice(),
            sealed.ciphertext.as_slice(),
            tx.now,
        ],
    )?;
    tx.db.execute(
        "INSERT INTO secrets (owner_no, name, provider, bindings, expires_at, current_version, created_at, \
         updated_at, usage_count, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 1) \
         ON CONFLICT (owner_no, name) DO UPDATE SET provider = excluded.provider, bindings = excluded.bindings, \
         expires_at = excluded.expires_at, current_version = excluded.current_version, \
         updated_at = excluded.updated_at, version = version + 1",
        params![
            tx.owner_no,
            name,
            secret.provider.as_deref(),
            codec::bindings_text(&secret.bindings),
            secret.expires_at,
            secret.number,
            tx.now,
        ],
    )?;
    Ok(secret.number.into())
}

fn count_use(tx: &Tx<'_>, name: &SecretName, number: u32) -> Result<u64, StoreError> {
    let rows = tx.db.execute(
        "UPDATE secrets SET usage_count = usage_count + 1, last_used_at = ?4, version = version + 1 \
         WHERE owner_no = ?1 AND name = ?2 AND EXISTS (SELECT 1 FROM secret_versions v \
         WHERE v.owner_no = ?1 AND v.name = ?2 AND v.number = ?3)",
        params![tx.owner_no, name.as_str(), number, tx.now],
    )?;
    match rows {
        0 => Err(tx.not_found("the version of the secret")),
        _ => Ok(0),
    }
}

fn delete(tx: &Tx<'_>, name: &SecretName) -> Result<u64, StoreError> {
    tx.check_not_held()?;
    let last = tx.db.query_row(
        "DELETE FROM secrets WHERE owner_no = ?1 AND name = ?2 RETURNING current_version",
        params![tx.owner_no, name.as_str()],
        |row| row.u32(0),
    )?;
    let Some(last) = last else {
        return Ok(0);
    };
    tx.db.execute(
        "DELETE FROM secret_versions WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no, name.as_str()],
    )?;
    tx.db.execute(
        "INSERT INTO secret_numbers (owner_no, name_hash, last_number) VALUES (?1, ?2, ?3) \
         ON CONFLICT (owner_no, name_hash) DO UPDATE SET last_number = excluded.last_number",
        params![tx.owner_no, name_hash(name).as_bytes(), last],
    )?;
    Ok(1)
}

/// One more than the highest number that a secret of this name ever had.
fn next_number(db: &Db, owner_no: i64, name: &SecretName) -> Result<u32, StoreError> {
    let last = db.number(
        "SELECT coalesce((SELECT current_version FROM secrets WHERE owner_no = ?1 AND name = ?2), \
         (SELECT last_number FROM secret_numbers WHERE owner_no = ?1 AND name_hash = ?3), 0)",
        params![owner_no, name.as_str(), name_hash(name).as_bytes()],
    )?;
    u32::try_from(last)
        .ok()
        .and_then(|last| last.checked_add(1))
        .ok_or_else(|| db.error(StoreErrorKind::Conflict, "the secret has no version number left; use another name"))
}

fn name_hash(name: &SecretName) -> ContentHash {
    ContentHash::of(name.as_str().as_bytes())
}

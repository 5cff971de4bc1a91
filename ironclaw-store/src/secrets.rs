//! Sealed secrets and wrapped keys.

use ironclaw_core::change::SecretOp;
use ironclaw_core::id::{DataKeyId, SecretName};
use ironclaw_core::model::secrets::{PutSecret, WrappedKey};
use ironclaw_core::model::workspace::ContentHash;
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::sql::{Id, Owned, Transaction, owned, params};

mod codec;
mod read;
mod vault;

pub(crate) use vault::{add_wrap, init_vault, remove_wrap};

/// What goes with a user, and what tells of secrets that were deleted before.
pub(crate) const OWNED: [Owned; 4] = [
    owned!("secret_versions", "name, number", 16),
    owned!("secrets", "name", 8),
    owned!("secret_numbers", "name_hash"),
    owned!("data_keys", "id"),
];

/// Applies an operation. The number that its receipt tells.
pub(crate) async fn apply(tx: &dyn Transaction, op: &SecretOp) -> Result<u64, StoreError> {
    match op {
        SecretOp::PutDataKey { id, number, root_key, wrapped } => {
            put_data_key(tx, *id, *number, *root_key, wrapped).await
        }
        SecretOp::Put { secret } => put(tx, secret).await,
        SecretOp::Use { name, number } => count_use(tx, name, *number).await,
        SecretOp::DestroyVersion { name, number } => destroy_version(tx, name, *number).await,
        SecretOp::Delete { name } => delete(tx, name).await,
    }
}

/// The version of a secret's row, 0 if there is none.
pub(crate) async fn row_version(tx: &dyn Transaction, name: &SecretName) -> Result<u64, StoreError> {
    let version = tx
        .number(
            "SELECT version FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2",
            params![tx.owner_no(), name.as_str()],
        )
        .await?;
    Ok(version.cast_unsigned())
}

async fn put_data_key(
    tx: &dyn Transaction,
    id: DataKeyId,
    number: u32,
    root_key: u32,
    wrapped: &WrappedKey,
) -> Result<u64, StoreError> {
    let highest = tx
        .number("SELECT coalesce(max(number), 0) FROM ironclaw.data_keys WHERE owner_no = ?1", params![tx.owner_no()])
        .await?;
    if Some(i64::from(number)) != highest.checked_add(1) {
        return Err(tx.conflict("the data key's number is not one more than the highest"));
    }
    tx.execute(
        "INSERT INTO ironclaw.data_keys (owner_no, id, number, root_key, format, algorithm, parameters, nonce, \
         ciphertext, seals, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)",
        params![
            tx.owner_no(),
            Id(id.as_bytes()),
            number,
            root_key,
            u32::from(wrapped.format),
            codec::algorithm_code(tx, wrapped.algorithm)?,
            wrapped.parameters.as_slice(),
            wrapped.nonce.as_slice(),
            wrapped.ciphertext.as_slice(),
            tx.now(),
        ],
    )
    .await?;
    Ok(0)
}

async fn put(tx: &dyn Transaction, secret: &PutSecret) -> Result<u64, StoreError> {
    let name = secret.name.as_str();
    if secret.number != next_number(tx, tx.owner_no(), &secret.name).await? {
        return Err(tx.conflict("the secret has another version by now"));
    }
    let sealed = &secret.sealed;
    let keys = tx
        .execute(
            "UPDATE ironclaw.data_keys SET seals = seals + 1 WHERE owner_no = ?1 AND id = ?2",
            params![tx.owner_no(), Id(sealed.data_key.as_bytes())],
        )
        .await?;
    if keys == 0 {
        return Err(tx.not_found("the data key of the sealed value"));
    }
    tx.execute(
        "INSERT INTO ironclaw.secret_versions (owner_no, name, number, format, algorithm, data_key, salt, nonce, \
         ciphertext, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tx.owner_no(),
            name,
            secret.number,
            u32::from(sealed.format),
            codec::algorithm_code(tx, sealed.algorithm)?,
            Id(sealed.data_key.as_bytes()),
            sealed.salt.as_slice(),
            sealed.nonce.as_slice(),
            sealed.ciphertext.as_slice(),
            tx.now(),
        ],
    )
    .await?;
    tx.execute(
        "INSERT INTO ironclaw.secrets AS s (owner_no, name, provider, bindings, expires_at, current_version, \
         created_at, updated_at, usage_count, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 1) \
         ON CONFLICT (owner_no, name) DO UPDATE SET provider = excluded.provider, bindings = excluded.bindings, \
         expires_at = excluded.expires_at, current_version = excluded.current_version, updated_at = \
         excluded.updated_at, version = s.version + 1",
        params![
            tx.owner_no(),
            name,
            secret.provider.as_deref(),
            codec::bindings_text(&secret.bindings),
            secret.expires_at,
            secret.number,
            tx.now(),
        ],
    )
    .await?;
    Ok(secret.number.into())
}

async fn count_use(tx: &dyn Transaction, name: &SecretName, number: u32) -> Result<u64, StoreError> {
    let rows = tx
        .execute(
            "UPDATE ironclaw.secrets SET usage_count = usage_count + 1, last_used_at = ?4, version = version + 1 \
             WHERE owner_no = ?1 AND name = ?2 AND EXISTS (SELECT 1 FROM ironclaw.secret_versions v \
             WHERE v.owner_no = ?1 AND v.name = ?2 AND v.number = ?3)",
            params![tx.owner_no(), name.as_str(), number, tx.now()],
        )
        .await?;
    match rows {
        0 => Err(tx.not_found("the version of the secret")),
        _ => Ok(0),
    }
}

async fn destroy_version(tx: &dyn Transaction, name: &SecretName, number: u32) -> Result<u64, StoreError> {
    tx.check_not_held().await?;
    let current = tx
        .query_row(
            "SELECT current_version FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2 FOR NO KEY UPDATE",
            params![tx.owner_no(), name.as_str()],
            |row| row.u32(0),
        )
        .await?;
    if current == Some(number) {
        return Err(tx.conflict("this is the current version: put another first, or delete the secret"));
    }
    tx.execute(
        "DELETE FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2 AND number = ?3",
        params![tx.owner_no(), name.as_str(), number],
    )
    .await
}

async fn delete(tx: &dyn Transaction, name: &SecretName) -> Result<u64, StoreError> {
    tx.check_not_held().await?;
    let last = tx
        .query_row(
            "DELETE FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2 RETURNING current_version",
            params![tx.owner_no(), name.as_str()],
            |row| row.u32(0),
        )
        .await?;
    let Some(last) = last else {
        return Ok(0);
    };
    tx.execute(
        "DELETE FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2",
        params![tx.owner_no(), name.as_str()],
    )
    .await?;
    tx.execute(
        "INSERT INTO ironclaw.secret_numbers (owner_no, name_hash, last_number) VALUES (?1, ?2, ?3) \
         ON CONFLICT (owner_no, name_hash) DO UPDATE SET last_number = excluded.last_number",
        params![tx.owner_no(), name_hash(name).as_bytes(), last],
    )
    .await?;
    Ok(1)
}

/// One more than the highest number that a secret of this name ever had.
async fn next_number(tx: &dyn Transaction, owner_no: i64, name: &SecretName) -> Result<u32, StoreError> {
    let last = tx
        .number(
            "SELECT coalesce((SELECT current_version FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2), \
             (SELECT last_number FROM ironclaw.secret_numbers WHERE owner_no = ?1 AND name_hash = ?3), 0)",
            params![owner_no, name.as_str(), name_hash(name).as_bytes()],
        )
        .await?;
    u32::try_from(last)
        .ok()
        .and_then(|last| last.checked_add(1))
        .ok_or_else(|| tx.error(StoreErrorKind::Conflict, "the secret has no version number left; use another name"))
}

fn name_hash(name: &SecretName) -> ContentHash {
    ContentHash::of(name.as_str().as_bytes())
}

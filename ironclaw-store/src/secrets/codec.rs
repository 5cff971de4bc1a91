//! Secrets and keys from rows.

use ironclaw_core::id::{DataKeyId, RootKeyWrapId, SecretName, VaultId};
use ironclaw_core::model::secrets::{
    Algorithm, Binding, DataKey, RootKeyWrap, Sealed, Secret, SecretVersion, VaultHeader, WrappedKey,
};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use crate::codes;
use crate::sql::{Json, Row, Transaction};

/// The columns that [`secret`] reads.
macro_rules! secret_columns {
    () => {
        "name, provider, bindings, expires_at, current_version, created_at, updated_at, last_used_at, usage_count, \
         version"
    };
}

/// The columns that [`secret_version`] reads.
macro_rules! version_columns {
    () => {
        "name, number, format, algorithm, data_key, salt, nonce, ciphertext, created_at"
    };
}

/// The columns that [`data_key`] reads.
macro_rules! data_key_columns {
    () => {
        "id, number, root_key, format, algorithm, parameters, nonce, ciphertext, seals, created_at"
    };
}

pub(super) use {data_key_columns, secret_columns, version_columns};

pub(super) fn secret(row: &dyn Row) -> Result<Secret, StoreError> {
    Ok(Secret::new(row.parsed::<SecretName>(0)?, row.time(5)?)
        .provider(row.optional(1, Row::text)?)
        .bindings(row.json(2)?)
        .expires_at(row.optional(3, Row::time)?)
        .current_version(row.u32(4)?)
        .updated_at(row.time(6)?)
        .last_used_at(row.optional(7, Row::time)?)
        .usage_count(row.count(8)?)
        .version(row.count(9)?))
}

pub(super) fn secret_version(row: &dyn Row) -> Result<SecretVersion, StoreError> {
    Ok(SecretVersion::new(
        row.parsed::<SecretName>(0)?,
        row.u32(1)?,
        Sealed::new(
            format(row, 2)?,
            row.code(3, codes::algorithm)?,
            DataKeyId::from_bytes(row.id(4)?),
            row.blob(6)?,
            row.blob(7)?,
        )
        .salt(row.blob(5)?),
        row.time(8)?,
    ))
}

pub(super) fn data_key(row: &dyn Row) -> Result<DataKey, StoreError> {
    Ok(DataKey::new(DataKeyId::from_bytes(row.id(0)?), row.u32(1)?, row.u32(2)?, wrapped(row, 3)?, row.time(9)?)
        .seals(row.count(8)?))
}

/// Of the columns id, format, root_key, created_at.
pub(super) fn vault_header(row: &dyn Row) -> Result<VaultHeader, StoreError> {
    Ok(VaultHeader::new(VaultId::from_bytes(row.id(0)?), format(row, 1)?, row.u32(2)?, row.time(3)?))
}

/// Of the columns id, root_key, source, format, algorithm, parameters, nonce, ciphertext, created_at.
pub(super) fn root_key_wrap(row: &dyn Row) -> Result<RootKeyWrap, StoreError> {
    Ok(RootKeyWrap::new(
        RootKeyWrapId::from_bytes(row.id(0)?),
        row.u32(1)?,
        row.text(2)?,
        wrapped(row, 3)?,
        row.time(8)?,
    ))
}

/// The number that stands for an algorithm.
pub(super) fn algorithm_code(tx: &dyn Transaction, algorithm: Algorithm) -> Result<i64, StoreError> {
    codes::algorithm_code(algorithm)
        .ok_or_else(|| tx.error(StoreErrorKind::Internal, "this store has no number for the cipher; update it"))
}

/// The text that keeps a secret's bindings.
pub(super) fn bindings_text(bindings: &[Binding]) -> Json {
    let bindings =
        bindings.iter().map(|binding| serde_json::json!({ "host": binding.host })).collect::<serde_json::Value>();
    Json::of(&bindings)
}

/// A wrapped key in the columns from `first`: format, algorithm, parameters, nonce, ciphertext.
fn wrapped(row: &dyn Row, first: usize) -> Result<WrappedKey, StoreError> {
    Ok(WrappedKey::new(
        format(row, first)?,
        row.code(first + 1, codes::algorithm)?,
        row.blob(first + 3)?,
        row.blob(first + 4)?,
    )
    .parameters(row.blob(first + 2)?))
}

fn format(row: &dyn Row, column: usize) -> Result<u16, StoreError> {
    row.code(column, |number| u16::try_from(number).ok())
}

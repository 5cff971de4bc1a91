//! A tenant's vault: its header and the wrappings of its root key. Operators write these.

use ironclaw_core::id::{RootKeyWrapId, TenantId};
use ironclaw_core::model::secrets::{RootKeyWrap, VaultHeader};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::codec;
use crate::sql::{Id, Transaction, params};

/// Makes a tenant's vault; one that exists is refused.
pub(crate) async fn init_vault(
    tx: &dyn Transaction,
    tenant: &TenantId,
    header: &VaultHeader,
    wrap: &RootKeyWrap,
) -> Result<(), StoreError> {
    if wrap.root_key != header.root_key {
        return Err(tx.error(StoreErrorKind::Conflict, "the wrapping is of another root key than the vault's"));
    }
    if lock(tx, tenant).await? {
        return Err(tx.error(StoreErrorKind::AlreadyExists, "the tenant has a vault"));
    }
    tx.execute(
        "INSERT INTO ironclaw.vault_header (tenant, id, format, root_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            tenant.as_str(),
            Id(header.id.as_bytes()),
            u32::from(header.format),
            header.root_key,
            header.created_at,
        ],
    )
    .await?;
    insert_wrap(tx, tenant, wrap).await
}

/// Adds a wrapping to a vault that exists.
pub(crate) async fn add_wrap(tx: &dyn Transaction, tenant: &TenantId, wrap: &RootKeyWrap) -> Result<(), StoreError> {
    if !lock(tx, tenant).await? {
        return Err(tx.error(StoreErrorKind::NotFound, "the tenant's vault"));
    }
    let wraps =
        tx.number("SELECT count(*) FROM ironclaw.root_key_wraps WHERE tenant = ?1", params![tenant.as_str()]).await?;
    if wraps.cast_unsigned() >= VaultHeader::WRAPS as u64 {
        return Err(tx.error(StoreErrorKind::Conflict, "the vault has 32 wrappings, the most it may: remove one first"));
    }
    insert_wrap(tx, tenant, wrap).await
}

/// Removes a wrapping, but never the last one of the root key in use: nothing sealed could be opened again.
pub(crate) async fn remove_wrap(tx: &dyn Transaction, tenant: &TenantId, id: RootKeyWrapId) -> Result<(), StoreError> {
    let is_there = lock(tx, tenant).await?;
    let others = tx
        .number(
            "SELECT count(*) FROM ironclaw.root_key_wraps w JOIN ironclaw.vault_header h ON h.tenant = w.tenant \
             WHERE w.tenant = ?1 AND w.root_key = h.root_key AND w.id <> ?2",
            params![tenant.as_str(), Id(id.as_bytes())],
        )
        .await?;
    if others == 0 && is_there {
        return Err(tx.error(StoreErrorKind::Conflict, "it is the last wrapping of the root key; add another first"));
    }
    let removed = tx
        .execute(
            "DELETE FROM ironclaw.root_key_wraps WHERE tenant = ?1 AND id = ?2",
            params![tenant.as_str(), Id(id.as_bytes())],
        )
        .await?;
    if removed == 0 {
        return Err(tx.error(StoreErrorKind::NotFound, "the wrapping of the root key"));
    }
    Ok(())
}

/// Keeps others from changing the tenant's vault until the transaction ends: of two operators who remove a wrapping
/// each
/// at the same time, the second sees what the first has left. Whether there is one.
async fn lock(tx: &dyn Transaction, tenant: &TenantId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM ironclaw.vault_header WHERE tenant = ?1 FOR NO KEY UPDATE";
    Ok(tx.number(sql, params![tenant.as_str()]).await? > 0)
}

async fn insert_wrap(tx: &dyn Transaction, tenant: &TenantId, wrap: &RootKeyWrap) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO ironclaw.root_key_wraps (tenant, id, root_key, source, format, algorithm, parameters, nonce, \
         ciphertext, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tenant.as_str(),
            Id(wrap.id.as_bytes()),
            wrap.root_key,
            wrap.source.as_str(),
            u32::from(wrap.wrapped.format),
            codec::algorithm_code(tx, wrap.wrapped.algorithm)?,
            wrap.wrapped.parameters.as_slice(),
            wrap.wrapped.nonce.as_slice(),
            wrap.wrapped.ciphertext.as_slice(),
            wrap.created_at,
        ],
    )
    .await
    .map(drop)
}

//! A tenant's vault: its header and the wrappings of its root key. Operators write these.

use ironclaw_core::id::{RootKeyWrapId, TenantId};
use ironclaw_core::model::secrets::{RootKeyWrap, VaultHeader};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::codec;
use crate::libsql::db::Db;
use crate::libsql::row::params;

/// Makes a tenant's vault; one that exists is refused.
pub(in crate::libsql) fn init_vault(
    db: &Db,
    tenant: &TenantId,
    header: &VaultHeader,
    wrap: &RootKeyWrap,
) -> Result<(), StoreError> {
    if wrap.root_key != header.root_key {
        return Err(db.error(StoreErrorKind::Conflict, "the wrapping is of another root key than the vault's"));
    }
    if exists(db, tenant)? {
        return Err(db.error(StoreErrorKind::AlreadyExists, "the tenant has a vault"));
    }
    db.execute(
        "INSERT INTO vault_header (tenant, id, format, root_key, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![tenant.as_str(), header.id.as_bytes(), u32::from(header.format), header.root_key, header.created_at,],
    )?;
    insert_wrap(db, tenant, wrap)
}

/// Adds a wrapping to a vault that exists.
pub(in crate::libsql) fn add_wrap(db: &Db, tenant: &TenantId, wrap: &RootKeyWrap) -> Result<(), StoreError> {
    if !exists(db, tenant)? {
        return Err(db.error(StoreErrorKind::NotFound, "the tenant's vault"));
    }
    insert_wrap(db, tenant, wrap)
}

/// Removes a wrapping, but never the last one of the root key in use: nothing sealed could be opened again.
pub(in crate::libsql) fn remove_wrap(db: &Db, tenant: &TenantId, id: RootKeyWrapId) -> Result<(), StoreError> {
    let others = db.number(
        "SELECT count(*) FROM root_key_wraps w JOIN vault_header h ON h.tenant = w.tenant \
         WHERE w.tenant = ?1 AND w.root_key = h.root_key AND w.id <> ?2",
        params![tenant.as_str(), id.as_bytes()],
    )?;
    if others == 0 && exists(db, tenant)? {
        return Err(db.error(StoreErrorKind::Conflict, "it is the last wrapping of the root key; add another first"));
    }
    let removed = db
        .execute("DELETE FROM root_key_wraps WHERE tenant = ?1 AND id = ?2", params![tenant.as_str(), id.as_bytes()])?;
    if removed == 0 {
        return Err(db.error(StoreErrorKind::NotFound, "the wrapping of the root key"));
    }
    Ok(())
}

fn exists(db: &Db, tenant: &TenantId) -> Result<bool, StoreError> {
    Ok(db.number("SELECT count(*) FROM vault_header WHERE tenant = ?1", params![tenant.as_str()])? > 0)
}

fn insert_wrap(db: &Db, tenant: &TenantId, wrap: &RootKeyWrap) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO root_key_wraps (tenant, id, root_key, source, format, algorithm, parameters, nonce, ciphertext, \
         created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            tenant.as_str(),
            wrap.id.as_bytes(),
            wrap.root_key,
            wrap.source.as_str(),
            u32::from(wrap.wrapped.format),
            codec::algorithm_code(db, wrap.wrapped.algorithm)?,
            wrap.wrapped.parameters.as_slice(),
            wrap.wrapped.nonce.as_slice(),
            wrap.wrapped.ciphertext.as_slice(),
            wrap.created_at,
        ],
    )
    .map(drop)
}

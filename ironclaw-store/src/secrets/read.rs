use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::{DataKeyId, SecretName, TenantId};
use ironclaw_core::model::secrets::{DataKey, RootKeyWrap, Secret, SecretVersion, VaultHeader};
use ironclaw_core::store::{Secrets, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, data_key_columns, secret_columns, version_columns};
use super::next_number;
use crate::cursor;
use crate::sql::{Categories, Engine, Id, params};

#[async_trait]
impl<E: Engine> Secrets for Categories<E> {
    async fn vault(&self, tenant: &TenantId) -> Result<Option<VaultHeader>, StoreError> {
        self.read_tenant("vault", tenant, |tx, tenant| {
            async move {
                tx.query_row(
                    "SELECT id, format, root_key, created_at FROM ironclaw.vault_header WHERE tenant = ?1",
                    params![tenant.as_str()],
                    codec::vault_header,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn root_key_wraps(&self, tenant: &TenantId) -> Result<Vec<RootKeyWrap>, StoreError> {
        self.read_tenant("root_key_wraps", tenant, |tx, tenant| {
            async move {
                tx.query(
                    "SELECT id, root_key, source, format, algorithm, parameters, nonce, ciphertext, created_at \
                     FROM ironclaw.root_key_wraps WHERE tenant = ?1 ORDER BY created_at, id",
                    params![tenant.as_str()],
                    codec::root_key_wrap,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn data_key(&self, scope: &Scope, id: DataKeyId) -> Result<Option<DataKey>, StoreError> {
        self.read_to_decide("data_key", scope, id, |tx, id| {
            async move {
                tx.query_row(
                    concat!("SELECT ", data_key_columns!(), " FROM ironclaw.data_keys WHERE owner_no = ?1 AND id = ?2"),
                    params![tx.owner_no(), Id(id.as_bytes())],
                    codec::data_key,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn newest_data_key(&self, scope: &Scope) -> Result<Option<DataKey>, StoreError> {
        self.read_to_decide("newest_data_key", scope, (), |tx, ()| {
            async move {
                tx.query_row(
                    concat!(
                        "SELECT ",
                        data_key_columns!(),
                        " FROM ironclaw.data_keys WHERE owner_no = ?1 ORDER BY number DESC LIMIT 1"
                    ),
                    params![tx.owner_no()],
                    codec::data_key,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn secret(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, StoreError> {
        let name = name.clone();
        self.read_to_decide("secret", scope, name, |tx, name| {
            async move {
                tx.query_row(
                    concat!("SELECT ", secret_columns!(), " FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2"),
                    params![tx.owner_no(), name.as_str()],
                    codec::secret,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn secrets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, StoreError> {
        let page = page.clone();
        let after: Option<String> = cursor::after("secrets", &page)?;
        self.read_to_decide("secrets", scope, (after, page), |tx, (after, page)| {
            async move {
                let secrets = tx
                    .query(
                        concat!(
                            "SELECT ",
                            secret_columns!(),
                            " FROM ironclaw.secrets WHERE owner_no = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
                        ),
                        // No name is empty.
                        params![tx.owner_no(), after.as_deref().unwrap_or_default(), cursor::rows(&page)],
                        codec::secret,
                    )
                    .await?;
                Ok(cursor::page(&page, secrets, |secret| secret.name.as_str().to_owned()))
            }
            .boxed()
        })
        .await
    }

    async fn next_secret_version(&self, scope: &Scope, name: &SecretName) -> Result<u32, StoreError> {
        let name = name.clone();
        let next = self
            .read_to_decide("next_secret_version", scope, name, |tx, name| {
                async move { next_number(tx, tx.owner_no(), &name).await.map(Some) }.boxed()
            })
            .await?;
        Ok(next.unwrap_or(1))
    }

    async fn secret_version(
        &self,
        scope: &Scope,
        name: &SecretName,
        number: Option<u32>,
    ) -> Result<Option<SecretVersion>, StoreError> {
        let name = name.clone();
        self.read_to_decide("secret_version", scope, (name, number), |tx, (name, number)| {
            async move {
                tx.query_row(
                    concat!(
                        "SELECT ",
                        version_columns!(),
                        " FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2 AND number = coalesce(?3, \
                         (SELECT current_version FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2))"
                    ),
                    params![tx.owner_no(), name.as_str(), number],
                    codec::secret_version,
                )
                .await
            }
            .boxed()
        })
        .await
    }

    async fn secret_versions(
        &self,
        scope: &Scope,
        name: &SecretName,
        page: &PageRequest,
    ) -> Result<Page<SecretVersion>, StoreError> {
        let (name, page) = (name.clone(), page.clone());
        let after: Option<u64> = cursor::after("secret_versions", &page)?;
        self.read_to_decide("secret_versions", scope, (name, after, page), |tx, (name, after, page)| {
            async move {
                let versions = tx
                    .query(
                        concat!(
                            "SELECT ",
                            version_columns!(),
                            " FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2 AND number > ?3 \
                             ORDER BY number LIMIT ?4"
                        ),
                        params![tx.owner_no(), name.as_str(), after.unwrap_or(0), cursor::rows(&page)],
                        codec::secret_version,
                    )
                    .await?;
                Ok(cursor::page(&page, versions, |version| u64::from(version.number)))
            }
            .boxed()
        })
        .await
    }
}

use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::id::{DataKeyId, SecretName, TenantId};
use ironclaw_core::model::secrets::{DataKey, RootKeyWrap, Secret, SecretVersion, VaultHeader};
use ironclaw_core::store::{Secrets, StoreError};
use ironclaw_core::{Page, PageRequest, Scope};

use super::codec::{self, data_key_columns, secret_columns, version_columns};
use super::next_number;
use crate::cursor;
use crate::sql::{Categories, Engine, Freshness, Id, Query, Reach, params};

#[async_trait]
impl<E: Engine> Secrets for Categories<E> {
    async fn vault(&self, tenant: &TenantId) -> Result<Option<VaultHeader>, StoreError> {
        let sql = "SELECT id, format, root_key, created_at FROM ironclaw.vault_header WHERE tenant = ?1";
        self.find("vault", Query::of_tenant(tenant, sql, codec::vault_header)).await
    }

    async fn root_key_wraps(&self, tenant: &TenantId) -> Result<Vec<RootKeyWrap>, StoreError> {
        let sql = "SELECT id, root_key, source, format, algorithm, parameters, nonce, ciphertext, created_at \
                   FROM ironclaw.root_key_wraps WHERE tenant = ?1 ORDER BY created_at, id";
        self.list("root_key_wraps", Query::of_tenant(tenant, sql, codec::root_key_wrap)).await
    }

    async fn data_key(&self, scope: &Scope, id: DataKeyId) -> Result<Option<DataKey>, StoreError> {
        let sql = concat!("SELECT ", data_key_columns!(), " FROM ironclaw.data_keys WHERE owner_no = ?1 AND id = ?2");
        self.find("data_key", Query::to_decide(scope, sql, params![Id(id.as_bytes())], codec::data_key)).await
    }

    async fn newest_data_key(&self, scope: &Scope) -> Result<Option<DataKey>, StoreError> {
        let sql = concat!(
            "SELECT ",
            data_key_columns!(),
            " FROM ironclaw.data_keys WHERE owner_no = ?1 ORDER BY number DESC LIMIT 1"
        );
        self.find("newest_data_key", Query::to_decide(scope, sql, params![], codec::data_key)).await
    }

    async fn secret(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, StoreError> {
        let sql = concat!("SELECT ", secret_columns!(), " FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2");
        self.find("secret", Query::to_decide(scope, sql, params![name.as_str()], codec::secret)).await
    }

    async fn secrets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Secret>, StoreError> {
        let after: Option<String> = cursor::after("secrets", page)?;
        let sql = concat!(
            "SELECT ",
            secret_columns!(),
            " FROM ironclaw.secrets WHERE owner_no = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
        );
        // No name is empty.
        let query = Query::to_decide(scope, sql, params![after.unwrap_or_default()], codec::secret);
        self.page("secrets", page, query, |secret| secret.name.as_str().to_owned()).await
    }

    async fn next_secret_version(&self, scope: &Scope, name: &SecretName) -> Result<u32, StoreError> {
        let name = name.clone();
        let next = self
            .0
            .read("next_secret_version", Reach::User(scope.clone()), Freshness::Newest, name, |tx, name| {
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
        let sql = concat!(
            "SELECT ",
            version_columns!(),
            " FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2 AND number = coalesce(?3, \
             (SELECT current_version FROM ironclaw.secrets WHERE owner_no = ?1 AND name = ?2))"
        );
        let query = Query::to_decide(scope, sql, params![name.as_str(), number], codec::secret_version);
        self.find("secret_version", query).await
    }

    async fn secret_versions(
        &self,
        scope: &Scope,
        name: &SecretName,
        page: &PageRequest,
    ) -> Result<Page<SecretVersion>, StoreError> {
        let after: Option<u64> = cursor::after("secret_versions", page)?;
        let sql = concat!(
            "SELECT ",
            version_columns!(),
            " FROM ironclaw.secret_versions WHERE owner_no = ?1 AND name = ?2 AND number > ?3 ORDER BY number LIMIT ?4"
        );
        let params = params![name.as_str(), after.unwrap_or(0)];
        let query = Query::to_decide(scope, sql, params, codec::secret_version);
        self.page("secret_versions", page, query, |version| u64::from(version.number)).await
    }
}

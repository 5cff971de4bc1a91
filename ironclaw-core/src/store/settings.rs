use async_trait::async_trait;

use super::StoreError;
use crate::forward::forward;
use crate::id::{QuotaName, SettingKey};
use crate::model::settings::{Quota, Setting};
use crate::page::{Page, PageRequest};
use crate::scope::Scope;

/// Reads settings and quotas.
///
/// Every method fails with a [`StoreError`] only when the store itself does; absence is `None` or an empty page.
/// Dropping a future has no effect.
///
/// ```
/// use ironclaw_core::id::{QuotaName, SettingKey};
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?;
///
/// store.put_setting(&ada, "theme", "dark".into()).await?;
/// let setting = store.settings().setting(&ada, &SettingKey::parse("theme")?).await?;
/// assert_eq!(setting.map(|setting| setting.value), Some("dark".into()));
/// assert_eq!(store.settings().quota(&ada, &QuotaName::parse("workspace.bytes")?).await?, None);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Settings: Send + Sync {
    /// A setting, or `None`.
    async fn setting(&self, scope: &Scope, key: &SettingKey) -> Result<Option<Setting>, StoreError>;

    /// The owner's settings, ordered by the bytes of their keys.
    async fn settings(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Setting>, StoreError>;

    /// A quota, or `None` if nobody set it: then it is unlimited.
    async fn quota(&self, scope: &Scope, name: &QuotaName) -> Result<Option<Quota>, StoreError>;
}

forward! {
    Settings settings:
    async fn setting(&self, scope: &Scope, key: &SettingKey) -> Result<Option<Setting>, StoreError>;
    async fn settings(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Setting>, StoreError>;
    async fn quota(&self, scope: &Scope, name: &QuotaName) -> Result<Option<Quota>, StoreError>;
}

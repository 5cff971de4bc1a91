//! Settings that come from the environment once and are the user's own from then on.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::change::{Change, Precondition, Row, SettingOp};
use crate::id::SettingKey;
use crate::scope::Scope;
use crate::store::{Store, StoreError, StoreErrorKind};

/// The values of settings that an environment variable can start: the stored one if there is one; otherwise the
/// variable's, which is stored as text and wins from now on, whatever the variable says later.
///
/// `variables` pairs each setting with the name of its variable; `environment` looks a variable up, usually
/// `|name| std::env::var(name).ok()`. A setting that neither has is left out. An empty variable counts as not set.
///
/// Dropping the future leaves some of the settings stored and others not; calling again goes on.
///
/// # Errors
/// As [`Apply::apply`](crate::store::Apply::apply): a variable's value is refused like any other.
pub async fn bootstrap(
    store: &(impl Store + ?Sized),
    scope: &Scope,
    variables: &[(SettingKey, &str)],
    environment: impl Fn(&str) -> Option<String> + Send,
) -> Result<BTreeMap<SettingKey, Value>, StoreError> {
    let mut values = BTreeMap::new();
    for (key, variable) in variables {
        let first = environment(variable).filter(|text| !text.is_empty()).map(Value::String);
        if let Some(value) = stored_or_first(store, scope, key, first).await? {
            values.insert(key.clone(), value);
        }
    }
    Ok(values)
}

async fn stored_or_first(
    store: &(impl Store + ?Sized),
    scope: &Scope,
    key: &SettingKey,
    first: Option<Value>,
) -> Result<Option<Value>, StoreError> {
    if let Some(setting) = store.settings().setting(scope, key).await? {
        return Ok(Some(setting.value));
    }
    let Some(value) = first else { return Ok(None) };
    let change = Change::new()
        .with(SettingOp::Put { key: key.clone(), value: value.clone() })
        .require(Precondition::RowVersion { row: Row::Setting(key.clone()), version: 0 });
    match store.apply(scope, change).await {
        Ok(_) => Ok(Some(value)),
        // Another process stored it in between, and what is stored wins.
        Err(error) if matches!(error.kind(), StoreErrorKind::PreconditionFailed | StoreErrorKind::Conflict) => {
            Ok(store.settings().setting(scope, key).await?.map(|setting| setting.value))
        }
        Err(error) => Err(error),
    }
}

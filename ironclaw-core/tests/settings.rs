//! Settings that the environment starts and the user's own value overrides.

#![allow(clippy::unwrap_used, reason = "tests")]

use ironclaw_core::id::SettingKey;
use ironclaw_core::settings::bootstrap;
use ironclaw_core::{Scope, Store, StoreExt};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

async fn model(store: &LibsqlStore, scope: &Scope, variable: Option<&str>) -> Option<Value> {
    let key = SettingKey::parse("llm.model").unwrap();
    let lookup = |name: &str| variable.filter(|_| name == "IRONCLAW_MODEL").map(str::to_owned);
    bootstrap(store, scope, &[(key.clone(), "IRONCLAW_MODEL")], lookup).await.unwrap().remove(&key)
}

#[tokio::test]
async fn the_environment_has_its_say_once() {
    let store = LibsqlStore::in_memory().await.unwrap();
    assert_eq!(model(&store, &ada(), None).await, None);
    assert_eq!(model(&store, &ada(), Some("")).await, None);
    assert_eq!(model(&store, &ada(), Some("first")).await, Some(json!("first")));
    assert_eq!(model(&store, &ada(), Some("second")).await, Some(json!("first")), "the stored setting wins");
    assert_eq!(model(&store, &ada(), None).await, Some(json!("first")), "without the variable too");
}

#[tokio::test]
async fn a_stored_setting_wins_over_the_environment() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let key = SettingKey::parse("llm.model").unwrap();
    store.put_setting(&ada(), key.clone(), json!("mine")).await.unwrap();
    assert_eq!(model(&store, &ada(), Some("theirs")).await, Some(json!("mine")));
    let setting = store.settings().setting(&ada(), &key).await.unwrap().unwrap();
    assert_eq!(setting.version, 1, "nothing was written");
}

#[tokio::test]
async fn one_users_setting_is_not_anothers() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let ben = Scope::user("ben").unwrap();
    assert_eq!(model(&store, &ada(), Some("adas")).await, Some(json!("adas")));
    assert_eq!(model(&store, &ben, None).await, None);
    assert_eq!(model(&store, &ben, Some("bens")).await, Some(json!("bens")));
}

#[tokio::test]
async fn a_value_that_no_store_takes_is_an_error() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let key = SettingKey::parse("llm.model").unwrap();
    let refused = bootstrap(&store, &ada(), &[(key, "X")], |_| Some("a\0b".to_owned())).await;
    assert!(refused.unwrap_err().to_string().contains("U+0000"));
}

//! What a vault promises of secrets, on the real store.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/fixture.rs"]
mod fixture;

use std::time::Duration;

use fixture::{Fixture, agent_of, kind, name, put, reveal, tool_of, user, value};
use ironclaw_core::input::Problem;
use ironclaw_core::model::audit::{Action, AuditFilter, Outcome};
use ironclaw_core::model::secrets::{Algorithm, Binding};
use ironclaw_core::vault::{SecretOptions, Vault, VaultError, VaultErrorKind};
use ironclaw_core::{Clock, Limits, PageRequest, SecretValue, VaultStore};

#[tokio::test]
async fn any_bytes_come_back() {
    for algorithm in [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305] {
        let f = Fixture::with(|options| options.algorithm(algorithm)).await;
        let ada = user("ada");
        let largest = Limits::default().secret_bytes;
        for bytes in [vec![0], vec![0xff; 3], b"a\0b".to_vec(), "\u{1f511}".into(), vec![7; largest]] {
            f.vault.put(&ada, &name("s"), SecretValue::new(bytes.clone()), SecretOptions::default()).await.unwrap();
            assert_eq!(f.vault.reveal(&ada, &name("s"), None).await.unwrap().expose(), bytes);
        }
        let stored = f.store.secrets().secret_version(&ada, &name("s"), None).await.unwrap().unwrap();
        assert_eq!(stored.sealed.algorithm, algorithm);
    }
}

#[tokio::test]
async fn either_cipher_is_read_whatever_is_written() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "by aes").await;
    let options = ironclaw_vault::VaultOptions::new().algorithm(Algorithm::XChaCha20Poly1305);
    let other = options.open(f.store.clone(), fixture::key()).await.unwrap();
    assert_eq!(reveal(&other, &ada, "s").await, "by aes");
    put(&other, &ada, "s", "by xchacha").await;
    assert_eq!(reveal(&f.vault, &ada, "s").await, "by xchacha");
}

#[tokio::test]
async fn versions_are_kept_and_numbered() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let begun = f.clock.now();
    for (number, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(put(&f.vault, &ada, "s", text).await, number);
        f.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(reveal(&f.vault, &ada, "s").await, "three");
    let old = f.vault.reveal(&ada, &name("s"), Some(1)).await.unwrap();
    assert_eq!(old.expose(), b"one");
    let expected: Vec<_> = (0..3).map(|n| (n + 1, begun.after(Duration::from_secs(n.into())))).collect();
    assert_eq!(f.vault.versions(&ada, &name("s")).await.unwrap(), expected);
    for missing in [0, 4, u32::MAX] {
        assert_eq!(kind(f.vault.reveal(&ada, &name("s"), Some(missing)).await), VaultErrorKind::NotFound);
    }
    assert_eq!(f.vault.versions(&ada, &name("none")).await.unwrap(), []);
}

#[tokio::test]
async fn more_versions_than_a_page_are_all_listed() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for number in 1..=205 {
        assert_eq!(put(&f.vault, &ada, "s", "value").await, number);
    }
    let versions = f.vault.versions(&ada, &name("s")).await.unwrap();
    assert!(versions.iter().map(|(number, _)| *number).eq(1..=205));
}

#[tokio::test]
async fn metadata_is_as_it_was_put_and_used() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let expires_at = Some(f.clock.now().after(Duration::from_secs(60)));
    let bindings = vec![Binding::new("api.openai.com"), Binding::new("*.openai.com")];
    let options =
        SecretOptions::default().provider("openai".to_owned()).bindings(bindings.clone()).expires_at(expires_at);
    let first = f.vault.put(&ada, &name("s"), value("one"), options.clone()).await.unwrap();
    assert_eq!(f.vault.describe(&ada, &name("s")).await.unwrap().as_ref(), Some(&first));
    assert_eq!((first.provider.as_deref(), &first.bindings, first.expires_at), (Some("openai"), &bindings, expires_at));
    assert_eq!((first.usage_count, first.last_used_at), (0, None));

    f.clock.advance(Duration::from_secs(1));
    reveal(&f.vault, &ada, "s").await;
    let used = f.vault.describe(&ada, &name("s")).await.unwrap().unwrap();
    assert_eq!((used.usage_count, used.last_used_at), (1, Some(f.clock.now())));

    f.clock.advance(Duration::from_secs(1));
    let second = f.vault.put(&ada, &name("s"), value("two"), SecretOptions::default()).await.unwrap();
    assert_eq!(f.vault.describe(&ada, &name("s")).await.unwrap().as_ref(), Some(&second));
    assert_eq!((second.created_at, second.updated_at), (first.created_at, f.clock.now()));
    assert_eq!((second.provider, second.expires_at, second.usage_count), (None, None, 1));
}

#[tokio::test]
async fn lists_are_names_in_order_and_never_values() {
    let f = Fixture::new().await;
    let ada = user("ada");
    for secret in ["b", "a", "c"] {
        put(&f.vault, &ada, secret, "hunter2").await;
    }
    let first = f.vault.list(&ada, &PageRequest::first(2).unwrap()).await.unwrap();
    let next = PageRequest::first(2).unwrap().after(first.next.clone().unwrap());
    let rest = f.vault.list(&ada, &next).await.unwrap();
    let names: Vec<_> = first.items.iter().chain(&rest.items).map(|secret| secret.name.as_str().to_owned()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(!format!("{first:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_its_numbers_do_not_come_back() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    put(&f.vault, &ada, "s", "two").await;
    assert!(f.vault.delete(&ada, &name("s")).await.unwrap());
    assert!(!f.vault.delete(&ada, &name("s")).await.unwrap());
    assert_eq!(kind(f.vault.reveal(&ada, &name("s"), None).await), VaultErrorKind::NotFound);
    assert_eq!(f.vault.describe(&ada, &name("s")).await.unwrap(), None);
    assert_eq!(put(&f.vault, &ada, "s", "three").await, 3);
    assert_eq!(reveal(&f.vault, &ada, "s").await, "three");
    assert_eq!(kind(f.vault.reveal(&ada, &name("s"), Some(1)).await), VaultErrorKind::NotFound);
}

#[tokio::test]
async fn an_expired_secret_is_not_revealed() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let expires_at = Some(f.clock.now().after(Duration::from_secs(60)));
    let options = SecretOptions::default().expires_at(expires_at);
    f.vault.put(&ada, &name("s"), value("one"), options).await.unwrap();
    f.clock.advance(Duration::from_micros(59_999_999));
    reveal(&f.vault, &ada, "s").await;
    f.clock.advance(Duration::from_micros(1));
    assert_eq!(kind(f.vault.reveal(&ada, &name("s"), None).await), VaultErrorKind::Expired);
    assert_eq!(kind(f.vault.reveal(&ada, &name("s"), Some(1)).await), VaultErrorKind::Expired);
    let denied = (Action::SecretUse, Outcome::Denied);
    assert_eq!(f.trail(&ada).await[3..], [denied, denied]);

    put(&f.vault, &ada, "s", "two").await;
    assert_eq!(reveal(&f.vault, &ada, "s").await, "two");
}

#[tokio::test]
async fn agents_and_tools_are_denied_and_it_is_audited() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    for scope in [agent_of(&ada), tool_of(&ada)] {
        let put = f.vault.put(&scope, &name("s"), value("two"), SecretOptions::default()).await;
        assert_eq!(kind(put), VaultErrorKind::Denied);
        assert_eq!(kind(f.vault.reveal(&scope, &name("s"), None).await), VaultErrorKind::Denied);
        assert_eq!(kind(f.vault.reveal(&scope, &name("none"), None).await), VaultErrorKind::Denied);
        assert_eq!(kind(f.vault.delete(&scope, &name("s")).await), VaultErrorKind::Denied);
        assert!(f.vault.describe(&scope, &name("s")).await.unwrap().is_some());
    }
    assert_eq!(f.vault.versions(&ada, &name("s")).await.unwrap().len(), 1);
    let denied = [Action::SecretPut, Action::SecretUse, Action::SecretUse, Action::SecretDelete];
    let denied = denied.map(|action| (action, Outcome::Denied));
    assert_eq!(f.trail(&ada).await[2..], [denied, denied].concat());
}

#[tokio::test]
async fn every_call_that_changes_or_opens_is_audited_by_name() {
    let f = Fixture::new().await;
    let ada = user("ada");
    put(&f.vault, &ada, "s", "one").await;
    reveal(&f.vault, &ada, "s").await;
    kind(f.vault.reveal(&ada, &name("none"), None).await);
    kind(f.vault.put(&ada, &name("s"), value(""), SecretOptions::default()).await);
    f.vault.delete(&ada, &name("s")).await.unwrap();
    let expected = [
        (Action::DataKeyMake, Outcome::Success),
        (Action::SecretPut, Outcome::Success),
        (Action::SecretUse, Outcome::Success),
        (Action::SecretUse, Outcome::Failed),
        (Action::SecretPut, Outcome::Failed),
        (Action::SecretDelete, Outcome::Success),
    ];
    assert_eq!(f.trail(&ada).await, expected);
    let filter = AuditFilter::default().action(Action::SecretUse);
    let uses = f.store.audit().events(&ada, &filter, &PageRequest::default()).await.unwrap();
    let details = |at: usize| uses.items[at].private.clone().unwrap().details;
    assert_eq!((details(0)["secret"].as_str(), details(0)["version"].as_str()), ("s", "1"));
    assert_eq!((details(1)["secret"].as_str(), details(1)["reason"].as_str()), ("none", "not found"));
}

fn problem(error: &VaultError) -> (&'static str, Problem) {
    assert_eq!(error.kind(), &VaultErrorKind::InvalidInput);
    let input = error.input().unwrap();
    (input.field(), input.problem().clone())
}

#[tokio::test]
async fn bad_input_is_refused_with_its_field_and_limit() {
    let f = Fixture::new().await;
    let ada = user("ada");
    let refused = async |value: SecretValue, options: SecretOptions| {
        problem(&f.vault.put(&ada, &name("s"), value, options).await.unwrap_err())
    };
    let options = SecretOptions::default;
    let provider = |text: String| options().provider(text);
    let hosts = |hosts: &[&str]| options().bindings(hosts.iter().map(|&host| Binding::new(host)).collect());
    assert_eq!(refused(value(""), options()).await, ("secret value", Problem::Empty));
    let too_large = Problem::TooLarge { limit: 65_536, actual: 65_537, unit: "bytes" };
    assert_eq!(refused(SecretValue::new(vec![1; 65_537]), options()).await, ("secret value", too_large));
    assert_eq!(refused(value("x"), provider(String::new())).await, ("provider", Problem::Empty));
    assert_eq!(refused(value("x"), provider("a\0".into())).await, ("provider", Problem::Nul { at: 1 }));
    let too_large = Problem::TooLarge { limit: 4_096, actual: 4_097, unit: "bytes" };
    assert_eq!(refused(value("x"), provider("x".repeat(4_097))).await, ("provider", too_large));
    let too_large = Problem::TooLarge { limit: 100, actual: 101, unit: "items" };
    assert_eq!(refused(value("x"), hosts(&["a.com"; 101])).await, ("bindings", too_large));
    for host in ["", "https://a.com", "*.com", "a.com\0", "A.com"] {
        let (field, problem) = refused(value("x"), hosts(&["a.com", host])).await;
        assert!(field == "binding" && matches!(problem, Problem::Malformed { .. }), "{host:?}: {field} {problem}");
    }
    assert_eq!(f.vault.describe(&ada, &name("s")).await.unwrap(), None);
    assert!(f.trail(&ada).await.iter().all(|event| event == &(Action::SecretPut, Outcome::Failed)));
}

#[tokio::test]
async fn users_do_not_meet() {
    let f = Fixture::new().await;
    let (ada, bob) = (user("ada"), user("bob"));
    put(&f.vault, &ada, "s", "ada's").await;
    assert_eq!(kind(f.vault.reveal(&bob, &name("s"), None).await), VaultErrorKind::NotFound);
    assert_eq!(f.vault.describe(&bob, &name("s")).await.unwrap(), None);
    assert!(!f.vault.delete(&bob, &name("s")).await.unwrap());
    assert_eq!(put(&f.vault, &bob, "s", "bob's").await, 1);
    assert_eq!(reveal(&f.vault, &ada, "s").await, "ada's");
    assert_eq!(reveal(&f.vault, &bob, "s").await, "bob's");
    let newest = async |scope| f.store.secrets().newest_data_key(scope).await.unwrap().unwrap().id;
    assert_ne!(newest(&ada).await, newest(&bob).await);
}

#[tokio::test]
async fn a_data_key_that_sealed_enough_is_followed_by_another() {
    let f = Fixture::with(|options| options.seals_per_data_key(3)).await;
    let ada = user("ada");
    for n in 1..=7 {
        put(&f.vault, &ada, "s", &format!("value {n}")).await;
    }
    let mut numbers = Vec::new();
    for n in 1..=7 {
        let version = f.store.secrets().secret_version(&ada, &name("s"), Some(n)).await.unwrap().unwrap();
        let key = f.store.secrets().data_key(&ada, version.sealed.data_key).await.unwrap().unwrap();
        numbers.push(key.number);
        let revealed = f.vault.reveal(&ada, &name("s"), Some(n)).await.unwrap();
        assert_eq!(revealed.expose_str(), Some(format!("value {n}").as_str()));
    }
    assert_eq!(numbers, [1, 1, 1, 2, 2, 2, 3]);
    assert_eq!(f.store.secrets().newest_data_key(&ada).await.unwrap().unwrap().seals, 1);
}

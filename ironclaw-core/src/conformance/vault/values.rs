use std::time::Duration;

use super::VaultSubject;
use crate::conformance::check::{Outcome, Present, all_pages};
use crate::conformance::store::user;
use crate::conformance::text::{HOSTILE, hostile, hostile_name};
use crate::id::SecretName;
use crate::limits::Limits;
use crate::model::secrets::Binding;
use crate::page::PageRequest;
use crate::secret::SecretValue;
use crate::vault::{SecretOptions, VaultErrorKind};

/// A value as text.
fn value(text: &str) -> SecretValue {
    SecretValue::from(text)
}

pub(super) async fn put_then_reveal(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse(hostile_name("secret"))?);
    let secret = t.vault.put(&ada, &name, value("hunter2"), SecretOptions::default()).await?;
    assert_eq!((&secret.name, secret.current_version), (&name, 1));
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"hunter2");
    assert_eq!(t.vault.reveal(&ada, &name, Some(1)).await?.expose(), b"hunter2");
    Ok(())
}

pub(super) async fn any_bytes(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut values: Vec<Vec<u8>> = HOSTILE.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.extend([vec![0], vec![0xff; 7], (0..=255).collect(), vec![0x5a; Limits::default().secret_bytes]]);
    for (n, bytes) in values.into_iter().enumerate() {
        let name = SecretName::parse(format!("{n}"))?;
        t.vault.put(&ada, &name, SecretValue::new(bytes.clone()), SecretOptions::default()).await?;
        assert!(t.vault.reveal(&ada, &name, None).await?.expose() == bytes, "value {n} came back another");
    }
    Ok(())
}

pub(super) async fn versions_are_kept(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let mut before = None;
    for n in 1..=4_u32 {
        t.clock.advance(Duration::from_secs(1));
        let secret = t.vault.put(&ada, &name, value(&format!("value {n}")), SecretOptions::default()).await?;
        assert_eq!(secret.current_version, n);
        before = Some(secret);
    }
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"value 4");
    for n in 1..=4 {
        assert_eq!(t.vault.reveal(&ada, &name, Some(n)).await?.expose(), format!("value {n}").as_bytes());
    }
    let versions = t.vault.versions(&ada, &name).await?;
    assert_eq!(versions.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(versions.is_sorted_by_key(|(_, at)| *at));
    assert_eq!(versions.last().map(|(_, at)| *at), before.map(|secret| secret.updated_at));
    Ok(())
}

pub(super) async fn empty_and_oversized_are_refused(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    for bytes in [Vec::new(), vec![b'x'; Limits::default().secret_bytes + 1]] {
        let refused = t.vault.put(&ada, &name, SecretValue::new(bytes), SecretOptions::default()).await;
        assert_eq!(refused.map_err(|e| e.kind().clone()), Err(VaultErrorKind::InvalidInput));
    }
    let nul = SecretOptions { provider: Some("a\0b".into()), ..SecretOptions::default() };
    assert!(t.vault.put(&ada, &name, value("v"), nul).await.is_err());
    assert_eq!(t.vault.describe(&ada, &name).await?, None);
    Ok(())
}

pub(super) async fn unknown_is_not_found(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let kind = t.vault.reveal(&ada, &name, None).await.map(drop).map_err(|e| e.kind().clone());
    assert_eq!(kind, Err(VaultErrorKind::NotFound));
    assert_eq!(t.vault.describe(&ada, &name).await?, None);
    assert_eq!(t.vault.versions(&ada, &name).await?, []);
    assert!(!t.vault.delete(&ada, &name).await?);
    assert_eq!(t.vault.list(&ada, &PageRequest::default()).await?.items, []);
    t.vault.put(&ada, &name, value("v"), SecretOptions::default()).await?;
    for version in [0, 2, u32::MAX] {
        let kind = t.vault.reveal(&ada, &name, Some(version)).await.map(drop).map_err(|e| e.kind().clone());
        assert_eq!(kind, Err(VaultErrorKind::NotFound), "version {version}");
    }
    for other in ["S", "s ", "ѕ", "%"] {
        let kind = t.vault.reveal(&ada, &SecretName::parse(other)?, None).await.map(drop).map_err(|e| e.kind().clone());
        assert_eq!(kind, Err(VaultErrorKind::NotFound), "{other:?} is not `s`");
    }
    Ok(())
}

pub(super) async fn metadata_is_described(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let options = SecretOptions {
        provider: Some(hostile("provider")),
        bindings: vec![Binding { host: "api.example.com".into() }, Binding { host: "*.example.org".into() }],
        expires_at: Some(t.now().after(Duration::from_secs(3_600))),
    };
    let put = t.vault.put(&ada, &name, value("v"), options.clone()).await?;
    let found = t.vault.describe(&ada, &name).await?.present()?;
    assert_eq!(found, put);
    assert_eq!((&found.provider, &found.expires_at), (&options.provider, &options.expires_at));
    assert_eq!(found.bindings, options.bindings);
    assert_eq!((found.usage_count, found.last_used_at), (0, None));
    t.vault.put(&ada, &name, value("w"), SecretOptions::default()).await?;
    let found = t.vault.describe(&ada, &name).await?.present()?;
    assert_eq!((found.provider, found.bindings.len(), found.expires_at), (None, 0, None));
    Ok(())
}

pub(super) async fn listed_in_order(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut names = ["b", "a", "B", "ä", "aa", "10", "9", "🦀"];
    for name in names {
        t.vault.put(&ada, &SecretName::parse(name)?, value("v"), SecretOptions::default()).await?;
    }
    names.sort_unstable();
    for limit in [1, 3, 8, 100] {
        let found = all_pages!(limit, |page| t.vault.list(&ada, page));
        assert_eq!(found.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), names);
    }
    Ok(())
}

pub(super) async fn deleted_is_gone(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name, other) = (user("ada")?, SecretName::parse("s")?, SecretName::parse("t")?);
    for text in ["one", "two"] {
        t.vault.put(&ada, &name, value(text), SecretOptions::default()).await?;
    }
    t.vault.put(&ada, &other, value("kept"), SecretOptions::default()).await?;
    assert!(t.vault.delete(&ada, &name).await?);
    assert!(!t.vault.delete(&ada, &name).await?);
    for version in [None, Some(1), Some(2)] {
        let kind = t.vault.reveal(&ada, &name, version).await.map(drop).map_err(|e| e.kind().clone());
        assert_eq!(kind, Err(VaultErrorKind::NotFound));
    }
    assert_eq!(t.vault.versions(&ada, &name).await?, []);
    assert_eq!(t.vault.reveal(&ada, &other, None).await?.expose(), b"kept");
    t.vault.put(&ada, &name, value("anew"), SecretOptions::default()).await?;
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"anew");
    assert_eq!(t.vault.versions(&ada, &name).await?.len(), 1, "what was deleted does not come back");
    Ok(())
}

pub(super) async fn expired_is_not_revealed(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let expires_at = Some(t.now().after(Duration::from_secs(60)));
    let options = SecretOptions { expires_at, ..SecretOptions::default() };
    t.vault.put(&ada, &name, value("v"), options).await?;
    t.clock.advance(Duration::from_secs(59));
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"v");
    t.clock.advance(Duration::from_secs(1));
    for version in [None, Some(1)] {
        let kind = t.vault.reveal(&ada, &name, version).await.map(drop).map_err(|e| e.kind().clone());
        assert_eq!(kind, Err(VaultErrorKind::Expired));
    }
    assert!(t.vault.describe(&ada, &name).await?.is_some(), "it is still described");
    t.vault.put(&ada, &name, value("w"), SecretOptions::default()).await?;
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"w");
    Ok(())
}

pub(super) async fn values_are_never_printed(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let canary = "canary-4711-never-print-me";
    let put = t.vault.put(&ada, &name, value(canary), SecretOptions::default()).await?;
    let denied = crate::conformance::store::with_agent(&ada, "assistant")?;
    let printed = format!(
        "{put:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        t.vault,
        t.vault.reveal(&ada, &name, None).await?,
        t.vault.describe(&ada, &name).await?,
        t.vault.list(&ada, &PageRequest::default()).await?,
        t.vault.reveal(&denied, &name, None).await,
        t.vault.reveal(&ada, &name, Some(9)).await,
    );
    let bytes = format!("{:?}", canary.as_bytes());
    assert!(!printed.contains(canary) && !printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
    Ok(())
}

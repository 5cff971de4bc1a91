use super::VaultSubject;
use crate::conformance::check::{Failure, Outcome, Present, all_pages};
use crate::conformance::store::{user, with_agent};
use crate::id::SecretName;
use crate::model::audit::{Action, AuditEntry, AuditFilter, Outcome as Audited};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::secret::SecretValue;
use crate::store::VaultStore;
use crate::vault::SecretOptions;

async fn events(store: &dyn VaultStore, scope: &Scope, action: Action) -> Result<Vec<AuditEntry>, Failure> {
    let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
    Ok(all_pages!(1_000, |page| store.audit().events(scope, &filter, page)))
}

pub(super) async fn put_and_reveal_are_audited(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name, store) = (user("ada")?, SecretName::parse("s")?, t.store.present()?);
    for n in 1..=2 {
        t.vault.put(&ada, &name, SecretValue::new(vec![n]), SecretOptions::default()).await?;
        t.vault.reveal(&ada, &name, None).await?;
    }
    t.vault.delete(&ada, &name).await?;
    for (action, count) in [(Action::SecretPut, 2), (Action::SecretUse, 2), (Action::SecretDelete, 1)] {
        let found = events(&*store, &ada, action).await?;
        assert_eq!(found.len(), count, "{}", action.name());
        for entry in found {
            assert_eq!(entry.event.outcome, Audited::Success);
            let private = entry.private.present()?;
            assert_eq!(private.details.get("secret").map(String::as_str), Some("s"));
        }
    }
    store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn denials_are_audited(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name, store) = (user("ada")?, SecretName::parse("s")?, t.store.present()?);
    t.vault.put(&ada, &name, SecretValue::new(vec![1]), SecretOptions::default()).await?;
    let agent = with_agent(&ada, "assistant")?;
    for denied in [
        t.vault.reveal(&agent, &name, None).await.map(drop),
        t.vault.put(&agent, &name, SecretValue::new(vec![2]), SecretOptions::default()).await.map(drop),
        t.vault.delete(&agent, &name).await.map(drop),
    ] {
        assert!(denied.is_err());
    }
    for action in [Action::SecretUse, Action::SecretPut, Action::SecretDelete] {
        let found = events(&*store, &ada, action).await?;
        let denied: Vec<_> = found.iter().filter(|entry| entry.event.outcome == Audited::Denied).collect();
        assert_eq!(denied.len(), 1, "{}", action.name());
        assert_eq!(denied[0].event.principals.len(), 2, "the agent is named");
    }
    store.audit().verify(&ada).await?.present()?;
    Ok(())
}

pub(super) async fn uses_are_counted(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    t.vault.put(&ada, &name, SecretValue::new(vec![1]), SecretOptions::default()).await?;
    for count in 1..=3 {
        t.vault.reveal(&ada, &name, None).await?;
        let secret = t.vault.describe(&ada, &name).await?.present()?;
        assert_eq!(secret.usage_count, count);
        assert!(secret.last_used_at.is_some());
    }
    let denied = t.vault.reveal(&with_agent(&ada, "assistant")?, &name, None).await;
    assert!(denied.is_err());
    assert_eq!(t.vault.describe(&ada, &name).await?.present()?.usage_count, 3, "a refusal is no use");
    Ok(())
}

pub(super) async fn no_value_in_the_store(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name, store) = (user("ada")?, SecretName::parse("s")?, t.store.present()?);
    let canary = b"canary-4711-never-keep-me-in-the-clear";
    for _ in 0..2 {
        t.vault.put(&ada, &name, SecretValue::new(canary.to_vec()), SecretOptions::default()).await?;
    }
    t.vault.reveal(&ada, &name, None).await?;
    let versions = store.secrets().secret_versions(&ada, &name, &PageRequest::default()).await?.items;
    assert_eq!(versions.len(), 2);
    for version in &versions {
        let sealed = &version.sealed;
        for kept in [&sealed.ciphertext, &sealed.salt, &sealed.nonce] {
            assert!(!kept.windows(6).any(|window| canary.windows(6).any(|part| part == window)), "plaintext is kept");
        }
    }
    assert_ne!(versions[0].sealed.ciphertext, versions[1].sealed.ciphertext, "the same value seals differently");
    assert_ne!(
        (&versions[0].sealed.salt, &versions[0].sealed.nonce),
        (&versions[1].sealed.salt, &versions[1].sealed.nonce)
    );
    let trail = all_pages!(100, |page| store.audit().events(&ada, &AuditFilter::default(), page));
    assert!(!format!("{trail:?}").contains("canary"));
    Ok(())
}

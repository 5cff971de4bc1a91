use super::VaultSubject;
use crate::conformance::check::{Failure, Outcome};
use crate::conformance::store::{tenant_user, user, with_agent};
use crate::id::SecretName;
use crate::page::PageRequest;
use crate::scope::{Principal, Scope};
use crate::secret::SecretValue;
use crate::vault::{SecretOptions, VaultErrorKind};

fn value(text: &str) -> SecretValue {
    SecretValue::from(text)
}

async fn never_meet(subject: &VaultSubject, other: Scope) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("shared name")?);
    t.vault.put(&ada, &name, value("of ada"), SecretOptions::default()).await?;
    let before = t.vault.describe(&ada, &name).await?;
    let kind = t.vault.reveal(&other, &name, None).await.map(drop).map_err(|e| e.kind().clone());
    assert_eq!(kind, Err(VaultErrorKind::NotFound));
    assert_eq!(t.vault.describe(&other, &name).await?, None);
    assert_eq!(t.vault.versions(&other, &name).await?, []);
    assert_eq!(t.vault.list(&other, &PageRequest::default()).await?.items, []);
    assert!(!t.vault.delete(&other, &name).await?);
    t.vault.put(&other, &name, value("of another"), SecretOptions::default()).await?;
    assert_eq!(t.vault.reveal(&other, &name, None).await?.expose(), b"of another");
    assert!(t.vault.delete(&other, &name).await?);
    assert_eq!(t.vault.describe(&ada, &name).await?, before);
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"of ada");
    Ok(())
}

pub(super) async fn users_never_meet(subject: &VaultSubject) -> Outcome {
    for name in ["bob", "Ada", "ada ", "adaa"] {
        never_meet(subject, user(name)?).await?;
    }
    Ok(())
}

/// A vault is one tenant's: to another tenant it is closed, or it knows none of its secrets.
pub(super) async fn tenants_never_meet(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, other, name) = (user("ada")?, tenant_user("other", "ada")?, SecretName::parse("s")?);
    t.vault.put(&ada, &name, value("of ada"), SecretOptions::default()).await?;
    assert!(t.vault.reveal(&other, &name, None).await.is_err());
    assert!(!matches!(t.vault.describe(&other, &name).await, Ok(Some(_))));
    assert!(!matches!(t.vault.versions(&other, &name).await, Ok(versions) if !versions.is_empty()));
    assert!(!matches!(t.vault.list(&other, &PageRequest::default()).await, Ok(page) if !page.items.is_empty()));
    assert!(!matches!(t.vault.delete(&other, &name).await, Ok(true)));
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"of ada");
    Ok(())
}

async fn denied(subject: &VaultSubject, acting: impl Fn(&Scope) -> Result<Scope, Failure>) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    t.vault.put(&ada, &name, value("v"), SecretOptions::default()).await?;
    let scope = acting(&ada)?;
    let options = SecretOptions::default();
    let kinds = [
        t.vault.reveal(&scope, &name, None).await.map(drop),
        t.vault.reveal(&scope, &SecretName::parse("none")?, None).await.map(drop),
        t.vault.put(&scope, &name, value("w"), options.clone()).await.map(drop),
        t.vault.put(&scope, &SecretName::parse("new")?, value("w"), options).await.map(drop),
        t.vault.delete(&scope, &name).await.map(drop),
    ]
    .map(|result| result.map_err(|e| e.kind().clone()));
    assert_eq!(kinds, [const { Err(VaultErrorKind::Denied) }; 5], "whether there is such a secret is not told");
    assert_eq!(t.vault.versions(&ada, &name).await?.len(), 1);
    assert_eq!(t.vault.list(&ada, &PageRequest::default()).await?.items.len(), 1);
    assert_eq!(t.vault.reveal(&ada, &name, None).await?.expose(), b"v");
    Ok(())
}

pub(super) async fn agents_are_denied(subject: &VaultSubject) -> Outcome {
    denied(subject, |ada| with_agent(ada, "assistant")).await
}

pub(super) async fn tools_are_denied(subject: &VaultSubject) -> Outcome {
    denied(subject, |ada| Ok(ada.acting(Principal::tool("calculator")?))).await?;
    denied(subject, |ada| Ok(with_agent(ada, "assistant")?.acting(Principal::tool("calculator")?))).await
}

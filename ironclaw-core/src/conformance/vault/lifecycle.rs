use super::VaultSubject;
use crate::conformance::check::{Failure, Outcome, at_once, poll_at_most};
use crate::conformance::store::user;
use crate::id::SecretName;
use crate::page::PageRequest;
use crate::secret::SecretValue;
use crate::vault::{SecretOptions, VaultErrorKind};

pub(super) async fn closed_refuses(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    t.vault.put(&ada, &name, SecretValue::new(vec![1]), SecretOptions::default()).await?;
    t.vault.close().await;
    t.vault.close().await;
    let kinds = [
        t.vault.put(&ada, &name, SecretValue::new(vec![2]), SecretOptions::default()).await.map(drop),
        t.vault.reveal(&ada, &name, None).await.map(drop),
        t.vault.describe(&ada, &name).await.map(drop),
        t.vault.list(&ada, &PageRequest::default()).await.map(drop),
        t.vault.versions(&ada, &name).await.map(drop),
        t.vault.delete(&ada, &name).await.map(drop),
    ]
    .map(|result| result.map_err(|e| e.kind().clone()));
    assert_eq!(kinds, [const { Err(VaultErrorKind::Closed) }; 6]);
    Ok(())
}

pub(super) async fn many_at_once(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name) = (user("ada")?, SecretName::parse("s")?);
    let results = at_once(20, |n| {
        let (vault, ada, name) = (t.vault.clone(), ada.clone(), name.clone());
        async move {
            let value = SecretValue::from(format!("value {n}"));
            let secret = vault.put(&ada, &name, value, SecretOptions::default()).await?;
            Ok::<_, Failure>((secret.current_version, n))
        }
    })
    .await?;
    let mut versions = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    versions.sort_unstable();
    assert!(versions.iter().map(|(version, _)| *version).eq(1..=20), "each put has a version of its own");
    for (version, n) in versions {
        assert_eq!(t.vault.reveal(&ada, &name, Some(version)).await?.expose(), format!("value {n}").as_bytes());
    }
    Ok(())
}

pub(super) async fn dropped_at_every_await(subject: &VaultSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for polls in 0..1_000 {
        let name = SecretName::parse(format!("{polls}"))?;
        let put = t.vault.put(&ada, &name, SecretValue::from("value"), SecretOptions::default());
        let done = poll_at_most(polls, put).await.transpose()?.is_some();
        // A later write is behind the dropped one.
        let later = SecretName::parse("later")?;
        t.vault.put(&ada, &later, SecretValue::new(vec![1]), SecretOptions::default()).await?;
        match t.vault.reveal(&ada, &name, None).await {
            Ok(value) => assert_eq!(value.expose(), b"value"),
            Err(error) => assert!(!done && *error.kind() == VaultErrorKind::NotFound, "{error}"),
        }
        if done {
            return Ok(());
        }
    }
    Err(Failure::new("putting never ended"))
}

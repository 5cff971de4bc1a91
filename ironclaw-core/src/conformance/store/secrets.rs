use super::fixtures::{apply, data_key, data_key_op, secret_op};
use super::system::{place_hold, release_hold};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{Row, SecretOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, all_pages, refused};
use crate::id::{DataKeyId, SecretName};
use crate::model::secrets::{DataKey, Secret, SecretVersion};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, name, page) = (user("ada")?, SecretName::parse("none")?, PageRequest::default());
    let read = t.store.secrets();
    assert_eq!(read.vault(ada.tenant()).await?, None);
    assert_eq!(read.root_key_wraps(ada.tenant()).await?, []);
    assert_eq!(read.data_key(&ada, DataKeyId::make(&SystemClock)).await?, None);
    assert_eq!(read.newest_data_key(&ada).await?, None);
    assert_eq!(read.secret(&ada, &name).await?, None);
    assert_eq!(read.secrets(&ada, &page).await?.items, []);
    assert_eq!(read.secret_version(&ada, &name, None).await?, None);
    assert_eq!(read.secret_version(&ada, &name, Some(1)).await?, None);
    assert_eq!(read.secret_versions(&ada, &name, &page).await?.items, []);
    Ok(())
}

pub(super) async fn round_trips_every_field(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let world = World::new(t.now())?;
    world.seed(store, &ada).await?;
    let read = store.secrets();

    let key = read.data_key(&ada, world.data_key).await?.present()?;
    let (created_at, wrapped) = (key.created_at, world.wrapped());
    let expected = DataKey { id: world.data_key, number: 1, root_key: 5, wrapped, seals: 2, created_at };
    assert_eq!(key, expected);
    assert_eq!(read.newest_data_key(&ada).await?, Some(expected));

    let found = read.secret(&ada, &world.secret).await?.present()?;
    let put = world.put_secret(2);
    let expected = Secret {
        name: put.name,
        provider: put.provider,
        bindings: put.bindings,
        expires_at: put.expires_at,
        current_version: 2,
        created_at: found.created_at,
        updated_at: found.updated_at,
        last_used_at: Some(found.last_used_at.present()?),
        usage_count: 1,
        version: 3,
    };
    assert_eq!(found, expected);
    assert_eq!(read.secrets(&ada, &PageRequest::default()).await?.items, [expected]);

    let versions = read.secret_versions(&ada, &world.secret, &PageRequest::default()).await?.items;
    assert_eq!(versions.len(), 2);
    for (found, number) in versions.iter().zip(1..) {
        let (sealed, created_at) = (world.put_secret(number).sealed, found.created_at);
        assert_eq!(*found, SecretVersion { name: world.secret.clone(), number, sealed, created_at });
        let alone = read.secret_version(&ada, &world.secret, Some(number)).await?;
        assert_eq!(alone.as_ref(), Some(found));
    }
    assert_eq!(read.secret_version(&ada, &world.secret, None).await?.as_ref(), versions.last());
    assert_eq!(read.secret_version(&ada, &world.secret, Some(0)).await?, None);
    assert_eq!(read.secret_version(&ada, &world.secret, Some(3)).await?, None);

    // What a later version leaves out is gone from the metadata.
    apply(store, &ada, secret_op(&world.secret, 3, world.data_key)).await?;
    let found = read.secret(&ada, &world.secret).await?.present()?;
    assert_eq!((found.provider, found.bindings, found.expires_at), (None, Vec::new(), None));
    assert_eq!((found.current_version, found.usage_count, found.version), (3, 1, 4));
    Ok(())
}

pub(super) async fn versions_count_from_one(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (name, key) = (SecretName::parse("s")?, data_key(&*t.store, &ada).await?);
    for number in 1..=5 {
        let receipt = apply(&*t.store, &ada, secret_op(&name, number, key)).await?;
        assert_eq!(receipt.numbers, [u64::from(number)]);
    }
    let versions = all_pages!(2, |page| t.store.secrets().secret_versions(&ada, &name, page));
    assert_eq!(versions.iter().map(|v| v.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(t.store.secrets().data_key(&ada, key).await?.present()?.seals, 5);
    Ok(())
}

pub(super) async fn wrong_version_number_is_a_conflict(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (name, key) = (SecretName::parse("s")?, data_key(&*t.store, &ada).await?);
    for wrong in [0, 2, u32::MAX] {
        refused(apply(&*t.store, &ada, secret_op(&name, wrong, key)).await, StoreErrorKind::Conflict);
    }
    apply(&*t.store, &ada, secret_op(&name, 1, key)).await?;
    for wrong in [0, 1, 3] {
        refused(apply(&*t.store, &ada, secret_op(&name, wrong, key)).await, StoreErrorKind::Conflict);
    }
    assert_eq!(t.store.secrets().data_key(&ada, key).await?.present()?.seals, 1, "a refused seal does not count");
    Ok(())
}

pub(super) async fn uses_are_counted(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (name, key) = (SecretName::parse("s")?, data_key(&*t.store, &ada).await?);
    apply(&*t.store, &ada, secret_op(&name, 1, key)).await?;
    let unused = t.store.secrets().secret(&ada, &name).await?.present()?;
    assert_eq!((unused.usage_count, unused.last_used_at, unused.version), (0, None, 1));
    for count in 1..=3 {
        let at = apply(&*t.store, &ada, SecretOp::Use { name: name.clone(), number: 1 }).await?.at;
        let used = t.store.secrets().secret(&ada, &name).await?.present()?;
        assert_eq!((used.usage_count, used.last_used_at, used.version), (count, Some(at), 1 + count));
        assert_eq!((used.updated_at, used.current_version), (unused.updated_at, 1), "a use is no put");
    }
    let row = Row::Secret(name.clone());
    let change = |version| {
        crate::Change::new()
            .with(SecretOp::Use { name: name.clone(), number: 1 })
            .require(crate::change::Precondition::RowVersion { row: row.clone(), version })
    };
    refused(t.store.apply(&ada, change(3)).await, StoreErrorKind::PreconditionFailed);
    t.store.apply(&ada, change(4)).await?;
    Ok(())
}

pub(super) async fn data_keys_count_from_one(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (first, second) = (DataKeyId::make(&SystemClock), DataKeyId::make(&SystemClock));
    refused(apply(&*t.store, &ada, data_key_op(first, 2)).await, StoreErrorKind::Conflict);
    apply(&*t.store, &ada, data_key_op(first, 1)).await?;
    refused(apply(&*t.store, &ada, data_key_op(second, 1)).await, StoreErrorKind::Conflict);
    apply(&*t.store, &ada, data_key_op(second, 2)).await?;
    assert_eq!(t.store.secrets().newest_data_key(&ada).await?.present()?.id, second);
    assert_eq!(t.store.secrets().data_key(&ada, first).await?.present()?.number, 1);
    Ok(())
}

pub(super) async fn delete_removes_all_versions(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (name, other) = (SecretName::parse("s")?, SecretName::parse("S")?);
    let key = data_key(&*t.store, &ada).await?;
    for (name, number) in [(&name, 1), (&name, 2), (&other, 1)] {
        apply(&*t.store, &ada, secret_op(name, number, key)).await?;
    }
    assert_eq!(apply(&*t.store, &ada, SecretOp::Delete { name: name.clone() }).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, SecretOp::Delete { name: name.clone() }).await?.numbers, [0]);
    let read = t.store.secrets();
    assert_eq!(read.secret(&ada, &name).await?, None);
    assert_eq!(read.secret_version(&ada, &name, Some(1)).await?, None);
    assert_eq!(read.secret_versions(&ada, &name, &PageRequest::default()).await?.items, []);
    assert!(read.secret(&ada, &other).await?.is_some());
    // The numbers of what was deleted are not used again: they are bound into sealed values that may be kept elsewhere.
    refused(apply(&*t.store, &ada, secret_op(&name, 1, key)).await, StoreErrorKind::Conflict);
    apply(&*t.store, &ada, secret_op(&name, 3, key)).await?;
    let found = read.secret(&ada, &name).await?.present()?;
    assert_eq!((found.current_version, found.usage_count), (3, 0), "a new secret of the old name is new");
    assert_eq!(read.secret_versions(&ada, &name, &PageRequest::default()).await?.items.len(), 1);
    Ok(())
}

pub(super) async fn a_version_is_destroyed(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = SecretName::parse("s")?;
    let key = data_key(&*t.store, &ada).await?;
    for number in 1..=3 {
        apply(&*t.store, &ada, secret_op(&name, number, key)).await?;
    }
    let destroy = |number| SecretOp::DestroyVersion { name: name.clone(), number };
    refused(apply(&*t.store, &ada, destroy(3)).await, StoreErrorKind::Conflict);
    assert_eq!(apply(&*t.store, &ada, destroy(2)).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, destroy(2)).await?.numbers, [0]);
    assert_eq!(apply(&*t.store, &ada, destroy(9)).await?.numbers, [0]);
    let read = t.store.secrets();
    assert_eq!(read.secret_version(&ada, &name, Some(2)).await?, None);
    let left = read.secret_versions(&ada, &name, &PageRequest::default()).await?.items;
    assert_eq!(left.iter().map(|version| version.number).collect::<Vec<_>>(), [1, 3]);
    refused(apply(&*t.store, &ada, SecretOp::Use { name: name.clone(), number: 2 }).await, StoreErrorKind::NotFound);
    // Its number is not used again.
    refused(apply(&*t.store, &ada, secret_op(&name, 2, key)).await, StoreErrorKind::Conflict);
    apply(&*t.store, &ada, secret_op(&name, 4, key)).await?;
    let hold = place_hold(&t, &ada).await?;
    refused(apply(&*t.store, &ada, destroy(1)).await, StoreErrorKind::LegalHold);
    release_hold(&t, hold).await?;
    apply(&*t.store, &ada, SecretOp::Delete { name: name.clone() }).await?;
    assert_eq!(apply(&*t.store, &ada, destroy(1)).await?.numbers, [0]);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn ordered_by_name(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let key = data_key(&*t.store, &ada).await?;
    let mut names = ["b", "B", "a b", "a", "ä", "Z", "aa", "a-b", "日本", "🦀", "10", "9"];
    for name in names {
        apply(&*t.store, &ada, secret_op(&SecretName::parse(name)?, 1, key)).await?;
    }
    names.sort_unstable();
    let found = all_pages!(5, |page| t.store.secrets().secrets(&ada, page));
    assert_eq!(found.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), names);
    Ok(())
}

pub(super) async fn unknown_secret_or_key_is_not_found(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let name = SecretName::parse("s")?;
    let unsealed = secret_op(&name, 1, DataKeyId::make(&SystemClock));
    refused(apply(&*t.store, &ada, unsealed).await, StoreErrorKind::NotFound);
    refused(apply(&*t.store, &ada, SecretOp::Use { name: name.clone(), number: 1 }).await, StoreErrorKind::NotFound);
    let key = data_key(&*t.store, &ada).await?;
    apply(&*t.store, &ada, secret_op(&name, 1, key)).await?;
    refused(apply(&*t.store, &ada, SecretOp::Use { name, number: 2 }).await, StoreErrorKind::NotFound);
    Ok(())
}

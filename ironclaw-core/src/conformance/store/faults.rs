use super::fixtures::{File, apply, conversation, say, setting, words};
use super::snapshot::{assert_same, audit_snapshot, snapshot};
use super::world::World;
use super::{Instance, StoreSubject, user};
use crate::change::Change;
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present};
use crate::id::ErasureId;
use crate::maintenance::SystemChange;
use crate::store::{SearchFilter, StoreErrorKind};

pub(super) async fn fail_at_every_point(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    apply(&*t.store, &ada, setting("before", true)?).await?;
    let mut failed = 0;
    let points = subject.harness.fault_points(&t.place).await?;
    assert!(points.len() >= 10, "a harness with faults names its points: {points:?}");
    for point in &points {
        let world = World::new(t.now())?;
        let before = snapshot(&*t.store, &ada, &world).await?;
        let everything = world.operations()?.into_iter().fold(Change::new(), Change::with);
        subject.harness.fail_at(&t.place, Some(point)).await?;
        let result = t.store.apply(&ada, everything.clone()).await;
        subject.harness.fail_at(&t.place, None).await?;
        // Points that this change does not reach fail nothing.
        let Err(error) = result else {
            start_again(&t).await?;
            continue;
        };
        failed += 1;
        let own = matches!(error.kind(), StoreErrorKind::InvalidInput(_) | StoreErrorKind::NotFound);
        assert!(!own, "a failure of the storage at {point} is told as the caller's: {error}");
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
        t.store.audit().verify(&ada).await?;
        assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new(), "after failing at {point}");
        // Nothing is stuck: the same change goes through now.
        t.store.apply(&ada, everything).await?;
        start_again(&t).await?;
    }
    assert!(failed >= 10, "only {failed} of {} points were reached", points.len());
    Ok(())
}

/// Removes what would be in the way of the next world: the same names, the owner's first key.
async fn start_again(t: &Instance) -> Result<(), Failure> {
    let ada = user("ada")?;
    let (tenant, owner, id) = (ada.tenant().clone(), ada.owner().clone(), ErasureId::make(&SystemClock));
    t.maintenance.apply_system(SystemChange::EraseUser { tenant, owner, id }).await?;
    apply(&*t.store, &ada, setting("before", true)?).await?;
    Ok(())
}

pub(super) async fn audit_fails_closed(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let before = audit_snapshot(&*t.store, &ada).await?;
    subject.harness.fail_at(&t.place, Some("audit_events")).await?;
    let refused = say(&*t.store, &ada, id, "unaudited").await;
    subject.harness.fail_at(&t.place, None).await?;
    assert!(refused.is_err(), "what can't be audited is not done");
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 0);
    assert_same(&before, &audit_snapshot(&*t.store, &ada).await?);
    assert_eq!(say(&*t.store, &ada, id, "audited").await?, 1);
    Ok(())
}

pub(super) async fn replace_fails_whole(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut old = File::new("a.md", "old lighthouse")?;
    old.write(&*t.store, &ada).await?;
    let mut found = t.store.workspace().search_text(&ada, &words("lighthouse"), &SearchFilter::default(), 10).await?;
    let mut failed = 0;
    for point in subject.harness.fault_points(&t.place).await? {
        let new = File::new("a.md", "new harbour")?;
        subject.harness.fail_at(&t.place, Some(&point)).await?;
        let result = new.write(&*t.store, &ada).await;
        subject.harness.fail_at(&t.place, None).await?;
        if result.is_ok() {
            // Its chunks have new ids: those of the old ones are taken until they are swept.
            old = File::new("a.md", "old lighthouse")?;
            old.write(&*t.store, &ada).await?;
            found = t.store.workspace().search_text(&ada, &words("lighthouse"), &SearchFilter::default(), 10).await?;
            continue;
        }
        failed += 1;
        let content = t.store.workspace().content(&ada, &old.path, 0, 100).await?.present()?;
        assert_eq!(content, old.text.as_bytes(), "failing at {point} lost the old file");
        let still = t.store.workspace().search_text(&ada, &words("lighthouse"), &SearchFilter::default(), 10).await?;
        assert_eq!(still, found, "failing at {point} changed what is found");
    }
    assert!(failed >= 1, "no point was reached");
    Ok(())
}

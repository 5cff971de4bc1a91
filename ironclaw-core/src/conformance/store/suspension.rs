use super::fixtures::{apply, setting};
use super::snapshot::{assert_same, snapshot};
use super::system::put_status;
use super::world::World;
use super::{StoreSubject, user};
use crate::change::Change;
use crate::conformance::check::{Outcome, Present, refused};
use crate::model::access::UserStatus;
use crate::model::audit::{AuditFilter, Outcome as Audited};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn suspended_user_writes_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (old, new) = (World::new(t.now())?, World::new(t.now())?);
    old.seed(&*t.store, &ada).await?;
    put_status(&t, &ada, UserStatus::Suspended).await?;
    let before = snapshot(&*t.store, &ada, &old).await?;
    let sequence = t.store.audit().head(&ada).await?.present()?.sequence;
    let operations = new.operations()?;
    for operation in &operations {
        let result = t.store.apply(&ada, Change::new().with(operation.clone())).await;
        refused(result, StoreErrorKind::Suspended);
    }
    assert_same(&before, &snapshot(&*t.store, &ada, &old).await?);
    let denied = AuditFilter { outcome: Some(Audited::Denied), ..AuditFilter::default() };
    let events = t.store.audit().events(&ada, &denied, &PageRequest::default()).await?.items;
    assert_eq!(events.len(), operations.len(), "every refusal is audited as denied");
    let head = t.store.audit().verify(&ada).await?.present()?;
    assert_eq!(head.sequence, sequence + operations.len() as u64);
    apply(&*t.store, &user("bob")?, setting("a", 1)?).await?;
    Ok(())
}

pub(super) async fn suspended_user_is_found_active_again(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    put_status(&t, &ada, UserStatus::Suspended).await?;
    assert_eq!(t.store.access().user(&ada).await?.present()?.status, UserStatus::Suspended);
    refused(apply(&*t.store, &ada, setting("a", 1)?).await, StoreErrorKind::Suspended);
    put_status(&t, &ada, UserStatus::Active).await?;
    assert_eq!(t.store.access().user(&ada).await?.present()?.status, UserStatus::Active);
    apply(&*t.store, &ada, setting("a", 1)?).await?;
    Ok(())
}

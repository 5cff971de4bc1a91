use std::time::Duration;

use super::fixtures::{apply, lease};
use super::{StoreSubject, user};
use crate::change::{AccessOp, Change, Precondition};
use crate::conformance::check::{Outcome, Present, at_once, refused};
use crate::model::audit::{Action, AuditFilter, Outcome as Audited};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn uses_run_out(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = lease(&*t.store, &ada, 2, t.now()).await?.id;
    for left in [1, 0] {
        apply(&*t.store, &ada, AccessOp::RedeemLease { id }).await?;
        assert_eq!(t.store.access().lease(&ada, id).await?.present()?.uses_left, left);
    }
    refused(apply(&*t.store, &ada, AccessOp::RedeemLease { id }).await, StoreErrorKind::PreconditionFailed);
    assert_eq!(t.store.access().lease(&ada, id).await?.present()?.uses_left, 0);
    Ok(())
}

pub(super) async fn a_hundred_redeem_ten_uses(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = lease(&*t.store, &ada, 10, t.now()).await?.id;
    let results = at_once(100, |_| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move { apply(&*store, &ada, AccessOp::RedeemLease { id }).await }
    })
    .await?;
    let redeemed = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(redeemed, 10);
    for refusal in results.into_iter().filter(Result::is_err) {
        refused(refusal, StoreErrorKind::PreconditionFailed);
    }
    assert_eq!(t.store.access().lease(&ada, id).await?.present()?.uses_left, 0);
    let filter = AuditFilter { action: Some(Action::LeaseRedeem), ..AuditFilter::default() };
    let events = t.store.audit().events(&ada, &filter, &PageRequest::first(1_000)?).await?.items;
    let successes = events.iter().filter(|entry| entry.event.outcome == Audited::Success).count();
    assert_eq!((events.len(), successes), (100, 10), "every attempt is audited");
    Ok(())
}

pub(super) async fn expired_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = lease(&*t.store, &ada, 10, t.now()).await?.id;
    t.clock.advance(Duration::from_secs(3_599));
    apply(&*t.store, &ada, AccessOp::RedeemLease { id }).await?;
    t.clock.advance(Duration::from_secs(1));
    refused(apply(&*t.store, &ada, AccessOp::RedeemLease { id }).await, StoreErrorKind::PreconditionFailed);
    let required = Change::new().require(Precondition::UsesLeft { lease: id });
    refused(t.store.apply(&ada, required).await, StoreErrorKind::PreconditionFailed);
    assert_eq!(t.store.access().lease(&ada, id).await?.present()?.uses_left, 9);
    Ok(())
}

pub(super) async fn revoked_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = lease(&*t.store, &ada, 10, t.now()).await?.id;
    apply(&*t.store, &ada, AccessOp::RevokeLease { id }).await?;
    refused(apply(&*t.store, &ada, AccessOp::RedeemLease { id }).await, StoreErrorKind::PreconditionFailed);
    let required = Change::new().require(Precondition::UsesLeft { lease: id });
    refused(t.store.apply(&ada, required).await, StoreErrorKind::PreconditionFailed);
    assert_eq!(t.store.access().lease(&ada, id).await?.present()?.uses_left, 10);
    Ok(())
}

//! How long a change is known by its key.

use std::time::Duration;

use super::fixtures::setting;
use super::{StoreSubject, user};
use crate::change::Change;
use crate::conformance::check::{Outcome, refused};
use crate::id::IdempotencyKey;
use crate::limits::Limits;
use crate::store::StoreErrorKind;

pub(super) async fn expired_key_is_free(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let key = IdempotencyKey::parse("k")?;
    let put = |value: i32| {
        Ok::<_, crate::conformance::Failure>(Change::new().with(setting("a", value)?).idempotent(key.clone()))
    };
    let first = t.store.apply(&ada, put(1)?).await?;
    t.clock.advance(Limits::default().receipts_kept - Duration::from_secs(1));
    let again = t.store.apply(&ada, put(1)?).await?;
    assert_eq!((again.at, again.replayed), (first.at, true), "a replay does not make the receipt younger");
    refused(t.store.apply(&ada, put(2)?).await, StoreErrorKind::IdempotencyKeyReused);
    t.clock.advance(Duration::from_secs(2));
    let second = t.store.apply(&ada, put(2)?).await?;
    assert_eq!((second.at, second.replayed, &*second.numbers), (t.now(), false, &[2][..]));
    assert!(t.store.apply(&ada, put(2)?).await?.replayed, "the key stands for the new change");
    Ok(())
}

pub(super) async fn expired_are_removed(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let under = |key: String| {
        Ok::<_, crate::conformance::Failure>(
            Change::new().with(setting("a", 1)?).idempotent(IdempotencyKey::parse(key)?),
        )
    };
    // Whatever of them is stored, and however their keys are.
    let stored = async || {
        let stored = subject.harness.stored(&t.place).await?;
        Ok::<_, crate::conformance::Failure>(stored.iter().filter(|(place, _)| place.contains("receipts")).count())
    };
    for n in 0..20 {
        t.store.apply(&ada, under(format!("early-{n}"))?).await?;
    }
    t.clock.advance(Limits::default().receipts_kept / 2);
    t.store.apply(&ada, under("late".into())?).await?;
    let all = stored().await?;
    assert!(all > 0 && all % 21 == 0, "{all}");
    t.clock.advance(Limits::default().receipts_kept / 2 + Duration::from_secs(1));
    // By whoever writes, or by an operator for those who do not.
    t.store.apply(&bob, under("new".into())?).await?;
    t.maintenance.scrub().await?;
    assert_eq!(stored().await?, all / 21 * 2, "the late one and the new one");
    assert!(t.store.apply(&ada, under("late".into())?).await?.replayed);
    Ok(())
}

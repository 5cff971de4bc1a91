use serde_json::json;

use super::fixtures::{apply, conversation, say, setting};
use super::snapshot::{assert_same, audit_snapshot, snapshot};
use super::world::World;
use super::{StoreSubject, children, user};
use crate::conformance::check::{Outcome, Present, all_pages, at_once, refused};
use crate::id::SettingKey;
use crate::model::workspace::WorkspacePath;
use crate::store::StoreErrorKind;

pub(super) async fn reopened_shows_everything(subject: &StoreSubject) -> Outcome {
    let mut t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let (before, trail) = (snapshot(&*t.store, &ada, &world).await?, audit_snapshot(&*t.store, &ada).await?);
    for _ in 0..2 {
        t = subject.reopen(t).await?;
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
        assert_same(&trail, &audit_snapshot(&*t.store, &ada).await?);
    }
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    assert_eq!(say(&*t.store, &ada, world.conversation, "goes on").await?, 5);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn closed_store_refuses(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    t.store.close().await?;
    t.store.close().await?;
    refused(say(&*t.store, &ada, id, "late").await, StoreErrorKind::Closed);
    refused(t.store.conversations().conversation(&ada, id).await, StoreErrorKind::Closed);
    refused(t.store.audit().verify(&ada).await, StoreErrorKind::Closed);
    Ok(())
}

pub(super) async fn closing_finishes_what_was_taken(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let closer = t.store.clone();
    let results = at_once(50, |n| {
        let (store, ada, closer) = (t.store.clone(), ada.clone(), closer.clone());
        async move {
            if n == 25 {
                return closer.close().await.map(|()| None);
            }
            say(&*store, &ada, id, "message").await.map(Some)
        }
    })
    .await?;
    let mut acknowledged = Vec::new();
    for result in results {
        match result {
            Ok(sequence) => acknowledged.extend(sequence),
            Err(error) => assert_eq!(*error.kind(), StoreErrorKind::Closed, "{error}"),
        }
    }
    acknowledged.sort_unstable();
    let t = subject.reopen(t).await?;
    let kept = all_pages!(100, |page| t.store.conversations().messages(&ada, id, page));
    let kept: Vec<u64> = kept.iter().map(|message| message.sequence).collect();
    assert_eq!(kept, acknowledged, "what was acknowledged, and nothing else");
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn survives_kill(subject: &StoreSubject) -> Outcome {
    let mut t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    apply(&*t.store, &ada, setting("last", [0, 0].to_vec())?).await?;
    let path = WorkspacePath::parse("round.md")?;
    let mut acknowledged = 0;
    // Killed after different numbers of writes: at once, in the first transaction, in the middle of many.
    for (round, writes) in [1_u64, 3, 8, 2, 13, 40].into_iter().enumerate() {
        t.store.close().await?;
        let mut child = subject.child(&t, children::APPEND_FOR_EVER, json!([id, round]))?;
        for _ in 0..writes {
            acknowledged = child.line()?.present()?.parse::<u64>()?;
        }
        if let Some(last) = child.kill()?.last() {
            acknowledged = last.parse()?;
        }
        t = subject.reopen(t).await?;
        let messages = all_pages!(1_000, |page| t.store.conversations().messages(&ada, id, page));
        let kept = messages.len() as u64;
        assert!(kept >= acknowledged, "{acknowledged} writes were acknowledged, {kept} are there");
        assert!(kept <= acknowledged + 1, "only the write that was under way may be there unacknowledged");
        assert!(messages.iter().map(|message| message.sequence).eq(1..=kept));
        // The last message, the setting and the file are of one change.
        let text = &messages.last().present()?.message.content;
        let last = t.store.settings().setting(&ada, &SettingKey::parse("last")?).await?.present()?.value;
        let content = t.store.workspace().content(&ada, &path, 0, 1_000).await?.present()?;
        let (round, number) = text.split_once(' ').present()?;
        assert_eq!(last, json!([round.parse::<u64>()?, number.parse::<u64>()?]));
        assert_eq!(String::from_utf8(content)?, format!("round {round} number {number}"));
        // The conversation, the first setting, and five events of each change.
        let head = t.store.audit().verify(&ada).await?.present()?;
        assert_eq!(head.sequence, 2 + 5 * kept);
        assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
        acknowledged = kept;
    }
    Ok(())
}

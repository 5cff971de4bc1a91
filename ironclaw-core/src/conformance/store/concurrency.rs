use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixtures::{File, apply, conversation, job, say, saying, setting, words};
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp, JobOp, Precondition, Row};
use crate::clock::SystemClock;
use crate::conformance::check::{Failure, Outcome, Present, all_pages, at_once, refused};
use crate::id::{ConversationId, SettingKey};
use crate::model::jobs::JobStep;
use crate::page::PageRequest;
use crate::store::{SearchFilter, StoreErrorKind};

pub(super) async fn a_hundred_append_to_one_conversation(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let results = at_once(100, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move { say(&*store, &ada, id, &format!("message {n}")).await }
    })
    .await?;
    let mut sequences = results.into_iter().collect::<Result<Vec<u64>, _>>()?;
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
    let messages = all_pages!(30, |page| t.store.conversations().messages(&ada, id, page));
    assert!(messages.iter().map(|m| m.sequence).eq(1..=100));
    let texts: BTreeSet<_> = messages.iter().map(|m| m.message.content.as_str()).collect();
    assert_eq!(texts.len(), 100, "every message is there once");
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 100);
    t.store.audit().verify(&ada).await?;
    Ok(())
}

pub(super) async fn mixed_writers(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (talk, work) = (conversation(&*t.store, &ada).await?, job(&*t.store, &ada).await?);
    let results = at_once(60, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move {
            match n % 4 {
                0 => say(&*store, &ada, talk, "lighthouse").await.map(drop)?,
                1 => File::new(&format!("{n}.md"), "lighthouse")?.write(&*store, &ada).await?,
                2 => {
                    let step = JobStep::Note { text: n.to_string() };
                    apply(&*store, &ada, JobOp::AppendEvent { job: work, step }).await.map(drop)?;
                }
                _ => apply(&*store, &ada, setting("counter", n)?).await.map(drop)?,
            }
            Ok::<_, Failure>(())
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    assert_eq!(t.store.conversations().conversation(&ada, talk).await?.present()?.messages, 15);
    let steps = all_pages!(100, |page| t.store.jobs().job_events(&ada, work, page));
    assert!(steps.iter().map(|step| step.sequence).eq(1..=15));
    let counter = t.store.settings().setting(&ada, &SettingKey::parse("counter")?).await?.present()?;
    assert_eq!(counter.version, 15);
    let filter = SearchFilter::default();
    assert_eq!(t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 100).await?.len(), 15);
    assert_eq!(t.store.conversations().search_messages(&ada, &words("lighthouse"), 100).await?.len(), 15);
    t.store.audit().verify(&ada).await?;
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn many_users_count_apart(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let results = at_once(40, |n| {
        let store = t.store.clone();
        async move {
            let scope = user(&format!("user {}", n % 8))?;
            let id = conversation(&*store, &scope).await?;
            for expected in 1..=3 {
                assert_eq!(say(&*store, &scope, id, "hello").await?, expected);
            }
            Ok::<_, Failure>(())
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    for n in 0..8 {
        let scope = user(&format!("user {n}"))?;
        let found = t.store.conversations().conversations(&scope, &PageRequest::default()).await?.items;
        assert_eq!(found.len(), 5);
        assert_eq!(t.store.audit().verify(&scope).await?.present()?.sequence, 20);
    }
    Ok(())
}

pub(super) async fn one_create_wins(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = ConversationId::make(&SystemClock);
    let results = at_once(20, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move { apply(&*store, &ada, ConversationOp::Create { id, title: n.to_string() }).await }
    })
    .await?;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refusal in results.into_iter().filter(Result::is_err) {
        refused(refusal, StoreErrorKind::AlreadyExists);
    }
    Ok(())
}

pub(super) async fn row_version_lets_one_win(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (key, row) = (SettingKey::parse("counter")?, Row::Setting(SettingKey::parse("counter")?));
    // Ten writers count to a hundred together: read, add one, write if nobody else did, or try again.
    let results = at_once(10, |_| {
        let (store, ada, key, row) = (t.store.clone(), ada.clone(), key.clone(), row.clone());
        async move {
            for _ in 0..10 {
                loop {
                    let found = store.settings().setting(&ada, &key).await?;
                    let (count, version) = found.map_or((0, 0), |s| (s.value.as_u64().unwrap_or(0), s.version));
                    let change = Change::new()
                        .with(setting("counter", count + 1)?)
                        .require(Precondition::RowVersion { row: row.clone(), version });
                    match store.apply(&ada, change).await {
                        Ok(_) => break,
                        Err(error) if *error.kind() == StoreErrorKind::PreconditionFailed => {}
                        Err(error) => return Err(Failure::from(error)),
                    }
                }
            }
            Ok(())
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    let counter = t.store.settings().setting(&ada, &key).await?.present()?;
    assert_eq!((counter.value.as_u64(), counter.version), (Some(100), 100), "no update is lost");
    Ok(())
}

pub(super) async fn readers_see_whole_changes(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let done = Arc::new(AtomicBool::new(false));
    let (store, scope, stop) = (t.store.clone(), ada.clone(), done.clone());
    let reader = tokio::spawn(async move {
        let mut last = 0;
        while !stop.load(Ordering::Relaxed) || last == 0 {
            let messages = store.conversations().messages(&scope, id, &PageRequest::first(1_000)?).await?.items.len();
            assert_eq!(messages % 3, 0, "a change of three messages is seen in part");
            assert!(messages >= last, "what was seen is gone");
            last = messages;
        }
        Ok::<_, Failure>(())
    });
    for _ in 0..30 {
        let three = Change::new().with(saying(id, "a")).with(saying(id, "b")).with(saying(id, "c"));
        t.store.apply(&ada, three).await?;
    }
    done.store(true, Ordering::Relaxed);
    reader.await?
}

pub(super) async fn chain_of_many_writers(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let results = at_once(50, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move {
            let good = apply(&*store, &ada, setting(&format!("{n}"), n)?).await;
            let bad = apply(&*store, &ada, saying(ConversationId::make(&SystemClock), "x")).await;
            refused(bad, StoreErrorKind::NotFound);
            Ok::<_, Failure>(good.map(drop)?)
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    let head = t.store.audit().verify(&ada).await?.present()?;
    assert_eq!(head.sequence, 100, "each success and each failure has its event");
    let events = super::audit::events(&*t.store, &ada).await?;
    assert!(events.iter().map(|entry| entry.event.sequence).eq(1..=100));
    Ok(())
}

pub(super) async fn failures_among_many_leave_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    // Half of them fail at their last operation, while stores commit together what waits together.
    let results = at_once(100, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move {
            let talk = if n % 2 == 0 { id } else { ConversationId::make(&SystemClock) };
            let change = Change::new()
                .with(setting(&format!("{n}"), n)?)
                .with(saying(id, format!("lighthouse {n}")))
                .with(saying(talk, "last"));
            Ok::<_, Failure>((n, store.apply(&ada, change).await))
        }
    })
    .await?;
    for result in results {
        match result? {
            (n, Ok(_)) => assert_eq!(n % 2, 0),
            (n, refusal) => {
                assert_eq!(n % 2, 1);
                refused(refusal, StoreErrorKind::NotFound);
            }
        }
    }
    let settings = all_pages!(100, |page| t.store.settings().settings(&ada, page));
    assert_eq!(settings.len(), 50);
    assert!(settings.iter().all(|setting| setting.value.as_u64().is_some_and(|n| n % 2 == 0)));
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.messages, 100);
    assert_eq!(t.store.conversations().search_messages(&ada, &words("lighthouse"), 1_000).await?.len(), 50);
    assert_eq!(t.store.audit().verify(&ada).await?.present()?.sequence, 1 + 100 * 3);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}
